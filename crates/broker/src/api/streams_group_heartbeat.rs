//! StreamsGroupHeartbeat (key 88), versions 0-1.
//!
//! A thread of an application of Kafka Streams joins (epoch 0) with its topology, goes on, or leaves (-1, or -2 for a static
//! member that comes back), and hears its epoch and the tasks that it is to work on (KIP-1071). The coordinator makes the
//! application's repartition and changelog topics, and says what keeps the application from working. Version 1 has words for
//! missing tags of clients.
//!
//! Notes: as with Kafka 4.4, no tasks are given out to warm up, regular expressions are refused and a topology does not change.
//! Nobody keeps descriptions of topologies (KIP-1331). A topology has at most 1,000 subtopologies and 250,000 tasks, where
//! Kafka knows no limit. What is missing is told in the order of names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_types::{ErrorCode, MemberEpoch};
use milena_wire::messages::streams_group_heartbeat_request as asked;
use milena_wire::messages::streams_group_heartbeat_request::StreamsGroupHeartbeatRequest;
use milena_wire::messages::streams_group_heartbeat_response::{
    Endpoint as ToldEndpoint, EndpointToPartitions, Status as ToldStatus,
    StreamsGroupHeartbeatResponse, TaskIds, TopicPartition,
};
use milena_wire::{ByteString, Response};

use super::{Call, GROUP_METADATA_BYTES_MAX, Outcome, Versions, milliseconds};
use crate::acl::{AclOperation, Resource};
use crate::group::consumer::AWAY;
use crate::group::streams::{
    Beat, Copartition, Endpoint, Heartbeat, InternalTopic, Owned, Status, StatusCode, Step,
    StreamsConfig, Subtopology, TaskOffsets, Tasks, Topology, undated,
};
use crate::state::{NewTopic, Refused, State, is_internal};
use crate::topic::is_legal_topic_name;

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &StreamsGroupHeartbeatRequest,
) -> Outcome {
    Outcome::Answer(match take(state, call, request) {
        Ok(response) => response.into(),
        Err(refused) => failure(refused),
    })
}

pub(super) fn error(_: &StreamsGroupHeartbeatRequest, code: ErrorCode) -> Response {
    failure(Refused::without_reason(code))
}

fn take(
    state: &mut State,
    call: &Call<'_>,
    request: &StreamsGroupHeartbeatRequest,
) -> Result<StreamsGroupHeartbeatResponse, Refused> {
    if !state.has_streams_groups() {
        return Err(Refused::without_reason(ErrorCode::UNSUPPORTED_VERSION));
    }
    if let Some(topology) = &request.topology {
        check_topics(state, call, topology)?;
    }
    check(request)?;
    if size(request) > GROUP_METADATA_BYTES_MAX {
        return Err(Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR));
    }
    let elsewhere = |code| Refused::new(code, "This is not the correct coordinator.");
    state.check_committer(call.node, &request.group_id).map_err(elsewhere)?;
    let heartbeat = read(call, request)?;
    let id = &*request.group_id;
    let (is_there, is_other) = (state.groups.contains_key(id), state.share_groups.contains_key(id));
    let message = match heartbeat.step {
        _ if is_other => Some(format!("Group {id} is not a streams group.")),
        Step::Continue(_) if !is_there => Some(format!("Streams group {id} not found.")),
        Step::Leave | Step::LeaveForAWhile if !is_there => Some(format!("Group {id} not found.")),
        Step::Join | Step::Continue(_) | Step::Leave | Step::LeaveForAWhile => None,
    };
    if let Some(message) = message {
        return Err(Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
    }
    state.ensure_group(call.now, id).map_err(Refused::without_reason)?;
    let now = call.now;
    let beat =
        state.with_group(id, |group, around| group.streams_heartbeat(now, &heartbeat, around));
    let gone = || Err(Refused::without_reason(ErrorCode::GROUP_ID_NOT_FOUND));
    let mut beat = beat.unwrap_or_else(gone)?;
    make_topics(state, call, id, &mut beat);
    Ok(respond(&heartbeat, beat))
}

