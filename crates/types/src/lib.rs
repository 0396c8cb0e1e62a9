//! Vocabulary of Apache Kafka: ids, offsets, epochs, error codes.
//!
//! Every number of the protocol that has rules of its own is a type here. Sentinels (`-1` for "none") stop at the
//! edge where a message is read: constructors that may meet one return `Option`.
#![forbid(unsafe_code)]

mod api_key;
mod epoch;
mod error_code;
mod id;
mod offset;
mod sequence;
mod topic;
mod uuid;

pub use api_key::ApiKey;
pub use epoch::{Generation, LeaderEpoch, MemberEpoch, ProducerEpoch};
pub use error_code::ErrorCode;
pub use id::{CorrelationId, NodeId, ProducerId};
pub use offset::{Offset, Timestamp};
pub use sequence::Sequence;
pub use topic::{Topic, TopicPartition};
pub use uuid::Uuid;
