//! ListOffsets (key 2), versions 1-11.
//!
//! The start (-2) or end (-1) of a partition, the first record at or after a time, the record with the largest time
//! (-3, version 7); the marker of a transaction is a record here. A partition that is asked for twice is refused. The end is the high watermark, or the last stable offset with read_committed.
//!
//! Notes: nothing is tiered, so -4 is as -2, and -5 and -6 find nothing.

use std::collections::BTreeSet;

use milena_records::Decompressor;
use milena_types::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use milena_wire::Response;
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use milena_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::State;
use crate::storage::Batch;
use crate::topic::Partition;

pub(super) const VERSIONS: Versions = Versions::new(1, 11);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &ListOffsetsRequest) -> Outcome {
    let is_read_committed = request.isolation_level == 1;
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for topic in &request.topics {
        for asked in &topic.partitions {
            let asked = (&*topic.name, asked.partition_index);
            if !seen.insert(asked) {
                twice.insert(asked);
            }
        }
    }
    let tells_each = state.settings.release().tells_each_double();
    let mut told = BTreeSet::new();
    let topics = request.topics.iter().map(|topic| {
        let place = |asked: &ListOffsetsPartition| (&*topic.name, asked.partition_index);
        let is_told = |asked: &&ListOffsetsPartition| {
            tells_each || !twice.contains(&place(asked)) || told.insert(place(asked))
        };
        let partitions = topic.partitions.iter().filter(is_told).map(|asked| {
            let found = if twice.contains(&place(asked)) {
                Err(ErrorCode::INVALID_REQUEST)
            } else {
                find(state, call, &topic.name, asked, is_read_committed)
            };
            found.unwrap_or_else(|code| failure(asked, code))
        });
        ListOffsetsTopicResponse { name: topic.name.clone(), partitions: partitions.collect() }
    });
    Outcome::Answer(ListOffsetsResponse { topics: topics.collect(), ..Default::default() }.into())
}

pub(super) fn error(request: &ListOffsetsRequest, code: ErrorCode) -> Response {
    let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
        name: topic.name.clone(),
        partitions: topic.partitions.iter().map(|asked| failure(asked, code)).collect(),
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }.into()
}

fn find(
    state: &State,
    call: &Call<'_>,
    topic: &str,
    asked: &ListOffsetsPartition,
    is_read_committed: bool,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    call.check(state, AclOperation::Describe, Resource::Topic(topic))?;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let partition = state.partition(topic, asked.partition_index).ok_or(unknown)?;
    let known = LeaderEpoch::from_wire(asked.current_leader_epoch);
    partition.check_leader(call.node, known).map_err(|failed| failed.0)?;
    let end =
        if is_read_committed { partition.last_stable_offset() } else { partition.high_watermark() };
    let release = state.settings.release();
    let answer = |found: Option<(Offset, Option<Timestamp>)>, epoch: Option<LeaderEpoch>| {
        ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: found.map_or(-1, |(offset, _)| offset.get()),
            timestamp: found.and_then(|(_, time)| time).map_or(-1, Timestamp::millis),
            // Older versions have no place for an epoch.
            leader_epoch: LeaderEpoch::to_wire(
                epoch.filter(|_| found.is_some() && call.version >= 4 && release.lists_epochs()),
            ),
            ..Default::default()
        }
    };
    let log = partition.log();
    Ok(match asked.timestamp {
        EARLIEST | EARLIEST_LOCAL => {
            let start = log.start();
            answer(Some((start, None)), log.epoch_at(start).or(Some(partition.leader_epoch())))
        }
        LATEST => answer(Some((end, None)), Some(partition.leader_epoch())),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => answer(None, None),
        MAX_TIMESTAMP if call.version >= 7 => {
            let batch = log.batch_of_max_timestamp(end);
            let found = batch.and_then(|b| first_at(b, b.max_timestamp()?, partition));
            answer(found, batch.and_then(Batch::leader_epoch))
        }
        negative if negative < 0 && release.refuses_unknown_times() => {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        time => {
            let time = Timestamp::from_millis(time);
            let mut batches = log.batches_at_time(time, end);
            let found = batches.find_map(|batch| Some((first_at(batch, time, partition)?, batch)));
            answer(
                found.map(|(record, _)| record),
                found.and_then(|(_, batch)| batch.leader_epoch()),
            )
        }
    })
}

/// The first record of the batch at or after `time`, still within the log.
fn first_at(
    batch: &Batch,
    time: Timestamp,
    partition: &Partition,
) -> Option<(Offset, Option<Timestamp>)> {
    let start = partition.log().start();
    if batch.is_log_append_time() {
        // All its records have the batch's time.
        return Some((batch.base_offset().max(start), batch.max_timestamp()));
    }
    let parsed = milena_records::Batch::parse(batch.to_bytes()).ok()?;
    // The checksum was compared when the batch was taken in.
    let decoded = parsed.decode_unverified(&mut Decompressor::default()).ok()?;
    let mut records = decoded.iter().map_while(Result::ok);
    let found = records.find(|record| record.timestamp() >= Some(time) && record.offset() >= start);
    found.map(|record| (record.offset(), record.timestamp()))
}

fn failure(asked: &ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: code,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
    }
}

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
