//! What is written down of a cluster, so that it outlives its process: entries, and how they are spelled.
//!
//! What is noted when is in `state/stored.rs`, what becomes of it at the next start in `state/replay.rs`; where it lies is up
//! to the shell.

mod codec;
mod entry;

pub(crate) use codec::{Malformed, Source, Spelled};
pub(crate) use entry::{Entry, Place};
