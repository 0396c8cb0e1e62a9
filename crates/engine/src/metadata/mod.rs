//! What is known of the cluster, and how it is kept fresh.

mod bootstrap;
mod hint;
mod snapshot;

pub use bootstrap::Address;
pub use hint::LeaderHint;
pub use snapshot::{Broker, Cluster, PartitionMetadata, TopicMetadata};
