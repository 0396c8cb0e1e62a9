//! CreateTopics (key 19), versions 2-7.
//!
//! Creates each topic, or with `validate_only` says whether it could. Partitions and replication factor -1 take the
//! cluster's default. From version 5 on the answer has the topic's configuration.
//!
//! Whoever has changed more than its quota lets it is refused from version 6 on, and asked for silence below (KIP-599).
//!
//! Notes: any node answers, as KRaft brokers forward to the controller. A topic is there before the answer.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, NodeId, Uuid};
use milena_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use milena_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use milena_wire::{ByteString, Response};

use super::describe_configs::DYNAMIC_TOPIC_CONFIG;
use super::{Call, Outcome, Versions, milliseconds};
use crate::acl::{AclOperation, Resource};
use crate::broker_config::DEFAULT_CONFIG;
use crate::quota::Mutations;
use crate::state::{NewTopic, Refused, State};
use crate::topic::TopicState;

pub(super) const VERSIONS: Versions = Versions::new(2, 7);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &CreateTopicsRequest) -> Outcome {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for topic in &request.topics {
        if !seen.insert(&*topic.name) {
            twice.insert(&*topic.name);
        }
    }
    if let Err(refused) = check_size(state, call, request, &twice) {
        let (code, message) = refused.into_told();
        let failed = request.topics.iter().map(|topic| failure(topic, code, message.clone()));
        let topics = failed.collect();
        return Outcome::Answer(CreateTopicsResponse { topics, ..Default::default() }.into());
    }
    let mut mutations = Mutations::new(call.now, call.client_id, call.version >= STRICT_SINCE);
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut answered = BTreeSet::new();
    let release = state.settings.release();
    for topic in &request.topics {
        // A name that stands twice is answered once, but for some releases.
        if !answered.insert(&*topic.name) && !release.answers_doubles() {
            continue;
        }
        let created = if twice.contains(&*topic.name) {
            Err(Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            create(state, call, &mut mutations, topic, request.validate_only)
        };
        topics.push(match created {
            Ok(created) => {
                let name = Resource::Topic(&topic.name);
                match call.check(state, AclOperation::DescribeConfigs, name) {
                    // With KRaft a topic that is not there has an id, too.
                    Ok(()) if request.validate_only && release.has_zookeeper() => {
                        CreatableTopicResult {
                            topic_id: Uuid::ZERO,
                            ..answer(state, call, topic, &created)
                        }
                    }
                    Ok(()) => answer(state, call, topic, &created),
                    Err(code) => CreatableTopicResult {
                        topic_id: created.id,
                        topic_config_error_code: code,
                        ..failure(topic, ErrorCode::NONE, None)
                    },
                }
            }
            Err(refused) => {
                let (code, message) = refused.into_told();
                failure(topic, code, message)
            }
        });
    }
    let throttle_time_ms = milliseconds(mutations.silence());
    Outcome::Answer(CreateTopicsResponse { throttle_time_ms, topics }.into())
}

pub(super) fn error(request: &CreateTopicsRequest, code: ErrorCode) -> Response {
    let topics = request.topics.iter().map(|topic| failure(topic, code, None)).collect();
    CreateTopicsResponse { topics, ..Default::default() }.into()
}

/// Refuses a request for too many partitions, or one that Kafka's controller would write down too much of: a record for
/// each topic, each setting and each partition.
fn check_size(
    state: &State,
    call: &Call<'_>,
    request: &CreateTopicsRequest,
    twice: &BTreeSet<&str>,
) -> Result<(), Refused> {
    if !state.settings.release().bounds_new_partitions() {
        return Ok(());
    }
    let count = |topic: &CreatableTopic| match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => i64::from(state.settings.partitions_default),
        (0, wished) => i64::from(wished.max(0)),
        (assigned, _) => i64::try_from(assigned).unwrap_or(i64::MAX),
    };
    let (mut partitions, mut records) = (0_i64, 0_i64);
    for topic in &request.topics {
        if twice.contains(&*topic.name) || !may_create(state, call, topic) {
            continue;
        }
        partitions = partitions.saturating_add(count(topic));
        if count(topic) > 0 && !state.topics.contains_key(&*topic.name) {
            let settings = i64::try_from(topic.configs.len()).unwrap_or(i64::MAX);
            records =
                records.saturating_add(count(topic)).saturating_add(settings).saturating_add(1);
        }
    }
    let why = match () {
        () if partitions > RECORDS_MAX => "Excessively large number of partitions per request.",
        () if records > RECORDS_MAX => BATCH_TOO_LARGE,
        () => return Ok(()),
    };
    Err(Refused::new(ErrorCode::POLICY_VIOLATION, why))
}

