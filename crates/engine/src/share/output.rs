//! What a share consumer asks of its driver.

use std::collections::BTreeSet;

use milena_types::Topic;

use super::acknowledge::Acknowledgement;
use super::commit::CommitId;
use crate::error::Error;
use crate::metadata::LeaderHint;
use crate::request::Outbound;

/// What to do next; drain [`ShareConsumer::poll_output`](super::ShareConsumer::poll_output) to `None` after each
/// mutation.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver that ignores one would hang")]
pub enum Output {
    /// Send this and bring back the [`Answer`](crate::request::Answer).
    Request(Outbound),
    /// From now on these topics' metadata is needed, and no others.
    Topics(BTreeSet<Topic>),
    /// The metadata turned out to be stale: fetch it again, with the usual back-off.
    RefreshMetadata,
    /// A broker told where a partition went (KIP-951).
    LeaderHint(LeaderHint),
    /// What became of acknowledgements.
    Acknowledged(Acknowledgement),
    /// A commit is over: everything said before it has come to its end.
    Committed {
        /// Which one.
        id: CommitId,
        /// The first error, if there was one; [`Output::Acknowledged`] told of each.
        result: Result<(), Error>,
    },
    /// The consumer is closed: acknowledged, released and left as far as its deadline allowed. Nothing comes after.
    Closed {
        /// The first error of an acknowledgement since closing began, or that time was over.
        result: Result<(), Error>,
    },
}
