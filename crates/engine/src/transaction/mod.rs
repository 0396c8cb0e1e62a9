//! Transactions: records and consumed offsets that become readable together or not at all (KIP-98, KIP-447, KIP-890).
//!
//! A part of the producer's machine: the sender tells it which partitions have records and when all of them are stored,
//! and it asks the coordinators. One request to them is under way at a time, so that none overtakes another.

mod answer;
mod calls;
mod end;
mod enrollment;
mod machine;
mod offsets;
mod request;
mod state;
mod verdict;
mod version;

pub use calls::TransactionCall;
pub use end::TransactionOutcome;
pub(crate) use machine::{Event, Progress, Settings, Transactions};
pub use offsets::GroupMetadata;
pub use version::TransactionVersion;

#[cfg(test)]
mod tests;
