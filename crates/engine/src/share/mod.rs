//! The share consumer (KIP-932, KIP-1206, KIP-1222): many members read one partition, and each record is acknowledged.
//!
//! The group shares partitions out by heartbeats alone. A fetch acquires records: they are locked for this member until
//! it acknowledges them, or the lock runs out and they go to another. Acknowledgements travel with the next fetch to the
//! same broker, or by themselves where no fetch is due.

mod acknowledge;
mod answers;
mod buffer;
mod close;
mod commit;
mod drive;
mod ledger;
mod machine;
mod member;
mod output;
mod reader;
mod request;
mod runs;
mod session;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use acknowledge::{Acknowledge, Acknowledgement};
pub use buffer::ShareBuffer;
pub use commit::CommitId;
pub use ledger::AcquisitionId;
pub use machine::ShareConsumer;
pub use output::Output;
pub use reader::{Delivered, ShareReader};
pub use settings::{AcknowledgementMode, AcquireMode, Settings};
pub use state::MemberState;