/// What Kafka's brokers check before the coordinator hears of it.
fn check_topics(state: &State, call: &Call<'_>, topology: &asked::Topology) -> Result<(), Refused> {
    let mut seen = BTreeSet::new();
    let all = topology.subtopologies.iter().flat_map(|one| {
        let made = one.repartition_source_topics.iter().chain(&one.state_changelog_topics);
        let plain = one.source_topics.iter().chain(&one.repartition_sink_topics);
        plain.chain(made.map(|topic| &topic.name))
    });
    let all: Vec<&str> = all.map(|name| &**name).filter(|name| seen.insert(*name)).collect();
    let those = |is_meant: &dyn Fn(&str) -> bool| {
        let meant: Vec<&str> = all.iter().copied().filter(|name| is_meant(name)).collect();
        meant.join(",")
    };
    let invalid = |why: String| Err(Refused::new(ErrorCode::STREAMS_INVALID_TOPOLOGY, why));
    let prohibited = those(&|name| is_internal(&name.into()));
    if !prohibited.is_empty() {
        return invalid(format!(
            "Use of Kafka internal topics {prohibited} in a Kafka Streams topology is prohibited."
        ));
    }
    if all.iter().any(|name| !is_legal_topic_name(name)) {
        let illegal = those(&|name| !is_legal_topic_name(name));
        return invalid(format!("Topic names {illegal} are not valid topic names."));
    }
    let may_see = |name: &&str| call.may(state, AclOperation::Describe, Resource::Topic(name));
    match all.iter().all(may_see) {
        true => Ok(()),
        false => Err(Refused::without_reason(ErrorCode::TOPIC_AUTHORIZATION_FAILED)),
    }
}

