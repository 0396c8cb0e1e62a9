//! Sans-IO state machines of an Apache Kafka client.
//!
//! Nothing here knows a socket, a task, a clock or global randomness: `now` and a seeded generator come in as
//! arguments. Every machine has the same four verbs: commands and `handle_*` take an event in, `poll_output` says
//! what to do next (drain it to `None` after every mutation), `poll_timeout` says when to call `handle_timeout`.
#![forbid(unsafe_code)]

pub mod backoff;
mod by_topic;
mod commit;
pub mod connection;
pub mod consumer;
pub mod coordinator;
pub mod disposition;
pub mod error;
mod fetch;
mod group;
mod idempotence;
pub mod metadata;
pub mod producer;
pub mod request;
pub mod share;
mod subscription;
pub mod transaction;

pub use backoff::Backoff;
pub use error::{Error, ErrorKind, Fate, Operation};
