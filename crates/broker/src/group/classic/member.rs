//! One member of a group.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ticket::Ticket;

/// A member as its JoinGroup described it, and what it waits for.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// Names a static member through its restarts (`group.instance.id`).
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// Assignors it speaks and its subscription for each, the favourite first.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// Counts joins, so that the longest-standing member leads.
    pub(super) seniority: u64,
    /// Its JoinGroup, while the rebalance gathers members.
    pub(super) join: Option<Ticket>,
    /// Its SyncGroup, while the leader assigns.
    pub(super) sync: Option<Ticket>,
    /// Whether its SyncGroup of this generation is still due.
    pub(super) owes_sync: bool,
    /// When it is given up unless it is heard of.
    pub(super) session_deadline: Instant,
    /// Until its first JoinGroup is answered it cannot send heartbeats.
    pub(super) is_new: bool,
}

impl Member {
    /// Notes a sign of life.
    pub(super) fn touch(&mut self, now: Instant) {
        let patience = if self.is_new { NEW_MEMBER_JOIN_TIMEOUT } else { self.session_timeout };
        self.session_deadline = now + patience;
    }

    /// When the member is given up; never while it waits for an answer of ours.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = (self.join.is_some() && !self.is_new) || self.sync.is_some();
        (!waits).then_some(self.session_deadline)
    }

    /// What it said for `protocol`.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let said = self.protocols.iter().find(|(name, _)| name == protocol);
        said.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

/// How long a rebalance may keep a member waiting whose first JoinGroup is not answered yet; Kafka's number.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);
