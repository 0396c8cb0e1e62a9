//! Asking about and changing the cluster: topics and groups.

mod call;
mod group;
mod topic;

use std::future::IntoFuture;
use std::pin::Pin;

use milena_engine::Error;
use milena_types::Topic;

pub use group::{GroupDescription, GroupListing, GroupMember, GroupOffset};
pub use topic::{TopicDescription, TopicListing};

use crate::Kafka;

/// Asks about topics and groups, and changes them.
///
/// Made by [`Kafka::admin`]; cheap to clone. Every call is tried again while its error may pass, for
/// `default.api.timeout.ms` at most. Calls about several items return one result for each, in the order asked.
/// Dropping a future sends nothing more; what was sent may still be carried out.
///
/// # Examples
/// ```no_run
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// let admin = kafka.admin();
/// admin.create_topic("orders").partitions(3).config("retention.ms", "604800000").await?;
/// for topic in admin.list_topics().await? {
///     println!("{}", topic.name());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    kafka: Kafka,
}

impl Admin {
    pub(crate) fn new(kafka: Kafka) -> Self {
        Self { kafka }
    }

    /// Sets up a new topic; await it to create it.
    pub fn create_topic(&self, name: impl Into<Topic>) -> CreateTopic {
        CreateTopic {
            admin: self.clone(),
            name: name.into(),
            partitions: None,
            replication_factor: None,
            configs: Vec::new(),
        }
    }

    /// Deletes topics.
    ///
    /// # Errors
    /// For a topic `UnknownTopic`, `Authorization`; for all `Connection`, `Timeout`.
    pub async fn delete_topics<T: Into<Topic>>(
        &self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Vec<(Topic, Result<(), Error>)>, Error> {
        topic::delete(&self.kafka, names.into_iter().map(Into::into).collect()).await
    }

    /// All topics, in order of name.
    ///
    /// # Errors
    /// `Connection`, `Timeout`.
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>, Error> {
        topic::list(&self.kafka).await
    }

    /// Partitions, leaders, replicas, and the settings that differ from the brokers' defaults.
    ///
    /// # Errors
    /// For a topic `UnknownTopic`, `Authorization`; for all `Connection`, `Timeout`.
    pub async fn describe_topics<T: Into<Topic>>(
        &self,
        names: impl IntoIterator<Item = T>,
    ) -> Result<Vec<(Topic, Result<TopicDescription, Error>)>, Error> {
        topic::describe(&self.kafka, names.into_iter().map(Into::into).collect()).await
    }

    /// All groups that the brokers know, in order of their ids.
    ///
    /// # Errors
    /// `Authorization`, `Connection`, `Timeout`: a list that lacks a broker's groups is no list.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, Error> {
        group::list(&self.kafka).await
    }

    /// A group's state and members.
    ///
    /// # Errors
    /// `Authorization`, `Connection`, `Timeout`. A group that does not exist is one in state `Dead`.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, Error> {
        group::describe(&self.kafka, group).await
    }

    /// A group's committed offsets with the ends of the logs and who reads them, in order of topic and partition;
    /// assigned partitions without a committed offset too.
    ///
    /// # Errors
    /// As [`describe_group`](Self::describe_group).
    pub async fn group_offsets(&self, group: &str) -> Result<Vec<GroupOffset>, Error> {
        group::offsets(&self.kafka, group).await
    }
}

/// A topic about to be created; see [`Admin::create_topic`].
#[derive(Clone, Debug)]
#[must_use = "nothing is created before it is awaited"]
pub struct CreateTopic {
    admin: Admin,
    name: Topic,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    configs: Vec<(String, String)>,
}

impl CreateTopic {
    /// How many partitions; the brokers' `num.partitions` unless said.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// How many copies of each partition; the brokers' `default.replication.factor` unless said.
    pub fn replication_factor(mut self, replication_factor: i16) -> Self {
        self.replication_factor = Some(replication_factor);
        self
    }

    /// A setting of the topic.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((key.into(), value.into()));
        self
    }
}

impl IntoFuture for CreateTopic {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Creates the topic.
    ///
    /// # Errors
    /// `Broker` with code `TOPIC_ALREADY_EXISTS`, `INVALID_PARTITIONS` or `INVALID_REPLICATION_FACTOR`;
    /// `Authorization`, `Connection`, `Timeout`.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(topic::create(self))
    }
}
