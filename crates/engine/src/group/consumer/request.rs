//! The heartbeat, which says what has changed since the last one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{Generation, NodeId, Topic};
use milena_wire::ByteString;
use milena_wire::messages::ConsumerGroupHeartbeatRequest;

use super::assignment::Assignment;
use super::member::Wanted;
use crate::group::action::Identity;
use crate::group::settings::{GroupMembershipOperation, GroupSettings};
use crate::request::{Lane, Outbound, RequestId, Target};

/// What all heartbeats of one member share, and what the coordinator knows from those before.
#[derive(Debug)]
pub(super) struct Requests {
    group_id: ByteString,
    instance_id: Option<ByteString>,
    rack_id: Option<ByteString>,
    rebalance_timeout_ms: i32,
    assignor: Option<ByteString>,
    timeout: Duration,
    /// `None` if the coordinator may know nothing: the next heartbeat says all.
    sent: Option<Sent>,
    /// A coordinator may have a pattern of ours, which goes only if it is told so.
    had_pattern: bool,
}

/// How a member leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goodbye {
    ForGood,
    /// A static member's place is kept for it until its session ends.
    ForNow,
}

#[derive(Debug)]
struct Sent {
    wanted: Wanted,
    owned: Assignment,
    /// When all was said last.
    all_at: Instant,
}

impl Requests {
    pub(super) fn new(settings: &GroupSettings, timeout: Duration) -> Self {
        let text = |text: &Arc<str>| ByteString::from(&**text);
        let rebalance_timeout_ms = settings.max_poll_interval.as_millis();
        Self {
            group_id: text(&settings.group_id),
            instance_id: settings.instance_id.as_ref().map(text),
            rack_id: settings.rack.as_ref().map(text),
            rebalance_timeout_ms: i32::try_from(rebalance_timeout_ms).unwrap_or(i32::MAX),
            assignor: settings.remote_assignor.as_ref().map(text),
            timeout,
            sent: None,
            had_pattern: false,
        }
    }

    /// The coordinator may have heard the last heartbeat or not, or is another one: the next says all.
    pub(super) fn forget(&mut self) {
        self.sent = None;
    }

    /// Whether what the coordinator knows is known here, but for a heartbeat under way.
    pub(super) fn is_answered(&self) -> bool {
        self.sent.is_some()
    }

    /// Joins (without a generation) or stays.
    pub(super) fn heartbeat(
        &mut self,
        now: Instant,
        id: RequestId,
        coordinator: NodeId,
        identity: &Identity,
        wanted: &Wanted,
        owned: &Assignment,
    ) -> Outbound {
        let Identity { member_id, generation } = identity;
        let mut request = self.request(member_id, generation.map_or(JOIN_EPOCH, Generation::get));
        let is_told = |sent: &Sent| generation.is_some() && now < sent.all_at + SAYS_ALL_EVERY;
        let sent = self.sent.take().filter(is_told);
        let all_at = sent.as_ref().map_or(now, |sent| sent.all_at);
        if sent.is_none() {
            request.rack_id.clone_from(&self.rack_id);
            request.rebalance_timeout_ms = self.rebalance_timeout_ms;
            request.server_assignor.clone_from(&self.assignor);
        }
        let before = sent.as_ref().map(|sent| &sent.wanted);
        if before != Some(wanted) {
            let names = match wanted {
                Wanted::Topics(topics) => topics,
                Wanted::Pattern(_) => &BTreeSet::new(),
            };
            let name = |topic: &Topic| ByteString::from(topic.as_str());
            request.subscribed_topic_names = Some(names.iter().map(name).collect());
            request.subscribed_topic_regex = match wanted {
                Wanted::Pattern(pattern) => Some(ByteString::from(&**pattern)),
                // Null would let the pattern before stand.
                Wanted::Topics(_) => self.had_pattern.then(ByteString::new),
            };
            self.had_pattern |= matches!(wanted, Wanted::Pattern(_));
        }
        if sent.as_ref().map(|sent| &sent.owned) != Some(owned) {
            request.topic_partitions = Some(owned.write());
        }
        self.sent = Some(Sent { wanted: wanted.clone(), owned: owned.clone(), all_at });
        let with_pattern = request.subscribed_topic_regex.is_some();
        let mut outbound = self.outbound(id, coordinator, request);
        if with_pattern {
            outbound.version_min = 1;
        }
        outbound
    }

    /// How this member goes; `None` is without a word, so that it is expected until its session ends.
    pub(super) fn goodbye(&self, operation: GroupMembershipOperation) -> Option<Goodbye> {
        let is_static = self.instance_id.is_some();
        match operation {
            GroupMembershipOperation::LeaveGroup => Some(Goodbye::ForGood),
            GroupMembershipOperation::Default if !is_static => Some(Goodbye::ForGood),
            GroupMembershipOperation::Default => Some(Goodbye::ForNow),
            GroupMembershipOperation::RemainInGroup => is_static.then_some(Goodbye::ForNow),
        }
    }

    /// Leaves.
    pub(super) fn leave(
        &mut self,
        id: RequestId,
        coordinator: NodeId,
        member_id: &ByteString,
        goodbye: Goodbye,
    ) -> Outbound {
        self.sent = None;
        let epoch = match goodbye {
            Goodbye::ForGood => LEAVE_EPOCH,
            Goodbye::ForNow => LEAVE_STATIC_EPOCH,
        };
        let request = self.request(member_id, epoch);
        self.outbound(id, coordinator, request)
    }

    fn request(&self, member_id: &ByteString, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: member_id.clone(),
            member_epoch,
            instance_id: self.instance_id.clone(),
            ..Default::default()
        }
    }

    fn outbound(
        &self,
        id: RequestId,
        coordinator: NodeId,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Outbound {
        let target = Target::Broker(coordinator);
        Outbound::new(id, target, Lane::Group, self.timeout, request.into())
    }
}

/// A coordinator tells an assignment once, and whenever it is told all. Once may have been to nobody without this member
/// having missed an answer: a heartbeat that it gave up and sent again is carried out when a stalled connection is read
/// at last. So what is assigned goes without an owner for this long at most; said at each heartbeat, a thousand
/// partitions would be 4 KiB each way every 5 s.
pub(super) const SAYS_ALL_EVERY: Duration = Duration::from_secs(30);

const JOIN_EPOCH: i32 = 0;
const LEAVE_EPOCH: i32 = -1;
const LEAVE_STATIC_EPOCH: i32 = -2;
