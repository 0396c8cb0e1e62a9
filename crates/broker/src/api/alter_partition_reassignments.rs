//! AlterPartitionReassignments (key 45), versions 0-1.
//!
//! Gives partitions other replicas (KIP-455).
//!
//! Notes: new replicas have the whole log at once, so that a reassignment is over when it is answered and none can be
//! called off. One to nodes that are all down is refused, where Kafka waits for them.

use milena_types::{ErrorCode, NodeId, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition,
};
use milena_wire::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};

use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &AlterPartitionReassignmentsRequest,
) -> Outcome {
    let may_change_factor = request.allow_replication_factor_change;
    let reassign = |topic: &str, partition: &ReassignablePartition| {
        let at = TopicPartition::new(topic, partition.partition_index);
        let nodes = partition.replicas.as_ref();
        let nodes = nodes.map(|ids| ids.iter().copied().map(NodeId::new).collect());
        state.reassign(call.now, &at, nodes, may_change_factor).err()
    };
    Outcome::Answer(answer(request, reassign))
}

pub(super) fn error(request: &AlterPartitionReassignmentsRequest, code: ErrorCode) -> Response {
    answer(request, |_, _| Some(Refused::without_reason(code)))
}

fn answer(
    request: &AlterPartitionReassignmentsRequest,
    mut judge: impl FnMut(&str, &ReassignablePartition) -> Option<Refused>,
) -> Response {
    let responses = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let refused = judge(&topic.name, partition);
            let (error_code, error_message) =
                refused.map_or((ErrorCode::NONE, None), Refused::into_told);
            let partition_index = partition.partition_index;
            ReassignablePartitionResponse { partition_index, error_code, error_message }
        });
        ReassignableTopicResponse { name: topic.name.clone(), partitions: partitions.collect() }
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: responses.collect(),
        error_message: None,
        ..Default::default()
    }
    .into()
}
