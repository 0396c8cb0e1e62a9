//! What is known of the cluster, and how it is kept fresh.

mod bootstrap;
mod hint;
mod interest;
mod merge;
mod message;
mod refresh;
mod settings;
mod snapshot;

pub use bootstrap::Address;
pub use hint::LeaderHint;
pub use interest::{Interest, InterestId};
pub use refresh::{Metadata, Output};
pub use settings::Settings;
pub use snapshot::{Broker, Cluster, PartitionMetadata, TopicMetadata};
