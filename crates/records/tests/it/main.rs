//! What Kafka's own classes write is read, what they must read is written, and nothing hostile gets further than an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::panic, reason = "tests")]

mod allocation;
mod bombs;
mod digest;
mod golden;
mod hostile;
mod java;
mod properties;