/// What Kafka checks before it looks at the group.
fn check(request: &StreamsGroupHeartbeatRequest) -> Result<(), Refused> {
    let refuse = |message: &str| Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    let is_blank = |text: &str| text.trim().is_empty();
    let is_empty = |text: &Option<ByteString>| text.as_ref().is_some_and(|text| is_blank(text));
    let epoch = request.member_epoch;
    let mut subtopologies = request.topology.iter().flat_map(|topology| &topology.subtopologies);
    if subtopologies.any(|one| !one.source_topic_regex.is_empty()) {
        return refuse("Regular expressions for source topics are not supported yet.");
    }
    if is_blank(&request.member_id) {
        return refuse("MemberId can't be empty.");
    }
    if is_blank(&request.group_id) {
        return refuse("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return refuse("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return refuse("RackId can't be empty.");
    }
    let has_any = |tasks: &Option<Vec<_>>| tasks.as_ref().is_some_and(|tasks| !tasks.is_empty());
    let all = [&request.active_tasks, &request.standby_tasks, &request.warmup_tasks];
    if epoch == JOIN {
        if request.rebalance_timeout_ms == UNCHANGED {
            return refuse("RebalanceTimeoutMs must be provided in first request.");
        }
        for (kind, tasks) in ["Active", "Standby", "Warmup"].into_iter().zip(all) {
            if has_any(tasks) {
                return refuse(&format!("{kind}Tasks must be empty when (re-)joining."));
            }
        }
        let Some(topology) = &request.topology else {
            return refuse("Topology must be non-null when (re-)joining.");
        };
        let changelogs = topology.subtopologies.iter().flat_map(|one| &one.state_changelog_topics);
        if let Some(topic) = changelogs.into_iter().find(|topic| topic.partitions != 0) {
            let message = format!(
                "Changelog topic {} must have an undefined partition count, but it is set to {}.",
                topic.name, topic.partitions
            );
            return Err(Refused::new(ErrorCode::STREAMS_INVALID_TOPOLOGY, message));
        }
    } else if epoch == AWAY && request.instance_id.is_none() {
        return refuse("InstanceId can't be null.");
    } else if epoch < AWAY {
        return refuse(&format!(
            "MemberEpoch is {epoch}, but must be greater than or equal to -2."
        ));
    }
    if all.iter().any(|tasks| tasks.is_some()) && all.iter().any(|tasks| tasks.is_none()) {
        return refuse("If one task-type is non-null, all must be non-null.");
    }
    if epoch != JOIN && request.topology.is_some() {
        return refuse("Topology can only be provided when (re-)joining.");
    }
    Ok(())
}

/// About how many bytes a coordinator would write down of the member and of the topology, or keep.
fn size(request: &StreamsGroupHeartbeatRequest) -> usize {
    const ITEM: usize = 8;
    let text = |text: &ByteString| text.len().saturating_add(ITEM);
    let texts = |list: &[ByteString]| list.iter().map(text).sum::<usize>();
    let pairs = |list: &[asked::KeyValue]| -> usize {
        list.iter().map(|pair| text(&pair.key).saturating_add(text(&pair.value))).sum()
    };
    let topics = |list: &[asked::TopicInfo]| -> usize {
        list.iter().map(|topic| text(&topic.name).saturating_add(pairs(&topic.topic_configs))).sum()
    };
    let subtopology = |one: &asked::Subtopology| {
        let copartitioned = one.copartition_groups.iter().map(|group| {
            2 * (group.source_topics.len() + group.repartition_source_topics.len()) + ITEM
        });
        text(&one.subtopology_id)
            + texts(&one.source_topics)
            + texts(&one.repartition_sink_topics)
            + topics(&one.repartition_source_topics)
            + topics(&one.state_changelog_topics)
            + copartitioned.sum::<usize>()
    };
    let subtopologies = request.topology.iter().flat_map(|topology| &topology.subtopologies);
    let words = [&request.instance_id, &request.rack_id, &request.process_id];
    let host = request.user_endpoint.as_ref().map(|endpoint| &endpoint.host);
    let offsets = [&request.task_offsets, &request.task_end_offsets];
    let offsets = offsets.into_iter().flatten().flatten();
    subtopologies.map(subtopology).sum::<usize>()
        + words
            .into_iter()
            .flatten()
            .chain(host)
            .chain([&request.member_id])
            .map(text)
            .sum::<usize>()
        + request.client_tags.as_deref().map_or(0, pairs)
        + offsets.map(|one| text(&one.subtopology_id) + ITEM).sum::<usize>()
}

fn read(call: &Call<'_>, request: &StreamsGroupHeartbeatRequest) -> Result<Heartbeat, Refused> {
    let broken = || Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR);
    let text = |text: &Option<ByteString>| text.as_ref().map(ByteString::to_string);
    let step = match request.member_epoch {
        JOIN => Step::Join,
        LEAVE => Step::Leave,
        AWAY => Step::LeaveForAWhile,
        epoch => MemberEpoch::from_wire(epoch).map_or(Step::Leave, Step::Continue),
    };
    let all = (&request.active_tasks, &request.standby_tasks, &request.warmup_tasks);
    let owned = match all {
        (Some(active), Some(standby), Some(warmup)) => {
            Some(Owned { active: tasks(active), standby: tasks(standby), warmup: tasks(warmup) })
        }
        _ => None,
    };
    let offsets = |told: &Option<Vec<asked::TaskOffset>>| {
        let told = told.as_ref().map(|told| {
            let one = |one: &asked::TaskOffset| {
                (one.subtopology_id.to_string(), one.partition, one.offset)
            };
            TaskOffsets::read(told.iter().map(one))
        });
        told.transpose()
    };
    let tags = request.client_tags.as_ref().map(|tags| {
        let pairs = tags.iter().map(|tag| (tag.key.to_string(), tag.value.to_string()));
        let map: BTreeMap<_, _> = pairs.collect();
        if map.len() == tags.len() { Ok(map) } else { Err(broken()) }
    });
    let timeout = Some(request.rebalance_timeout_ms).filter(|ms| *ms != UNCHANGED);
    let timeout = timeout.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    Ok(Heartbeat {
        step,
        member_id: request.member_id.to_string(),
        instance_id: text(&request.instance_id),
        client_id: call.client_id.to_owned(),
        client_host: super::share_group_heartbeat::CLIENT_HOST.to_owned(),
        rack_id: text(&request.rack_id),
        rebalance_timeout: timeout,
        topology: request
            .topology
            .as_ref()
            .map(|told| topology(told).ok_or_else(broken))
            .transpose()?,
        process_id: text(&request.process_id),
        endpoint: request
            .user_endpoint
            .as_ref()
            .map(|told| Endpoint { host: told.host.to_string(), port: told.port }),
        client_tags: tags.transpose()?,
        owned,
        reached: offsets(&request.task_offsets)?,
        ends: offsets(&request.task_end_offsets)?,
        wants_shutdown: request.shutdown_application,
        endpoint_epoch: request.endpoint_information_epoch,
        knows_tags: call.version >= 1,
    })
}

