//! What there is to know of a log besides its batches.

use bytes::BytesMut;
use milena_types::Offset;

use super::epochs::Epochs;
use super::producers::Producers;
use super::transactions::Transactions;
use crate::store::{Malformed, Source, Spelled};

/// Told of a log after its batches. It remembers more than these tell: producers and transactions of batches that are
/// deleted.
#[derive(Clone, Debug)]
pub(crate) struct LogImage {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Producers,
    pub(crate) transactions: Transactions,
}

impl Spelled for LogImage {
    fn put(&self, to: &mut BytesMut) {
        (self.start, self.end).put(to);
        self.epochs.put(to);
        self.producers.put(to);
        self.transactions.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self {
            start: Spelled::take(from)?,
            end: Spelled::take(from)?,
            epochs: Spelled::take(from)?,
            producers: Spelled::take(from)?,
            transactions: Spelled::take(from)?,
        })
    }
}
