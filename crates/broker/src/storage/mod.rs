//! What a partition keeps: batches, the epochs of its leaders, what it knows of its producers.

mod batch;
mod compact;
mod epochs;
mod image;
mod log;
mod producers;
mod segments;
mod transactions;

pub(crate) use batch::{Batch, Rejected, Sent, begins_with_batch};
pub(crate) use compact::{CompactionConfig, Rewritten};
pub(crate) use epochs::EpochEnd;
pub(crate) use image::LogImage;
pub(crate) use log::Log;
pub(crate) use producers::{MarkerTerm, OUT_OF_ORDER, Producers, Stored, Verdict};
pub(crate) use segments::SegmentConfig;
pub(crate) use transactions::{Aborted, Transactions};
