//! Record batches: built and sealed on the way out, checked and walked on the way in.

pub mod control;

mod builder;
mod header;
mod iter;
mod reader;
mod sealed;

pub use builder::{BatchBuilder, size_upper_bound};
pub use header::{BatchHeader, HEADER_BYTES, ProducerStamp, TimestampType};
pub(crate) use iter::State;
pub use iter::{Iter, Mark, Records, Walk, WalkEnd};
pub use reader::{Batch, DecodedBatch};
pub use sealed::{BatchParts, SealedBatch};

#[cfg(test)]
mod tests;
