//! Apache Kafka client in pure Rust.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the drivers that read the configuration follow")]

mod client;
pub mod config;
mod consumer;
mod driver;
mod kafka;
mod net;
mod producer;

pub use milena_engine::{Error, ErrorKind, Fate, Operation};

pub use client::KafkaBuilder;
pub use consumer::ConsumerBuilder;
pub use kafka::Kafka;
pub use producer::ProducerBuilder;

/// What every call of the client returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
