//! Metadata (key 3), versions 0-13.
//!
//! All topics (`null`, or an empty list in version 0), none (an empty list) or the ones named by name or, from
//! version 10 on, by id. An unknown name is created where the client and the cluster allow it.
//!
//! Notes: a created topic is there at once, where Kafka answers UNKNOWN_TOPIC_OR_PARTITION until it is. The
//! controller named is the first live node; in KRaft Kafka names a random one.

use milena_types::{ErrorCode, NodeId, Topic, Uuid};
use milena_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use milena_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use milena_wire::{ByteString, Response};

use super::{AUTHORIZED_TOPIC, Call, Outcome, UNASKED, Versions};
use crate::acl::{AclOperation, Resource};
use crate::fetch::TopicKey;
use crate::quota::Mutations;
use crate::state::{NewTopic, State, is_internal};
use crate::topic::{Liveness, Partition, TopicState, is_legal_topic_name};

pub(super) const VERSIONS: Versions = Versions::new(0, 13);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &MetadataRequest) -> Outcome {
    let asks_for_all = match &request.topics {
        None => true,
        Some(topics) => call.version == 0 && topics.is_empty(),
    };
    let with_operations = request.include_topic_authorized_operations;
    let topics = if asks_for_all {
        let is_seen = |(name, _): &(&Topic, &TopicState)| {
            call.may(state, AclOperation::Describe, Resource::Topic(name.as_str()))
        };
        let describe = |(name, topic)| describe(state, call, name, topic, with_operations);
        state.topics.iter().filter(is_seen).map(describe).collect()
    } else {
        let mut found = Vec::new();
        for topic in request.topics.iter().flatten() {
            found.push(find(state, call, request, topic));
        }
        found
    };
    let brokers = state.nodes.registered().map(|node| MetadataResponseBroker {
        node_id: node.id.get(),
        host: node.host.clone().into(),
        port: node.port.into(),
        rack: node.rack.clone().map(ByteString::from),
    });
    let asks_operations = request.include_cluster_authorized_operations;
    let response = MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(state.settings.cluster_id.clone().into()),
        controller_id: state.nodes.controller().map_or(-1, NodeId::get),
        topics,
        cluster_authorized_operations: match asks_operations {
            true => call.cluster_operations(state),
            false => UNASKED,
        },
        ..Default::default()
    };
    Outcome::Answer(response.into())
}

pub(super) fn error(request: &MetadataRequest, code: ErrorCode) -> Response {
    let topic = |topic: &MetadataRequestTopic| MetadataResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        error_code: code,
        ..Default::default()
    };
    let topics = request.topics.iter().flatten().map(topic).collect();
    MetadataResponse { topics, error_code: code, ..Default::default() }.into()
}

fn find(
    state: &mut State,
    call: &Call<'_>,
    request: &MetadataRequest,
    asked: &MetadataRequestTopic,
) -> MetadataResponseTopic {
    let failed = |error_code, name: Option<ByteString>| MetadataResponseTopic {
        error_code,
        name,
        topic_id: asked.topic_id,
        topic_authorized_operations: UNASKED,
        ..Default::default()
    };
    let key = match &asked.name {
        Some(name) => TopicKey::Name((&**name).into()),
        None if asked.topic_id == Uuid::ZERO => {
            return failed(ErrorCode::INVALID_REQUEST, Some(ByteString::new()));
        }
        None => TopicKey::Id(asked.topic_id),
    };
    let mut found = call.topic(state, AclOperation::Describe, &key);
    if found == Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED) {
        return failed(ErrorCode::TOPIC_AUTHORIZATION_FAILED, asked.name.clone());
    }
    if let (Err(_), Some(name)) = (&found, &asked.name) {
        if !is_legal_topic_name(name) {
            return failed(ErrorCode::INVALID_TOPIC_EXCEPTION, asked.name.clone());
        }
        // Before version 4 a client could not say, and meant yes.
        let may_create = call.version < 4 || request.allow_auto_topic_creation;
        let is_made_unasked = state.settings.release().makes_internal_topics_unasked()
            && is_internal(&Topic::from(&**name));
        if (may_create && state.settings.auto_create_topics) || is_made_unasked {
            let may_create = is_made_unasked
                || call.may(state, AclOperation::Create, Resource::Cluster)
                || call.may(state, AclOperation::Create, Resource::Topic(name));
            if !may_create {
                return failed(ErrorCode::TOPIC_AUTHORIZATION_FAILED, asked.name.clone());
            }
            let new = NewTopic::unasked(name);
            // The one who asked first hears that it is unknown, as from KRaft brokers, and asks again; or that nobody
            // leads it yet, where the broker made it itself.
            match state.plan_topic(&new) {
                Err(refused) => found = Err(refused.code),
                Ok(planned) => {
                    // The broker has it made in the name of the client, and tells nobody that it was refused.
                    let mut mutations = Mutations::new(call.now, call.client_id, true);
                    if mutations.charge(&mut state.quotas, planned.partitions.len()).is_ok() {
                        state.add_topic(call.now, name, planned);
                        if state.settings.release().has_zookeeper() {
                            found = Err(ErrorCode::LEADER_NOT_AVAILABLE);
                        }
                    }
                }
            }
        }
    }
    let topic = found.and_then(|name| {
        let topic = state.topics.get(&name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        Ok(describe(state, call, &name, topic, request.include_topic_authorized_operations))
    });
    topic.unwrap_or_else(|code| MetadataResponseTopic {
        is_internal: asked.name.as_ref().is_some_and(|name| is_internal(&Topic::from(&**name))),
        ..failed(code, asked.name.clone())
    })
}

fn describe(
    state: &State,
    call: &Call<'_>,
    name: &Topic,
    topic: &TopicState,
    with_operations: bool,
) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(name.as_str().into()),
        topic_id: topic.id,
        is_internal: topic.is_internal,
        partitions: topic.indexed().map(|(index, p)| describe_partition(state, index, p)).collect(),
        topic_authorized_operations: match with_operations {
            true => call.operations(state, AUTHORIZED_TOPIC, Resource::Topic(name.as_str())),
            false => UNASKED,
        },
        ..Default::default()
    }
}

pub(super) fn describe_partition(
    state: &State,
    index: i32,
    partition: &Partition,
) -> MetadataResponsePartition {
    let leader = partition.leader().filter(|leader| state.nodes.is_registered(*leader));
    let offline = partition.replicas().filter(|node| !state.nodes.is_registered(*node));
    MetadataResponsePartition {
        error_code: if leader.is_some() {
            ErrorCode::NONE
        } else {
            ErrorCode::LEADER_NOT_AVAILABLE
        },
        partition_index: index,
        leader_id: leader.map_or(-1, NodeId::get),
        leader_epoch: partition.leader_epoch().get(),
        replica_nodes: partition.replicas().map(NodeId::get).collect(),
        isr_nodes: partition.isr().iter().map(|node| node.get()).collect(),
        offline_replicas: offline.map(NodeId::get).collect(),
    }
}