fn may_create(state: &State, call: &Call<'_>, topic: &CreatableTopic) -> bool {
    call.may(state, AclOperation::Create, Resource::Cluster)
        || call.may(state, AclOperation::Create, Resource::Topic(&topic.name))
}

fn create(
    state: &mut State,
    call: &Call<'_>,
    mutations: &mut Mutations<'_>,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<TopicState, Refused> {
    if !may_create(state, call, topic) {
        let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        return Err(Refused::new(code, "Authorization failed."));
    }
    let decides = !topic.assignments.is_empty();
    if decides && (topic.num_partitions != -1 || topic.replication_factor != -1) {
        let given = if topic.num_partitions == -1 { "replicationFactor" } else { "numPartitions" };
        let message =
            format!("A manual partition assignment was specified, but {given} was not set to -1.");
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    }
    let assignments = topic.assignments.iter().map(|one| {
        (one.partition_index, one.broker_ids.iter().copied().map(NodeId::new).collect())
    });
    if let Some(null) = topic.configs.iter().find(|config| config.value.is_none()) {
        let message = format!("Null value not supported for topic configs: {}", null.name);
        let code = state.settings.release().null_setting();
        return Err(Refused::new(code, message));
    }
    let config = topic.configs.iter().filter_map(|config| {
        config.value.as_ref().map(|value| (config.name.to_string(), value.to_string()))
    });
    let may_leave = decides || state.settings.release().has_topic_defaults();
    let new = NewTopic {
        name: topic.name.to_string(),
        partitions: Some(topic.num_partitions).filter(|partitions| !may_leave || *partitions != -1),
        replication_factor: Some(topic.replication_factor).filter(|n| !may_leave || *n != -1),
        assignments: assignments.collect::<BTreeMap<_, _>>(),
        config: config.collect(),
    };
    let planned = state.plan_topic(&new)?;
    // What is only validated counts too.
    mutations.charge(&mut state.quotas, planned.partitions.len())?;
    if !validate_only {
        state.add_topic(call.now, &new.name, planned.clone());
    }
    Ok(planned)
}

/// Kafka's `MAX_RECORDS_PER_USER_OP`, so that one request does not hold up its controller.
const RECORDS_MAX: i64 = 10_000;

pub(super) const BATCH_TOO_LARGE: &str = "Unable to perform excessively large batch operation.";

/// Since when clients know THROTTLING_QUOTA_EXCEEDED.
const STRICT_SINCE: i16 = 6;

fn answer(
    state: &State,
    call: &Call<'_>,
    topic: &CreatableTopic,
    created: &TopicState,
) -> CreatableTopicResult {
    let controller = state.nodes.controller().unwrap_or(call.node);
    let configs = created.config.definitions().map(|definition| {
        let set = created.config.overrides().get(definition.name);
        // A controller with ZooKeeper tells what it read, another what was written.
        let told = |value: &String| match state.settings.release().has_zookeeper() {
            true => definition.kind.normal(value),
            false => value.clone(),
        };
        let own = set.map(|value| (told(value), DYNAMIC_TOPIC_CONFIG));
        let of_broker = || state.broker_configs.of_new_topic(controller, definition);
        let default = || (definition.default.to_owned(), DEFAULT_CONFIG);
        let (value, config_source) = own.or_else(of_broker).unwrap_or_else(default);
        CreatableTopicConfigs {
            name: definition.name.into(),
            value: Some(value.into()),
            read_only: false,
            config_source,
            is_sensitive: false,
        }
    });
    CreatableTopicResult {
        name: topic.name.clone(),
        error_message: None,
        // With validate_only too, for a topic that is not there: so does Kafka.
        topic_id: created.id,
        num_partitions: i32::try_from(created.partitions.len()).unwrap_or(-1),
        replication_factor: i16::try_from(created.replication_factor()).unwrap_or(-1),
        configs: Some(configs.collect()),
        ..Default::default()
    }
}

fn failure(
    topic: &CreatableTopic,
    code: ErrorCode,
    message: Option<ByteString>,
) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: code,
        error_message: message,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
