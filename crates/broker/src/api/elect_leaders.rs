//! ElectLeaders (key 43), versions 0-2.
//!
//! Gives partitions their preferred leader back, or one that lacks records where there is no other (KIP-460).
//!
//! Notes: any node answers.

use milena_types::{ErrorCode, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use milena_wire::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use super::{Call, Outcome, Versions};
use crate::state::{Election, Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &ElectLeadersRequest) -> Outcome {
    let election = match request.election_type {
        0 => Election::Preferred,
        1 => Election::Unclean,
        unknown => {
            let why = format!("Unknown election type {unknown}");
            let refused = Refused::new(ErrorCode::INVALID_REQUEST, why);
            return Outcome::Answer(answer_all(request, refused.code, &refused));
        }
    };
    let is_of_all = request.topic_partitions.is_none();
    let asked = request.topic_partitions.clone().unwrap_or_else(|| {
        let of_topic = |(name, topic): (&milena_types::Topic, &crate::topic::TopicState)| {
            let partitions = topic.indexed().map(|(index, _)| index).collect();
            TopicPartitions { topic: name.as_str().into(), partitions }
        };
        state.topics.iter().map(of_topic).collect()
    });
    let mut replica_election_results = Vec::with_capacity(asked.len());
    for TopicPartitions { topic, partitions } in asked {
        let mut partition_result = Vec::with_capacity(partitions.len());
        for index in partitions {
            let partition = TopicPartition::new(&*topic, index);
            let refused = state.elect(call.now, &partition, election).err();
            let is_needless =
                refused.as_ref().is_some_and(|one| one.code == ErrorCode::ELECTION_NOT_NEEDED);
            // Who asks for all of them hears of those only that were in need of it.
            if !is_of_all || !is_needless {
                partition_result.push(answer(index, refused));
            }
        }
        replica_election_results.push(ReplicaElectionResult { topic, partition_result });
    }
    let response = ElectLeadersResponse { replica_election_results, ..Default::default() };
    Outcome::Answer(response.into())
}

pub(super) fn error(request: &ElectLeadersRequest, code: ErrorCode) -> Response {
    // Version 0 has no place for an error but with the partitions; where none is named there is no other.
    let named = request.topic_partitions.is_some();
    answer_all(request, if named { ErrorCode::NONE } else { code }, &Refused::without_reason(code))
}

fn answer_all(request: &ElectLeadersRequest, error_code: ErrorCode, refused: &Refused) -> Response {
    let topics = request.topic_partitions.iter().flatten();
    let results = topics.map(|topic| ReplicaElectionResult {
        topic: topic.topic.clone(),
        partition_result: topic
            .partitions
            .iter()
            .map(|index| answer(*index, Some(refused.clone())))
            .collect(),
    });
    ElectLeadersResponse {
        error_code,
        replica_election_results: results.collect(),
        ..Default::default()
    }
    .into()
}

fn answer(partition_id: i32, refused: Option<Refused>) -> PartitionResult {
    let (error_code, error_message) = refused.map_or((ErrorCode::NONE, None), Refused::into_told);
    PartitionResult { partition_id, error_code, error_message }
}
