//! An Apache Kafka cluster in the process.
#![forbid(unsafe_code)]
