//! The stage's topic as its leader keeps it: what is appended, what is read, where it begins and ends.

use bytes::Bytes;
use milena_types::ErrorCode as E;
use milena_wire::Records;
use milena_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use milena_wire::messages::fetch_response::PartitionData;
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::list_offsets_response::ListOffsetsPartitionResponse;
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::produce_response::PartitionProduceResponse;
use milena_wire::messages::{
    DeleteRecordsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest,
};

use crate::Result;
use crate::raw::{Batch, message};
use crate::scenarios::stage::{Role, Stage, answer};

pub(super) const PRODUCE: i16 = 7;
pub(super) const FETCH: i16 = 10;
const LIST: i16 = 4;
const DELETE: i16 = 1;

/// What asks for the first offset that is there, and for the end.
pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;

/// A batch as it lies in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stored {
    pub(super) base_offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) attributes: i16,
    pub(super) last_offset: i64,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    /// What comes after the header.
    pub(super) records: Bytes,
}

/// That a batch's records are of a transaction, and that it is a marker.
pub(super) const TRANSACTIONAL: i16 = 0x10;
pub(super) const CONTROL: i16 = 0x20;
/// That its time is the broker's.
pub(super) const LOG_APPEND_TIME: i16 = 0x08;

impl Stage {
    pub(super) fn producing(&self, partitions: &[(i32, &Batch)]) -> ProduceRequest {
        let partition = |(index, batch): &(i32, &Batch)| {
            let records = Some(Records::from(batch.bytes()));
            message!(PartitionProduceData { index: *index, records: records })
        };
        let topic = message!(TopicProduceData {
            name: self.name.clone(),
            partition_data: partitions.iter().map(partition).collect(),
        });
        message!(ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic] })
    }

    /// What is said of each partition that was produced to, in the order of their numbers.
    pub(super) async fn produced(
        &mut self,
        version: i16,
        ask: ProduceRequest,
    ) -> Result<Vec<PartitionProduceResponse>> {
        self.topic().await?;
        let told = answer!(Produce of self.told(Role::Leader, version, ask).await?);
        let mut all: Vec<_> =
            told.responses.into_iter().flat_map(|topic| topic.partition_responses).collect();
        all.sort_by_key(|one| one.index);
        Ok(all)
    }

    /// Appends to the first partition: where the batch begins.
    pub(super) async fn append(&mut self, batch: &Batch) -> Result<i64> {
        let told = self.produced(PRODUCE, self.producing(&[(0, batch)])).await?;
        assert_eq!(told[0].error_code, E::NONE, "{told:?}");
        Ok(told[0].base_offset)
    }

    pub(super) fn fetching(&self, partitions: &[(i32, i64)]) -> FetchRequest {
        let partition = |(index, offset): &(i32, i64)| {
            message!(FetchPartition {
                partition: *index,
                fetch_offset: *offset,
                partition_max_bytes: 1 << 20,
            })
        };
        let topic = message!(FetchTopic {
            topic: self.name.clone(),
            partitions: partitions.iter().map(partition).collect(),
        });
        message!(FetchRequest { max_bytes: 1 << 20, topics: vec![topic] })
    }

    /// What is said of the only partition that is asked for.
    pub(super) async fn fetched(&mut self, ask: FetchRequest) -> Result<PartitionData> {
        self.topic().await?;
        let told = answer!(Fetch of self.told(Role::Leader, FETCH, ask).await?);
        assert_eq!(told.error_code, E::NONE, "{told:?}");
        let mut partitions = told.responses.into_iter().flat_map(|topic| topic.partitions);
        Ok(partitions.next().ok_or("no partition in the answer")?)
    }

    /// The whole batches of the first partition from `offset` on.
    pub(super) async fn stored(&mut self, offset: i64) -> Result<Vec<Stored>> {
        let told = self.fetched(self.fetching(&[(0, offset)])).await?;
        assert_eq!(told.error_code, E::NONE, "{told:?}");
        Ok(batches(&told))
    }

    /// What is found in the first partition for a time, or for [`EARLIEST`] or [`LATEST`].
    pub(super) async fn found(&mut self, timestamp: i64) -> Result<ListOffsetsPartitionResponse> {
        let partition = message!(ListOffsetsPartition { timestamp: timestamp });
        let topic =
            message!(ListOffsetsTopic { name: self.name.clone(), partitions: vec![partition] });
        let ask = message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] });
        self.topic().await?;
        let told = answer!(ListOffsets of self.told(Role::Leader, LIST, ask).await?);
        let one = told.topics[0].partitions[0].clone();
        assert_eq!(one.error_code, E::NONE, "{told:?}");
        Ok(one)
    }

    /// Where the first partition begins and ends.
    pub(super) async fn ends(&mut self) -> Result<(i64, i64)> {
        Ok((self.found(EARLIEST).await?.offset, self.found(LATEST).await?.offset))
    }

    /// Deletes what is before `offset`: where the log begins then, or why not.
    pub(super) async fn delete_before(&mut self, offset: i64) -> Result<(E, i64)> {
        let partition = message!(DeleteRecordsPartition { offset: offset });
        let topic =
            message!(DeleteRecordsTopic { name: self.name.clone(), partitions: vec![partition] });
        let ask = message!(DeleteRecordsRequest { topics: vec![topic], timeout_ms: 30_000 });
        self.topic().await?;
        let told = answer!(DeleteRecords of self.told(Role::Leader, DELETE, ask).await?);
        let one = &told.topics[0].partitions[0];
        Ok((one.error_code, one.low_watermark))
    }
}

/// The batches of an answer that are there as a whole.
pub(super) fn batches(told: &PartitionData) -> Vec<Stored> {
    let mut rest = told.records.as_ref().map(|records| records.head.clone()).unwrap_or_default();
    let mut all = Vec::new();
    while rest.len() > HEADER_BYTES {
        let length = 12 + number::<4>(&rest, 8).map_or(0, |n| u32::from_be_bytes(n) as usize);
        if rest.len() < length {
            break;
        }
        all.extend(batch(&rest.split_to(length)));
    }
    all
}

/// The header of a batch of magic 2.
const HEADER_BYTES: usize = 61;

fn batch(bytes: &Bytes) -> Option<Stored> {
    let base_offset = i64::from_be_bytes(number(bytes, 0)?);
    Some(Stored {
        base_offset,
        leader_epoch: i32::from_be_bytes(number(bytes, 12)?),
        attributes: i16::from_be_bytes(number(bytes, 21)?),
        last_offset: base_offset + i64::from(i32::from_be_bytes(number(bytes, 23)?)),
        max_timestamp: i64::from_be_bytes(number(bytes, 35)?),
        producer_id: i64::from_be_bytes(number(bytes, 43)?),
        producer_epoch: i16::from_be_bytes(number(bytes, 51)?),
        base_sequence: i32::from_be_bytes(number(bytes, 53)?),
        records: bytes.slice(HEADER_BYTES..),
    })
}

fn number<const N: usize>(bytes: &Bytes, at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
