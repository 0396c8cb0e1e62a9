//! Apache Kafka protocol messages, headers and frames, with bounded decoding.
#![forbid(unsafe_code)]

/// Any request (placeholder until generated).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Request {}

/// Any response (placeholder until generated).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Response {}
