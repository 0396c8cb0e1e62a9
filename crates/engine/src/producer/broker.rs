//! What is under way to each broker.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use milena_types::{NodeId, Uuid};

use super::batch::BatchId;
use super::standing::Availability;
use super::window::Window;
use crate::request::RequestId;

/// One broker's window and the partitions that have something for it.
#[derive(Debug, Default)]
pub(super) struct Broker {
    /// Slots of partitions, in the order of their turns.
    pub(super) line: VecDeque<usize>,
    pub(super) in_flight: usize,
    pub(super) window: Window,
    /// The broker asked for silence until then (KIP-219).
    pub(super) muted_until: Option<Instant>,
    pub(super) availability: Availability,
}

impl Broker {
    /// Whether as many requests are on their way as are worth it.
    pub(super) fn is_full(&self, in_flight_max: usize) -> bool {
        self.in_flight >= self.window.requests(in_flight_max)
    }

    /// Whether a request may go out.
    pub(super) fn is_open(&self, now: Instant, in_flight_max: usize) -> bool {
        !self.is_full(in_flight_max) && self.muted_until.is_none_or(|until| until <= now)
    }

    /// Whether it had more than it could take of late, and has room for more than there is for it now.
    pub(super) fn is_short(&self, now: Instant, in_flight_max: usize) -> bool {
        self.window.is_wanted(now) && self.line.is_empty() && self.is_open(now, in_flight_max)
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
