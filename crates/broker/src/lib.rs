#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! [`Broker`] runs a cluster, [`Cluster`] is one without IO, [`on`] begins a fault rule, [`Journal`] is what was accepted.
#![forbid(unsafe_code)]

mod acl;
mod api;
mod broker_config;
mod broker_definition;
mod clock;
mod cluster;
mod connection;
mod fault;
mod fetch;
mod group;
mod journal;
mod node;
mod properties;
mod quota;
mod release;
mod rights;
mod scram;
mod settings;
mod share;
mod shell;
mod state;
mod storage;
mod store;
mod subjects;
mod telemetry;
mod ticket;
mod timers;
mod topic;
mod transaction;

// The vocabulary of this crate's signatures, so that a test names no other crate.
pub use milena_types::{
    ApiKey, CorrelationId, ErrorCode, Generation, LeaderEpoch, MemberEpoch, NodeId, Offset,
    ProducerEpoch, ProducerId, Sequence, Timestamp, Topic, TopicPartition, Uuid,
};

pub use acl::{Acl, AclOperation, AclPermission, AclResource, AuthorizerSettings};
pub use cluster::{
    Cluster, CommandError, ConsumerGroupView, ConsumerMemberView, GroupView, MemberView, NewRecord,
    OpenError, Output, PartitionView, ShareGroupView, ShareMemberView, SharePartitionView,
    SharedRecords, StoredBatch, StoredRecord, TransactionView,
};
pub use connection::ConnectionId;
pub use fault::{Condition, Fault, FaultId, FaultRule, on, on_any};
pub use group::{
    Committed, ConsumerGroupSettings, ConsumerGroupState, GroupState, MigrationPolicy,
    StreamsGroupSettings,
};
pub use journal::{
    AcceptedAcknowledgement, AcceptedBatch, AcceptedCommit, AcceptedTelemetry, EndedTransaction,
    Journal, SeenRequest, TopicMetrics,
};
pub use node::NodeStatus;
pub use properties::InvalidProperty;
pub use release::{Release, UnknownRelease};
pub use settings::{NodeSettings, Settings, TopicSettings};
pub use share::{Acknowledgement, RecordState, ShareGroupSettings};
pub use shell::{Broker, Builder};
pub use transaction::TransactionState;
