//! Tasks that drive the machines of the engine: one per producer and consumer, one per client for metadata.

pub(crate) mod metadata;
