//! A record that was not admitted at once.

use std::fmt;

use milena_engine::{Error, ErrorKind};

use super::Record;

/// Why a record was not admitted at once, with the record.
pub struct TryEnqueueError<'a> {
    record: Record<'a>,
    error: Error,
}

impl<'a> TryEnqueueError<'a> {
    pub(super) fn new(record: Record<'a>, error: Error) -> Self {
        Self { record, error }
    }

    /// The record, to be sent another time.
    pub fn into_record(self) -> Record<'a> {
        self.record
    }

    /// Why it was not admitted.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Whether there was no room in the send buffer: try again once something was acknowledged.
    pub fn is_full(&self) -> bool {
        self.error.kind() == ErrorKind::BufferFull
    }

    /// Whether the partitions of the topic, or the one that the record names, are not known yet: try again in a moment,
    /// or await [`partitions_for`](crate::Producer::partitions_for) first.
    pub fn is_unknown_topic(&self) -> bool {
        self.error.kind() == ErrorKind::Timeout
    }

    /// The record and the reason.
    pub fn into_parts(self) -> (Record<'a>, Error) {
        (self.record, self.error)
    }
}

impl fmt::Debug for TryEnqueueError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryEnqueueError")
            .field("record", &self.record)
            .field("error", &self.error)
            .finish()
    }
}

impl fmt::Display for TryEnqueueError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for TryEnqueueError<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<TryEnqueueError<'_>> for Error {
    fn from(refused: TryEnqueueError<'_>) -> Self {
        refused.error
    }
}