fn tasks(told: &[asked::TaskIds]) -> Tasks {
    let mut tasks = Tasks::new();
    for one in told.iter().filter(|one| !one.partitions.is_empty()) {
        tasks.entry(one.subtopology_id.to_string()).or_default().extend(&one.partitions);
    }
    tasks
}

/// `None` where two subtopologies have one id.
fn topology(told: &asked::Topology) -> Option<Topology> {
    let names = |list: &[ByteString]| list.iter().map(ByteString::to_string).collect();
    let topic = |told: &asked::TopicInfo| InternalTopic {
        name: told.name.to_string(),
        partitions: told.partitions,
        replication_factor: told.replication_factor,
        config: told
            .topic_configs
            .iter()
            .map(|pair| (pair.key.to_string(), pair.value.to_string()))
            .collect(),
    };
    let subtopology = |told: &asked::Subtopology| Subtopology {
        source_topics: names(&told.source_topics),
        repartition_sinks: names(&told.repartition_sink_topics),
        repartition_sources: told.repartition_source_topics.iter().map(topic).collect(),
        changelogs: told.state_changelog_topics.iter().map(topic).collect(),
        copartitioned: told
            .copartition_groups
            .iter()
            .map(|group| Copartition {
                sources: group.source_topics.clone(),
                repartition_sources: group.repartition_source_topics.clone(),
            })
            .collect(),
    };
    let all = told.subtopologies.iter();
    let subtopologies: BTreeMap<_, _> =
        all.map(|one| (one.subtopology_id.to_string(), subtopology(one))).collect();
    let is_whole = subtopologies.len() == told.subtopologies.len();
    is_whole.then_some(Topology { epoch: told.epoch, subtopologies })
}

/// Makes the internal topics that are missing, and says of which that could not be done before.
fn make_topics(state: &mut State, call: &Call<'_>, group: &str, beat: &mut Beat) {
    let (Some(topology), Some(config)) = (&beat.topology, &beat.config) else { return };
    let missing = &topology.missing;
    let may_all = call.may(state, AclOperation::Create, Resource::Cluster);
    let may_not = missing.iter().filter(|topic| {
        !may_all && !call.may(state, AclOperation::Create, Resource::Topic(&topic.name))
    });
    let may_not: Vec<_> = may_not.map(|topic| topic.name.as_str()).collect();
    let known = state.groups.get(group).and_then(|group| group.streams());
    let errors = missing.iter().filter_map(|topic| {
        Some((topic.name.as_str(), known?.creation_error(call.now, &topic.name)?))
    });
    let errors: Vec<_> = errors.collect();
    let more = if may_not.is_empty() {
        (!errors.is_empty()).then(|| format!("; Creation failed: {}.", failures(&errors)))
    } else {
        Some(format!("; Unauthorized to CREATE on topics {}.", may_not.join(", ")))
    };
    let mut to_make = Vec::new();
    if may_not.is_empty() {
        let failed: BTreeSet<_> = errors.iter().map(|(name, _)| *name).collect();
        to_make.extend(missing.iter().filter(|topic| !failed.contains(topic.name.as_str())));
    }
    let until = call.now + 2 * config.heartbeat_interval;
    let refused: BTreeMap<_, _> = to_make
        .into_iter()
        .filter_map(|topic| {
            let refused = state.create_topic(call.now, &new_topic(topic)).err()?;
            Some((topic.name.clone(), refused.message))
        })
        .collect();
    let is_missing = |status: &&mut Status| status.code == StatusCode::MissingInternalTopics;
    if let Some((status, more)) = beat.statuses.iter_mut().find(is_missing).zip(more) {
        status.detail.push_str(&more);
    }
    let group = state.groups.get_mut(group).and_then(|group| group.streams_mut());
    if let Some(group) = group.filter(|_| !refused.is_empty()) {
        group.note_creation_errors(refused, until);
    }
}

