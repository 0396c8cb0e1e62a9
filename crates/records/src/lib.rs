//! Apache Kafka record batches, compression and partition hashes.
