//! One record of a share group, and what can be said about it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use milena_engine::share::{Acknowledge, AcquisitionId, Delivered, ShareBuffer};
use milena_records::SharedRecord;
use milena_types::TopicPartition;

use crate::received::{describe, received};

/// A record that a share group gave to this member: it can be kept and sent to other tasks, and is acknowledged from
/// wherever it is.
///
/// Dropping it says nothing. With implicit acknowledgement the consumer's next call accepts it; with explicit, it comes
/// again, to this member or another, once its lock runs out or the consumer is closed.
///
/// It shares the memory that it was read into: of a compressed batch the decompressed one, of an uncompressed batch the
/// broker's whole answer. Copy key and value out of what is kept for long.
#[must_use = "with explicit acknowledgement, a record that is dropped without a word comes again"]
pub struct ShareMessage {
    partition: TopicPartition,
    record: SharedRecord,
    delivery_count: u16,
    acquisition: AcquisitionId,
    locked_until: Instant,
    buffer: Arc<ShareBuffer>,
}

/// What can be said about it. None of these waits: what was said goes with the next fetch to the partition's leader, or
/// half a second later, or at once by a commit. A failure, as of a lock that ran out before, is told to
/// [`on_acknowledged`](crate::ShareConsumerBuilder::on_acknowledged) and to a commit.
impl ShareMessage {
    /// Done: it is never delivered again.
    pub fn accept(self) {
        self.say(Acknowledge::Accept);
    }

    /// Not done: it is delivered again, to any member, unless it was delivered too often.
    pub fn release(self) {
        self.say(Acknowledge::Release);
    }

    /// Not to be done by anyone: it is never delivered again.
    pub fn reject(self) {
        self.say(Acknowledge::Reject);
    }

    /// Still being worked on: its lock begins anew (KIP-1222, Kafka 4.2 or newer). Sent at once; from here on it is not
    /// accepted implicitly.
    pub fn renew(&self) {
        self.say(Acknowledge::Renew);
    }

    fn say(&self, what: Acknowledge) {
        self.buffer.acknowledge(self.acquisition, &self.partition, self.record.offset(), what);
    }
}

/// What it is.
impl ShareMessage {
    pub(super) fn new(delivered: Delivered, buffer: Arc<ShareBuffer>) -> Self {
        let Delivered { partition, record, delivery_count, acquisition, locked_until, .. } =
            delivered;
        Self { partition, record, delivery_count, acquisition, locked_until, buffer }
    }

    /// How often it has been delivered, this time included; of a record that is new, 1.
    pub fn delivery_count(&self) -> u16 {
        self.delivery_count
    }

    /// When its lock runs out, by this machine's clock and as it was handed out: renewals begin another.
    pub fn locked_until(&self) -> Instant {
        self.locked_until
    }
}

received!(ShareMessage);

impl fmt::Debug for ShareMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "ShareMessage", &self.partition, self.record.borrowed())
            .field("delivery_count", &self.delivery_count)
            .finish_non_exhaustive()
    }
}
