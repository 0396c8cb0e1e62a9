//! Messages whose older versions have another shape, not only fewer fields.
//!
//! Machines fill in and read the newest shape only. The version is known here and nowhere else, so here they are
//! told apart; what an older version cannot say at all (two groups in one request) is left to the codec to refuse.

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId};
use milena_wire::ByteString;
use milena_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use milena_wire::messages::leave_group_request::LeaveGroupRequest;
use milena_wire::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
};
use milena_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use milena_wire::messages::{DeleteTopicsRequest, FindCoordinatorRequest, InitProducerIdRequest};
use milena_wire::{DecodeError, Request, Response, decode_response};

/// What must be known of a request to read its answer.
#[derive(Debug)]
pub(super) struct Question {
    api: ApiKey,
    /// The group or key that it was about, which the answer of an old version leaves out.
    key: ByteString,
}

/// Gives a request the shape of `version`.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others only gain or lose fields")]
pub(super) fn request(request: Request, version: i16) -> (Request, Question) {
    let api = request.api_key();
    let mut key = ByteString::new();
    let request = match request {
        Request::FindCoordinator(mut request)
            if version < 4 && request.coordinator_keys.len() == 1 =>
        {
            key = request.coordinator_keys.pop().unwrap_or_default();
            FindCoordinatorRequest { key: key.clone(), ..request }.into()
        }
        // Before version 3 every request brings a new epoch, whoever asks (KIP-360).
        Request::InitProducerId(request) if version < 3 => {
            InitProducerIdRequest { producer_id: -1, producer_epoch: -1, ..request }.into()
        }
        Request::OffsetFetch(mut request) if version < 8 && request.groups.len() == 1 => {
            let group = request.groups.pop().unwrap_or_default();
            key = group.group_id.clone();
            old_offset_fetch(group, request.require_stable && version >= 7).into()
        }
        Request::LeaveGroup(mut request) if version < 3 && request.members.len() == 1 => {
            let member_id = request.members.pop().unwrap_or_default().member_id;
            LeaveGroupRequest { member_id, ..request }.into()
        }
        Request::DeleteTopics(request) if version < 6 => {
            let names = request.topics.into_iter().filter_map(|topic| topic.name);
            let topic_names = names.chain(request.topic_names).collect();
            DeleteTopicsRequest { topics: Vec::new(), topic_names, ..request }.into()
        }
        other => other,
    };
    (request, Question { api, key })
}

impl Question {
    /// Reads the answer, into the newest shape.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others only gain or lose fields")]
    pub(super) fn decode(
        &self,
        version: i16,
        frame: Bytes,
    ) -> Result<(CorrelationId, Response), DecodeError> {
        let (correlation, response) = decode_response(self.api, version, frame)?;
        let response = match response {
            Response::FindCoordinator(response) if version < 4 => {
                new_find_coordinator(self.key.clone(), response).into()
            }
            Response::OffsetFetch(response) if version < 8 => {
                new_offset_fetch(self.key.clone(), response).into()
            }
            other => other,
        };
        Ok((correlation, response))
    }
}

/// Before version 7 nobody can wait for open transactions (KIP-447); Java reads without then, too.
fn old_offset_fetch(group: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchRequest {
    let topics = group.topics.map(|topics| {
        let old = topics.into_iter().map(|topic| OffsetFetchRequestTopic {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
        });
        old.collect()
    });
    let group_id = group.group_id;
    OffsetFetchRequest { group_id, topics, require_stable, ..OffsetFetchRequest::default() }
}

fn new_offset_fetch(group_id: ByteString, response: OffsetFetchResponse) -> OffsetFetchResponse {
    let partition = |old: OffsetFetchResponsePartition| OffsetFetchResponsePartitions {
        partition_index: old.partition_index,
        committed_offset: old.committed_offset,
        committed_leader_epoch: old.committed_leader_epoch,
        metadata: old.metadata,
        error_code: old.error_code,
    };
    let topic = |old: OffsetFetchResponseTopic| OffsetFetchResponseTopics {
        name: old.name,
        partitions: old.partitions.into_iter().map(partition).collect(),
        ..OffsetFetchResponseTopics::default()
    };
    let topics = response.topics.into_iter().map(topic).collect();
    let error_code = response.error_code;
    OffsetFetchResponse {
        throttle_time_ms: response.throttle_time_ms,
        groups: vec![OffsetFetchResponseGroup { group_id, topics, error_code }],
        ..OffsetFetchResponse::default()
    }
}

fn new_find_coordinator(
    key: ByteString,
    response: FindCoordinatorResponse,
) -> FindCoordinatorResponse {
    let found = Coordinator {
        key,
        node_id: response.node_id,
        host: response.host,
        port: response.port,
        error_code: response.error_code,
        error_message: response.error_message,
    };
    FindCoordinatorResponse {
        throttle_time_ms: response.throttle_time_ms,
        coordinators: vec![found],
        ..FindCoordinatorResponse::default()
    }
}
