//! Groups of Kafka Streams (KIP-1071): the coordinator knows the topology, makes its internal topics and assigns its tasks.

mod assignor;
mod commit;
mod config;
mod configured;
mod endpoints;
mod fence;
mod group;
mod heartbeat;
mod holders;
mod member;
mod offsets;
mod reconciliation;
mod settings;
mod stored;
mod target;
mod tasks;
mod topology;

pub(crate) use assignor::ASSIGNOR;
pub(crate) use config::StreamsConfig;
pub(crate) use configured::{Status, StatusCode};
pub(crate) use endpoints::EndpointPartitions;
pub(crate) use group::StreamsGroup;
pub(crate) use heartbeat::{Beat, Heartbeat, Step};
pub(crate) use member::{Endpoint, Member};
pub(crate) use offsets::TaskOffsets;
pub use settings::StreamsGroupSettings;
pub(crate) use tasks::{Owned, Tasks, undated};
pub(crate) use topology::{Copartition, InternalTopic, Subtopology, Topology};
