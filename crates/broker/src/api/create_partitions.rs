//! CreatePartitions (key 37), versions 0-3.
//!
//! Raises the number of a topic's partitions, or with `validate_only` says whether it could.
//!
//! Whoever has changed more than its quota lets it is refused from version 3 on, and asked for silence below (KIP-599).
//!
//! Notes: any node answers.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, NodeId};
use milena_wire::Response;
use milena_wire::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use milena_wire::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use super::create_topics::BATCH_TOO_LARGE;
use super::{Call, Outcome, Versions, milliseconds};
use crate::acl::{AclOperation, Resource};
use crate::quota::Mutations;
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 3);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &CreatePartitionsRequest,
) -> Outcome {
    let mut times = BTreeMap::<_, usize>::new();
    for topic in &request.topics {
        *times.entry(&*topic.name).or_default() += 1;
    }
    let is_judged = |topic: &&CreatePartitionsTopic| times.get(&*topic.name) == Some(&1);
    if let Err(refused) = check_size(state, call, request.topics.iter().filter(is_judged)) {
        let results = request.topics.iter().map(|topic| answer(topic, Some(refused.clone())));
        let results = results.collect();
        return Outcome::Answer(CreatePartitionsResponse { results, ..Default::default() }.into());
    }
    let mut mutations = Mutations::new(call.now, call.client_id, call.version >= STRICT_SINCE);
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        // A name that stands twice is answered once, and refused.
        let raised = match times.remove(&*topic.name) {
            None => continue,
            Some(1) => raise(state, call, &mut mutations, topic, request.validate_only),
            Some(_) => Err(Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")),
        };
        results.push(answer(topic, raised.err()));
    }
    let throttle_time_ms = milliseconds(mutations.silence());
    Outcome::Answer(CreatePartitionsResponse { throttle_time_ms, results }.into())
}

pub(super) fn error(request: &CreatePartitionsRequest, code: ErrorCode) -> Response {
    let refused = || Some(Refused::without_reason(code));
    let results = request.topics.iter().map(|topic| answer(topic, refused())).collect();
    CreatePartitionsResponse { results, ..Default::default() }.into()
}

/// Refuses a request for too many partitions, as far as they can be added at all.
fn check_size<'a>(
    state: &State,
    call: &Call<'_>,
    topics: impl Iterator<Item = &'a CreatePartitionsTopic>,
) -> Result<(), Refused> {
    let release = state.settings.release();
    let judged =
        topics.filter(|topic| call.may(state, AclOperation::Alter, Resource::Topic(&topic.name)));
    let added = judged.filter_map(|topic| {
        let there = state.topics.get(&*topic.name)?.partitions.len();
        usize::try_from(topic.count).ok()?.checked_sub(there)
    });
    if added.sum::<usize>() > PARTITIONS_MAX && release.bounds_added_partitions() {
        let why = match release.words_added_partitions() {
            true => "Excessively large number of additional partitions per request.",
            false => BATCH_TOO_LARGE,
        };
        return Err(Refused::new(ErrorCode::POLICY_VIOLATION, why));
    }
    Ok(())
}

fn raise(
    state: &mut State,
    call: &Call<'_>,
    mutations: &mut Mutations<'_>,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refused> {
    call.check(state, AclOperation::Alter, Resource::Topic(&topic.name))
        .map_err(Refused::without_reason)?;
    let assigned = topic.assignments.as_ref().map(Vec::len);
    let added = state.count_partitions(&topic.name, topic.count, assigned)?;
    // Before anybody looks at where they are to be.
    mutations.charge(&mut state.quotas, added)?;
    let assignments = topic.assignments.as_ref().map(|assignments| {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId::new).collect();
        assignments.iter().map(|assignment| nodes(&assignment.broker_ids)).collect()
    });
    let added = state.plan_partitions(&topic.name, topic.count, assignments)?;
    if validate_only {
        return Ok(());
    }
    state.add_partitions(call.now, &topic.name, added);
    Ok(())
}

fn answer(topic: &CreatePartitionsTopic, refused: Option<Refused>) -> CreatePartitionsTopicResult {
    let (error_code, error_message) = refused.map_or((ErrorCode::NONE, None), Refused::into_told);
    CreatePartitionsTopicResult { name: topic.name.clone(), error_code, error_message }
}

/// Kafka's, so that one request does not hold up its controller.
const PARTITIONS_MAX: usize = 10_000;

/// Since when clients know THROTTLING_QUOTA_EXCEEDED.
const STRICT_SINCE: i16 = 3;
