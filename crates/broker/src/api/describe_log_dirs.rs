//! DescribeLogDirs (key 35), versions 1-5.
//!
//! The partitions of which the asked node holds a copy, and how long their logs are.
//!
//! Notes: each node has one directory, whose name says nothing: logs are in memory, whatever is written down besides. So
//! its size and what is left of it are not known (-1).

use std::collections::BTreeSet;

use milena_types::{ErrorCode, Topic};
use milena_wire::Response;
use milena_wire::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use milena_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::{Call, Outcome, Versions};
use crate::state::State;
use crate::topic::{Partition, TopicState};

pub(super) const VERSIONS: Versions = Versions::new(1, 5);

/// The one directory of each node.
pub(super) const LOG_DIR: &str = "/var/lib/kafka/data";

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeLogDirsRequest,
) -> Outcome {
    let asked: Option<BTreeSet<(&str, i32)>> = request.topics.as_ref().map(|topics| {
        let partitions = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (&*topic.topic, *partition)));
        partitions.collect()
    });
    let is_asked = |name: &Topic, index: i32| {
        asked.as_ref().is_none_or(|asked| asked.contains(&(name.as_str(), index)))
    };
    let names_all = state.settings.release().names_every_log();
    let describe = |(name, topic): (&Topic, &TopicState)| {
        let partitions = topic.indexed().filter(|(index, _)| is_asked(name, *index));
        let copies = partitions.filter_map(|(partition_index, partition)| {
            let end = partition.end_at(call.node)?;
            let lag = partition.high_watermark().get().saturating_sub(end.get());
            Some(DescribeLogDirsPartition {
                partition_index,
                partition_size: bytes(partition),
                offset_lag: lag.max(0),
                is_future_key: false,
            })
        });
        let partitions: Vec<_> = copies.collect();
        let name = name.as_str().into();
        let is_told = !partitions.is_empty()
            || names_all && topic.indexed().any(|(_, one)| one.end_at(call.node).is_some());
        is_told.then_some(DescribeLogDirsTopic { name, partitions })
    };
    let result = DescribeLogDirsResult {
        log_dir: LOG_DIR.into(),
        topics: state.topics.iter().filter_map(describe).collect(),
        total_bytes: -1,
        usable_bytes: -1,
        ..Default::default()
    };
    let response = DescribeLogDirsResponse { results: vec![result], ..Default::default() };
    Outcome::Answer(response.into())
}

pub(super) fn error(_: &DescribeLogDirsRequest, code: ErrorCode) -> Response {
    DescribeLogDirsResponse { error_code: code, ..Default::default() }.into()
}

fn bytes(partition: &Partition) -> i64 {
    let bytes: usize = partition.log().batches().map(|batch| batch.bytes()).sum();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
