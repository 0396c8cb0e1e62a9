//! Records that a test stores itself, past any producer.

use std::time::Instant;

use bytes::Bytes;
use milena_records::{BatchBuilder, Buffer, Compression, Compressor, Header};
use milena_types::{ErrorCode, Offset, Timestamp, TopicPartition};

use super::Cluster;
use super::commands::CommandError;
use crate::api::produce::accepted;
use crate::storage::Batch;
use crate::topic::Origin;

/// A record to be stored by [`Cluster::append`].
///
/// # Examples
/// ```
/// use milena_broker::NewRecord;
///
/// let order = NewRecord::new("paid").key("order-7").header("source", "test");
/// let deleted = NewRecord::tombstone("order-7");
/// # assert_ne!(order, deleted);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "it is stored by `append`"]
pub struct NewRecord {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Bytes)>,
    timestamp: Option<Timestamp>,
}

impl NewRecord {
    /// A record without key and headers, of the cluster's time.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { key: None, value: Some(value.into()), headers: Vec::new(), timestamp: None }
    }

    /// A record without value: what deletes `key` from a compacted topic.
    pub fn tombstone(key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), value: None, headers: Vec::new(), timestamp: None }
    }

    /// Its key; default none.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// One more header.
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((key.into(), value.into()));
        self
    }

    /// Its time; default the cluster's.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

impl Cluster {
    /// Stores records in a partition as one batch, as its leader would for a producer without idempotence, and returns the
    /// offset of the first. Replicas that run have it at once.
    ///
    /// # Errors
    /// As Produce: where there is no such partition or nobody leads it, and for what its topic does not take. No records
    /// are INVALID_RECORD.
    pub fn append(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        records: impl IntoIterator<Item = NewRecord>,
    ) -> Result<Offset, CommandError> {
        let refuse = |code, message: &str| CommandError { code, message: message.to_owned() };
        let unknown = || refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "");
        let wall = self.state.wall(now);
        let bytes = encode(records, wall)
            .map_err(|error| refuse(ErrorCode::INVALID_RECORD, &error.to_string()))?;
        let topic = self.state.topics.get_mut(&partition.topic).ok_or_else(unknown)?;
        let leader = topic.partition(partition.partition).and_then(|found| found.leader());
        let config = *topic.config.on(leader);
        let found = topic.partition_mut(partition.partition).ok_or_else(unknown)?;
        let leader = leader.ok_or_else(|| refuse(ErrorCode::LEADER_NOT_AVAILABLE, ""))?;
        let rejected = |rejected: crate::storage::Rejected| refuse(rejected.code, rejected.why);
        let batch = Batch::read(&bytes).map_err(rejected)?;
        let mut noted = accepted(&batch, wall, leader, partition, found);
        let origin = Origin::Client { late: None };
        let appended = found.append(batch, origin, &config, wall).map_err(rejected)?;
        found.shrink(&config);
        noted.base_offset = appended.base_offset;
        self.state.journal.note_batch(noted);
        self.state.replicate(now, partition);
        self.deliver(now);
        Ok(appended.base_offset)
    }
}

fn encode(
    records: impl IntoIterator<Item = NewRecord>,
    wall: Timestamp,
) -> Result<Bytes, milena_records::Error> {
    let mut builder = BatchBuilder::new(Buffer::with_capacity(0));
    for record in records {
        let headers = record.headers.iter().map(|(key, value)| Header::new(key, value));
        let timestamp = record.timestamp.unwrap_or(wall);
        builder.append(timestamp, record.key.as_deref(), record.value.as_deref(), headers)?;
    }
    Ok(builder.seal(Compression::NONE, &mut Compressor::new())?.stamp(None).to_bytes())
}
