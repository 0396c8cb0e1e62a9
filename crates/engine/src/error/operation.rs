//! What was being done when an error came up.

use std::fmt;

use milena_types::ApiKey;

/// What was being done when an error came up; shown first in its message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Reading the configuration.
    Configure,
    /// Opening a connection, TLS and SASL included.
    Connect,
    /// Learning the brokers, topics and leaders.
    Metadata,
    /// Appending a record, up to its place in a batch.
    Send,
    /// Storing a batch.
    Produce,
    /// Waiting for everything sent so far.
    Flush,
    /// Closing a producer, consumer or client.
    Close,
    /// Changing a subscription or an assignment.
    Subscribe,
    /// Handing records to the caller.
    Poll,
    /// Reading records from a broker.
    Fetch,
    /// Finding an offset by time, or the first or last one.
    ListOffsets,
    /// Moving a position.
    Seek,
    /// Storing offsets of a group.
    Commit,
    /// Telling a share group what became of records.
    Acknowledge,
    /// Reading offsets of a group.
    FetchOffsets,
    /// Finding the coordinator of a group or transaction.
    FindCoordinator,
    /// Joining a group, from the request to the assignment.
    JoinGroup,
    /// Telling a group's coordinator that a member is alive.
    Heartbeat,
    /// Leaving a group.
    LeaveGroup,
    /// Getting a producer id.
    InitProducerId,
    /// Adding partitions or offsets to a transaction, or ending it.
    Transaction,
    /// Any other request.
    Request(ApiKey),
}

impl Operation {
    /// Whether it concerns a transactional id, where it names no partition.
    pub(super) const fn is_of_transaction(self) -> bool {
        matches!(self, Self::InitProducerId | Self::Transaction)
    }

    /// The words before the topic-partition or group that it concerns.
    pub(super) const fn phrase(self) -> (&'static str, &'static str) {
        match self {
            Self::Configure => ("configure", ""),
            Self::Connect => ("connect", " to"),
            Self::Metadata => ("learn metadata", " of"),
            Self::Send => ("send", " to"),
            Self::Produce => ("produce", " to"),
            Self::Flush => ("flush", ""),
            Self::Close => ("close", ""),
            Self::Subscribe => ("subscribe", " to"),
            Self::Poll => ("poll", ""),
            Self::Fetch => ("fetch", " from"),
            Self::ListOffsets => ("list offsets", " of"),
            Self::Seek => ("seek", " in"),
            Self::Commit => ("commit", " for"),
            Self::Acknowledge => ("acknowledge", " in"),
            Self::FetchOffsets => ("fetch offsets", " of"),
            Self::FindCoordinator => ("find the coordinator", " of"),
            Self::JoinGroup => ("join", ""),
            Self::Heartbeat => ("heartbeat", " to"),
            Self::LeaveGroup => ("leave", ""),
            Self::InitProducerId => ("get the producer id", " of"),
            Self::Transaction => ("transaction", " on"),
            Self::Request(_) => ("", " of"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Request(api) = self { api.fmt(f) } else { f.write_str(self.phrase().0) }
    }
}
