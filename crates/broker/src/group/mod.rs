//! Groups as Kafka's group coordinator keeps them: of the classic protocol, of the consumer protocol (KIP-848) and of
//! Kafka Streams (KIP-1071).

pub(crate) mod classic;
mod config;
pub(crate) mod consumer;
mod entry;
mod migration;
mod offsets;
mod protocol;
mod settings;
pub(crate) mod streams;

pub use classic::GroupState;
pub(crate) use classic::{Answer, ClassicGroup, Identity, JoinAnswer, JoinRequest, LeaveRequest};
pub(crate) use classic::{SyncAnswer, SyncRequest};
pub(crate) use config::GroupDefinition;
pub use consumer::ConsumerGroupState;
pub(crate) use consumer::{Assignor, Beat, ConsumerGroup, Heartbeat, Step, whole_pattern};
pub(crate) use entry::{Group, Kind, Surroundings};
pub use offsets::Committed;
pub(crate) use offsets::{Commit, MadeGood};
pub use settings::{ConsumerGroupSettings, MigrationPolicy};
pub use streams::StreamsGroupSettings;

/// The protocol type of consumers, in groups of either protocol.
const CONSUMER: &str = "consumer";

/// That of the members of a group of Kafka Streams.
const STREAMS: &str = "streams";
