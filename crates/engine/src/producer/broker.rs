//! What is under way to each broker.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use milena_types::{NodeId, Uuid};

use super::batch::BatchId;
use super::settings::Settings;
use super::standing::Availability;
use super::window::Window;
use crate::request::RequestId;

/// One broker's window and the partitions that have something for it.
#[derive(Debug, Default)]
pub(super) struct Broker {
    /// Slots of partitions, in the order of their turns.
    pub(super) line: VecDeque<usize>,
    pub(super) in_flight: usize,
    pub(super) bytes_in_flight: usize,
    pub(super) window: Window,
    /// When a request departed last.
    sent_at: Option<Instant>,
    /// The broker asked for silence until then (KIP-219).
    pub(super) muted_until: Option<Instant>,
    pub(super) availability: Availability,
}

impl Broker {
    /// Whether a request may go out.
    pub(super) fn is_open(&self, now: Instant, settings: &Settings) -> bool {
        self.in_flight < settings.in_flight_max
            && self.muted_until.is_none_or(|until| until <= now)
            && self.has_room(settings, 1)
    }

    /// Whether it is in use and has room for more than there is for it.
    pub(super) fn is_short(&self, now: Instant, settings: &Settings) -> bool {
        let is_used = self.in_flight > 0 || self.sent_at.is_some_and(|at| now < at + IN_USE);
        is_used && self.line.is_empty() && self.is_open(now, settings)
    }

    /// Whether `bytes` more may be on their way.
    pub(super) fn has_room(&self, settings: &Settings, bytes: usize) -> bool {
        self.window.has_room(settings.window_floor(), self.bytes_in_flight, bytes)
    }

    /// A request of so many bytes departs.
    pub(super) fn sent(&mut self, now: Instant, bytes: usize) {
        self.sent_at = Some(now);
        self.in_flight += 1;
        self.bytes_in_flight += bytes;
    }

    /// A request that departed has an answer, or never will.
    pub(super) fn answered(&mut self, request: &Produce) {
        self.in_flight -= 1;
        self.bytes_in_flight -= request.bytes;
    }
}

/// Produce requests without an answer.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    requests: BTreeMap<RequestId, Produce>,
    batches: usize,
}

/// A Produce request without an answer.
#[derive(Debug)]
pub(super) struct Produce {
    pub(super) node: NodeId,
    pub(super) batches: Vec<Sent>,
    pub(super) bytes: usize,
    /// When it departed.
    pub(super) at: Instant,
}

/// A batch in a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) slot: usize,
    pub(super) batch: BatchId,
    /// Tells the parts of a split batch apart.
    pub(super) first: u32,
    /// The topic's id when the request was made.
    pub(super) topic_id: Option<Uuid>,
}

impl InFlight {
    pub(super) fn insert(&mut self, id: RequestId, request: Produce) {
        self.batches += request.batches.len();
        self.requests.insert(id, request);
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Produce> {
        let request = self.requests.remove(&id)?;
        self.batches -= request.batches.len();
        Some(request)
    }

    /// In all of them.
    pub(super) fn batches(&self) -> usize {
        self.batches
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.batches = 0;
    }
}

/// Who was sent nothing for so long is led to by nothing that is being sent.
const IN_USE: Duration = Duration::from_secs(1);
