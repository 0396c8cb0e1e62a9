//! Apache Kafka client in pure Rust: producer, consumer, share consumer and a first admin client over tokio.
//!
//! Nothing in the dependency graph builds or links C. A [`Kafka`] handle holds the connections and the metadata of a
//! cluster; producers, consumers and admin clients are made from it.
//!
//! # Sending
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> milena::Result<()> {
//! # let broker = milena_broker::Broker::builder().topic("orders", 3).start().await.expect("a broker");
//! # let servers = broker.bootstrap_servers();
//! use milena::Record;
//! use std::time::Duration;
//!
//! let kafka = milena::connect(&servers).await?;
//! let producer = kafka.producer().build().await?;
//! let stored = producer.send(Record::to("orders").key("o-1").value("hi")).await?;
//! println!("stored in {} at {:?}", stored.topic_partition(), stored.offset());
//! producer.close(Duration::from_secs(10)).await?;
//! # Ok(()) }
//! ```
//!
//! # Reading
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> milena::Result<()> {
//! # let broker = milena_broker::Broker::builder().topic("orders", 3).start().await.expect("a broker");
//! # let servers = broker.bootstrap_servers();
//! use milena::config::OffsetReset;
//! use std::time::Duration;
//!
//! let kafka = milena::connect(&servers).await?;
//! # let producer = kafka.producer().build().await?;
//! # producer.send(milena::Record::to("orders").key("o-1").value("hi")).await?;
//! let consumer = kafka.consumer("my-group").auto_offset_reset(OffsetReset::Earliest);
//! let mut consumer = consumer.subscribe(["orders"]).build().await?;
//! while let Some(message) = consumer.try_next().await? {
//!     println!("{} => {:?}", message.offset(), message.value());
//!     # break;
//! }
//! consumer.close(Duration::from_secs(10)).await?;
//! # Ok(()) }
//! ```
//!
//! # Cancellation
//! Every future says what dropping it leaves behind. In short: before a record is admitted nothing is sent, afterwards
//! it is not taken back; a dropped `poll` loses no record; commits, closes and the like go on without their caller. No
//! task outlives `close`, and no `drop` blocks.
//!
//! The public interface is: [`connect`], [`Kafka`], [`KafkaBuilder`]; [`Producer`], [`ProducerBuilder`], [`Record`],
//! [`Send`], [`Delivery`], [`Deliveries`], [`Outcomes`], [`RecordMetadata`], [`TypedProducer`], [`Partitioner`],
//! [`ProducerInterceptor`]; [`Consumer`], [`ConsumerBuilder`], [`ConsumerHandle`], [`Batch`], [`Message`],
//! [`MessageRef`], [`PartitionStream`], [`TypedConsumer`], [`DeadLetter`], [`RebalanceListener`],
//! [`Stall`], [`ConsumerInterceptor`]; [`ShareConsumer`], [`ShareConsumerBuilder`], [`ShareConsumerHandle`], [`ShareMessage`],
//! [`Acknowledgement`]; [`Admin`] with its descriptions; [`Error`] and [`ErrorKind`]; the modules
//! [`blocking`], [`config`] and [`format`](mod@format); and the vocabulary of `milena-types`.
#![forbid(unsafe_code)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an answer of another API than the one that was asked, or a reply to another question, is one case"
)]

mod admin;
pub mod blocking;
mod client;
mod clock;
pub mod config;
mod consumer;
mod driver;
pub mod format;
mod interceptor;
mod meter;
mod net;
mod producer;
mod received;
mod share;

pub use milena_engine::metadata::PartitionMetadata;
pub use milena_engine::producer::{PartitionContext, Partitioner, Partitioning};
pub use milena_engine::transaction::{GroupMetadata, TransactionOutcome};
pub use milena_engine::{Error, ErrorKind, Fate, Operation};
pub use milena_records::{Header, Headers};
pub use milena_types::{
    ErrorCode, Generation, LeaderEpoch, NodeId, Offset, Timestamp, Topic, TopicPartition, Uuid,
};

pub use admin::{
    Admin, CreateTopic, GroupDescription, GroupListing, GroupMember, GroupOffset, TopicDescription,
    TopicListing,
};
pub use client::{Kafka, KafkaBuilder, connect};
pub use consumer::{
    Batch, Consumer, ConsumerBuilder, ConsumerHandle, ConsumerInterceptor, ConsumerMetrics,
    DeadLetter, Mark, Message, MessageRef, Messages, PartitionStream, PoisonHandler,
    RebalanceListener, SkipPoison, Stall, SubscriptionPattern, TypedConsumer, TypedMessage,
};
pub use interceptor::ProducerInterceptor;
pub use meter::FetchMetrics;
pub use milena_engine::consumer::{
    CommittedOffset, FoundOffset, GroupMembershipOperation, MemberState,
};
pub use milena_engine::share::Acknowledgement;
pub use producer::{
    Deliveries, Delivery, Enqueue, EnqueueAll, EnqueueWithCallback, Outcomes, Payload, Producer,
    ProducerBuilder, ProducerMetrics, ProducerTopic, Record, RecordMetadata, Send,
    SendInTransaction, SendWithCallback, Sending, TopicName, Transaction, TransactionalProducer,
    TryEnqueueError, TypedProducer,
};
#[cfg(feature = "unstable-two-phase-commit")]
pub use producer::{PreparedState, PreparedTransaction};
pub use share::{
    ShareConsumer, ShareConsumerBuilder, ShareConsumerHandle, ShareConsumerMetrics, ShareMessage,
};

/// What every call of the client returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the user's own code: of a serializer, an interceptor.
pub type BoxError = Box<dyn std::error::Error + std::marker::Send + Sync>;

/// The first page's examples, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct FirstPage;

/// The page's examples, so that they run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/transactions.md")]
struct TransactionsPage;

/// The consumer's page and that of its groups, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/consumer.md")]
#[doc = include_str!("../../../docs/groups.md")]
struct ConsumerPages;

/// The producer's page, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/producer.md")]
struct ProducerPage;

/// The page on testing an application, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct TestingPage;

/// The page of share groups, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/share-groups.md")]
struct ShareGroupsPage;
