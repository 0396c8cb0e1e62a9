//! Which batches `read_committed` must not hand out.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use milena_types::{Offset, ProducerId};

use crate::batch::Batch;
use crate::batch::control::{ControlRecord, ControlType};

/// The aborted transactions of one fetched partition, held against its batches in order.
///
/// Brokers name each aborted transaction by producer and first offset, and some (Redpanda) in any order; its end is the
/// abort marker among the batches.
#[derive(Clone, Debug, Default)]
pub struct AbortedTransactions {
    /// Not reached yet, the first to be reached on top.
    ahead: BinaryHeap<Reverse<(Offset, ProducerId)>>,
    /// Reached, and their marker not yet.
    open: BTreeSet<ProducerId>,
}

impl AbortedTransactions {
    /// The list of a Fetch response, in any order.
    pub fn new(transactions: impl IntoIterator<Item = (ProducerId, Offset)>) -> Self {
        let ahead = transactions.into_iter().map(|(producer, first)| Reverse((first, producer)));
        Self { ahead: ahead.collect(), open: BTreeSet::new() }
    }

    /// Whether the next batch belongs to an aborted transaction; each batch is asked about once, in order.
    ///
    /// Asked before the batch is decoded, so that aborted records are never decompressed. Control batches are not
    /// aborted; tell what they say to [`handle_control`](Self::handle_control).
    #[must_use]
    pub fn is_aborted(&mut self, batch: &Batch) -> bool {
        let last = batch.last_offset();
        while let Some(&Reverse((first, producer))) = self.ahead.peek() {
            if first > last {
                break;
            }
            self.ahead.pop();
            self.open.insert(producer);
        }
        batch.is_transactional()
            && !batch.is_control()
            && batch.producer_id().is_some_and(|producer| self.open.contains(&producer))
    }

    /// Ends a transaction where `control` is an abort marker; a second marker changes nothing.
    pub fn handle_control(&mut self, batch: &Batch, control: &ControlRecord) {
        if control.kind == ControlType::ABORT
            && let Some(producer) = batch.producer_id()
        {
            self.open.remove(&producer);
        }
    }
}
