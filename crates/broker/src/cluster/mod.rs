//! The cluster as a machine: frames in, frames out, and `now` with each call.

mod append;
mod commands;
mod groups;
mod machine;
mod query;
mod shares;
mod stored;

pub use append::NewRecord;
pub use commands::CommandError;
pub use groups::{ConsumerGroupView, ConsumerMemberView, GroupView, MemberView};
pub use machine::{Cluster, OpenError, Output};
pub use query::{PartitionView, StoredBatch, StoredRecord, TransactionView};
pub use shares::{ShareGroupView, ShareMemberView, SharePartitionView, SharedRecords};
