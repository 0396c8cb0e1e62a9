//! Offsets that a group stores: by itself, at the user's word, and in an order that never goes back.

mod auto;
mod committed;
mod offset;
mod pending;

pub(crate) use auto::AutoCommit;
pub(crate) use committed::{Again, CommittedAsker, CommittedLookup, Fetched};
pub use offset::{CommitId, CommitMode, CommittedOffset};
pub(crate) use pending::{Commits, Sender, Waiter};
