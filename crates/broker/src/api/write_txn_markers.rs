//! WriteTxnMarkers (key 27), versions 1-2.
//!
//! Ends transactions in partitions past their coordinator, as Kafka's coordinators and `kafka-transactions.sh --abort` do.
//! From version 2 on it says which protocol the producer follows, whose late markers are then refused (KAFKA-19999).
//!
//! Notes: a real broker takes it from anyone only where it has no authorizer, which there is none of here. The
//! coordinator's own markers take no request.

use milena_types::{ErrorCode, LeaderEpoch, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use milena_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponse,
};

use super::{Call, Outcome, Versions};
use crate::state::{Identity, State};
use crate::storage::MarkerTerm;
use crate::transaction::{End, TransactionVersion};

pub(super) const VERSIONS: Versions = Versions::new(1, 2);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &WriteTxnMarkersRequest,
) -> Outcome {
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in &request.markers {
        markers.push(answer(marker, |topic, index| {
            write(state, call, marker, topic, index).err().unwrap_or(ErrorCode::NONE)
        }));
    }
    Outcome::Answer(WriteTxnMarkersResponse { markers }.into())
}

pub(super) fn error(request: &WriteTxnMarkersRequest, code: ErrorCode) -> Response {
    let markers = request.markers.iter().map(|marker| answer(marker, |_, _| code)).collect();
    WriteTxnMarkersResponse { markers }.into()
}

fn write(
    state: &mut State,
    call: &Call<'_>,
    marker: &WritableTxnMarker,
    topic: &WritableTxnMarkerTopic,
    index: i32,
) -> Result<(), ErrorCode> {
    let tp = TopicPartition::new(&*topic.name, index);
    let partition = state.partition(&topic.name, index);
    let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    partition.check_leader(call.node, None).map_err(|failed| failed.0)?;
    let producer = Identity::from_wire(marker.producer_id, marker.producer_epoch)?;
    let end = if marker.transaction_result { End::Commit } else { End::Abort };
    let is_v2 = call.version >= 2 && marker.transaction_version >= 2;
    let term = MarkerTerm {
        coordinator_epoch: LeaderEpoch::from_wire(marker.coordinator_epoch),
        version: if is_v2 { TransactionVersion::V2 } else { TransactionVersion::V1 },
    };
    state.append_marker(call.now, &tp, producer, end, term).map_err(|refused| refused.code)?;
    Ok(())
}

fn answer(
    marker: &WritableTxnMarker,
    mut code: impl FnMut(&WritableTxnMarkerTopic, i32) -> ErrorCode,
) -> WritableTxnMarkerResult {
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in &marker.topics {
        let results =
            topic.partition_indexes.iter().map(|index| WritableTxnMarkerPartitionResult {
                partition_index: *index,
                error_code: code(topic, *index),
            });
        let partitions = results.collect();
        topics.push(WritableTxnMarkerTopicResult { name: topic.name.clone(), partitions });
    }
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics }
}
