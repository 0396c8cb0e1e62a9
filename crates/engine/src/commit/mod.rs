//! Offsets that a group stores: by itself, at the user's word, and in an order that never goes back.

mod offset;

pub use offset::{CommitId, CommitMode, CommittedOffset};