fn failures(errors: &[(&str, &str)]) -> String {
    const SHOWN: usize = 3;
    let shown = errors.iter().take(SHOWN).map(|(topic, why)| format!("{topic} ({why})"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match errors.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn new_topic(topic: &InternalTopic) -> NewTopic {
    NewTopic {
        name: topic.name.clone(),
        partitions: Some(topic.partitions),
        // Applications leave it to the brokers by either.
        replication_factor: Some(topic.replication_factor)
            .filter(|factor| !matches!(factor, 0 | -1)),
        config: topic.config.iter().cloned().collect(),
        ..NewTopic::default()
    }
}

fn respond(heartbeat: &Heartbeat, beat: Beat) -> StreamsGroupHeartbeatResponse {
    let leaving = match heartbeat.step {
        Step::Leave => Some(LEAVE),
        Step::LeaveForAWhile => Some(AWAY),
        Step::Join | Step::Continue(_) => None,
    };
    let held = beat.assigned.as_ref();
    let partitions = |topics: Vec<(String, Vec<i32>)>| {
        let topic =
            |(topic, partitions): (String, _)| TopicPartition { topic: topic.into(), partitions };
        topics.into_iter().map(topic).collect()
    };
    let endpoints = beat.endpoints.map(|all| {
        let endpoint = |one: crate::group::streams::EndpointPartitions| EndpointToPartitions {
            user_endpoint: ToldEndpoint { host: one.endpoint.host.into(), port: one.endpoint.port },
            active_partitions: partitions(one.active),
            standby_partitions: partitions(one.standby),
        };
        all.into_iter().map(endpoint).collect()
    });
    let status = |status: Status| ToldStatus {
        status_code: status.code as i8,
        status_detail: status.detail.into(),
    };
    let config = beat.config.as_ref();
    let ms =
        |of: fn(&StreamsConfig) -> Duration| config.map_or(0, |config| milliseconds(of(config)));
    StreamsGroupHeartbeatResponse {
        member_id: beat.member_id.into(),
        member_epoch: leaving.unwrap_or_else(|| MemberEpoch::to_wire(beat.epoch)),
        heartbeat_interval_ms: ms(|config| config.heartbeat_interval),
        task_offset_interval_ms: ms(|config| config.task_offset_interval),
        acceptable_recovery_lag: config.map_or(-1, |config| config.acceptable_recovery_lag),
        status: Some(beat.statuses.into_iter().map(status).collect()),
        active_tasks: held.map(|held| told(&undated(&held.active))),
        standby_tasks: held.map(|held| told(&held.standby)),
        // Nobody is told to warm up.
        warmup_tasks: held.map(|_| Vec::new()),
        endpoint_information_epoch: beat.endpoint_epoch,
        partitions_by_user_endpoint: endpoints,
        ..Default::default()
    }
}

fn told(tasks: &Tasks) -> Vec<TaskIds> {
    let one = |(id, partitions): (&String, &BTreeSet<i32>)| TaskIds {
        subtopology_id: id.as_str().into(),
        partitions: partitions.iter().copied().collect(),
    };
    tasks.iter().map(one).collect()
}

fn failure(refused: Refused) -> Response {
    let (error_code, error_message) = refused.into_told();
    StreamsGroupHeartbeatResponse { error_code, error_message, ..Default::default() }.into()
}

const JOIN: i32 = 0;
const LEAVE: i32 = -1;
const UNCHANGED: i32 = -1;
