//! The cluster as a machine: frames in, frames out, and `now` with each call.

mod commands;
mod machine;
mod query;

pub use commands::CommandError;
pub use machine::{Cluster, OpenError, Output};
pub use query::{GroupView, MemberView, PartitionView, StoredBatch, StoredRecord, TransactionView};
