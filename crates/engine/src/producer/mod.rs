//! Records on their way out: appended by any task, batched per partition, sent in order, settled once each.
//!
//! Two halves share an [`Accumulator`]. Callers append to it and get a [`Delivery`]; one driver owns the [`Producer`]
//! machine, which takes the batches out and sends them. See [`Producer`] for the loop around it.

mod accumulator;
mod appender;
mod assign;
mod backlog;
mod batch;
mod broker;
mod counters;
mod deliveries;
mod delivery;
mod dispatch;
mod flush;
mod memory;
mod outcome;
mod partition;
mod partitioner;
mod queue;
mod record;
mod request;
mod routes;
mod seal;
mod sender;
mod settings;
mod standing;
mod state;
mod topic;
mod transactions;
mod watch;
mod window;

pub use accumulator::{Accumulator, Appended, Refused};
pub use appender::{Appender, Placed};
pub use counters::ProducerMetrics;
pub use deliveries::{Deliveries, Outcomes};
pub use delivery::{Delivery, RecordMetadata};
pub use flush::FlushId;
pub use memory::{Grant, Room};
pub use partitioner::{PartitionContext, Partitioner, Partitioning};
pub use record::NewRecord;
pub use seal::{SealJob, Sealed};
pub use sender::{Output, Producer};
pub use settings::{Acks, Settings};
pub use topic::{TopicHandle, TopicReady};
pub use watch::{Callback, Watch};

#[cfg(test)]
mod tests;
