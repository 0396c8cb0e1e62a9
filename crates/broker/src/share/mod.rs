//! Share groups: their members, and what they have got of each partition (KIP-932, 1206, 1222).
//!
//! A cluster of Kafka keeps what was acknowledged in a topic of its own, written by a share coordinator (requests 83 to
//! 87). Here it lies beside the groups, written at once and never lost; those requests are not answered.

mod acknowledge;
mod acquire;
mod assignor;
mod batch;
mod config;
mod group;
mod partition;
mod record;
mod session;
mod settings;
mod store;

pub use acknowledge::Acknowledgement;
pub(crate) use acknowledge::{AcknowledgeError, AcknowledgementBatch};
pub(crate) use acquire::{Acquired, Demand, ReadBatches};
pub(crate) use assignor::{ASSIGNOR, Assignment};
pub(crate) use config::ShareConfig;
pub(crate) use group::{Beat, Beaten, SeenTopic, ShareGroup};
pub(crate) use record::InFlight;
pub use record::RecordState;
pub(crate) use session::{FINAL_EPOCH, INITIAL_EPOCH, SessionKey, ShareSessions, SharedPartition};
pub use settings::ShareGroupSettings;
pub(crate) use store::{ShareKey, SharePartitions, StoredPartition};
