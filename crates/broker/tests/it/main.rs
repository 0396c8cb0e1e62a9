//! The cluster asked by frames, in virtual time.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a test may fail")]

mod faults;
mod fetch;
mod groups;
mod hostile;
mod nodes;
mod produce;
mod shells;
mod topics;
mod transactions;
mod versions;
mod world;
