//! StreamsGroupDescribe (key 89), versions 0-1.
//!
//! State, epochs, topology and members of groups of Kafka Streams, and what each has and is to have (KIP-1071). Version 1
//! tells the assignor (KIP-1357), and whether there is a description of the topology (KIP-1331).
//!
//! Notes: nobody keeps descriptions of topologies. What a member still has to give up is not told, as with Kafka.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, MemberEpoch};
use milena_wire::messages::streams_group_describe_request::StreamsGroupDescribeRequest;
use milena_wire::messages::streams_group_describe_response::{
    Assignment, DescribedGroup, Endpoint, KeyValue, Member as DescribedMember,
    StreamsGroupDescribeResponse, Subtopology, TaskIds, TaskOffset, TopicInfo, Topology,
};
use milena_wire::{ByteString, Response};

use super::{AUTHORIZED_GROUP, Call, Outcome, UNASKED, Versions};
use crate::acl::{AclOperation, Resource};
use crate::group::Group;
use crate::group::consumer::AWAY;
use crate::group::streams::{ASSIGNOR, InternalTopic, Member, StreamsGroup, Tasks, undated};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &StreamsGroupDescribeRequest,
) -> Outcome {
    if !state.has_streams_groups() {
        return Outcome::Answer(error(request, ErrorCode::UNSUPPORTED_VERSION));
    }
    let groups = request.group_ids.iter().map(|id| {
        let may = call.check(state, AclOperation::Describe, Resource::Group(id));
        if let Err(code) = may.and_then(|()| state.check_coordinator(call.node, id)) {
            return failure(id, Refused::without_reason(code));
        }
        let group = state.groups.get(&**id);
        let is_other = group.is_some() || state.share_groups.contains_key(&**id);
        let why = if is_other { "is not a streams group" } else { "not found" };
        let Some(group) = group.and_then(Group::streams) else {
            let message = format!("Group {id} {why}.");
            return failure(id, Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
        };
        let described = describe(id, group);
        let may_see =
            |name: &&ByteString| call.may(state, AclOperation::Describe, Resource::Topic(name));
        let subtopologies = described.topology.iter().flat_map(|one| &one.subtopologies);
        if !subtopologies.flatten().all(|one| topics(one).all(|name| may_see(&name))) {
            let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
            return failure(id, Refused::new(code, HIDDEN_TOPICS));
        }
        let authorized_operations = match request.include_authorized_operations {
            true => call.operations(state, AUTHORIZED_GROUP, Resource::Group(id)),
            false => UNASKED,
        };
        let status = i8::from(request.include_topology_description);
        let (assignor_name, topology_description_status) = match call.version {
            0 => (None, 0),
            _ => (Some(ASSIGNOR.into()), status),
        };
        DescribedGroup {
            authorized_operations,
            assignor_name,
            topology_description_status,
            ..described
        }
    });
    Outcome::Answer(
        StreamsGroupDescribeResponse { groups: groups.collect(), ..Default::default() }.into(),
    )
}

pub(super) fn error(request: &StreamsGroupDescribeRequest, code: ErrorCode) -> Response {
    let failed = |id: &ByteString| failure(id, Refused::without_reason(code));
    let groups = request.group_ids.iter().map(failed).collect();
    StreamsGroupDescribeResponse { groups, ..Default::default() }.into()
}

fn topics(of: &Subtopology) -> impl Iterator<Item = &ByteString> {
    let made = of.repartition_source_topics.iter().chain(&of.state_changelog_topics);
    let plain = of.source_topics.iter().chain(&of.repartition_sink_topics);
    plain.chain(made.map(|topic| &topic.name))
}

fn describe(id: &ByteString, group: &StreamsGroup) -> DescribedGroup {
    DescribedGroup {
        group_id: id.clone(),
        group_state: group.state_name().into(),
        group_epoch: group.epoch().get(),
        assignment_epoch: group.assignment_epoch().get(),
        topology: topology(group),
        members: group.members().map(|one| member(group, one)).collect(),
        ..Default::default()
    }
}

/// With the numbers of partitions, if the application can work; else as its first member described it.
fn topology(group: &StreamsGroup) -> Option<Topology> {
    let topology = group.topology()?;
    let ready = group.configured().and_then(|configured| configured.ready());
    let subtopologies = match ready {
        Some(ready) => ready
            .iter()
            .map(|(id, one)| Subtopology {
                subtopology_id: id.as_str().into(),
                source_topics: names(&one.source_topics),
                repartition_sink_topics: names(&one.repartition_sinks),
                state_changelog_topics: made(one.changelogs.values()),
                repartition_source_topics: made(one.repartition_sources.values()),
            })
            .collect(),
        None => topology
            .subtopologies
            .iter()
            .map(|(id, one)| Subtopology {
                subtopology_id: id.as_str().into(),
                source_topics: names(&one.source_topics),
                repartition_sink_topics: names(&one.repartition_sinks),
                state_changelog_topics: made(&one.changelogs),
                repartition_source_topics: made(&one.repartition_sources),
            })
            .collect(),
    };
    Some(Topology { epoch: topology.epoch, subtopologies: Some(subtopologies) })
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<ByteString> {
    let mut names: Vec<ByteString> = names.into_iter().map(|name| name.as_str().into()).collect();
    names.sort();
    names
}

fn made<'a>(topics: impl IntoIterator<Item = &'a InternalTopic>) -> Vec<TopicInfo> {
    let one = |topic: &InternalTopic| TopicInfo {
        name: topic.name.as_str().into(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        topic_configs: topic.config.iter().map(|(key, value)| pair(key, value)).collect(),
    };
    let mut topics: Vec<_> = topics.into_iter().map(one).collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    topics
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}

fn member(group: &StreamsGroup, member: &Member) -> DescribedMember {
    let about = &member.about;
    let offsets = |told: &BTreeMap<(String, i32), i64>| {
        let one = |((subtopology, partition), offset): (&(String, i32), &i64)| TaskOffset {
            subtopology_id: subtopology.as_str().into(),
            partition: *partition,
            offset: *offset,
        };
        told.iter().map(one).collect()
    };
    DescribedMember {
        member_id: member.id.as_str().into(),
        member_epoch: member.epoch.map_or(AWAY, MemberEpoch::get),
        instance_id: about.instance_id.clone().map(ByteString::from),
        rack_id: about.rack_id.clone().map(ByteString::from),
        client_id: about.client_id.as_str().into(),
        client_host: about.client_host.as_str().into(),
        topology_epoch: about.topology_epoch.unwrap_or(-1),
        process_id: about.process_id.as_str().into(),
        user_endpoint: about
            .endpoint
            .as_ref()
            .map(|endpoint| Endpoint { host: endpoint.host.as_str().into(), port: endpoint.port }),
        client_tags: about.client_tags.iter().map(|(key, value)| pair(key, value)).collect(),
        task_offsets: offsets(&member.offsets.reached),
        task_end_offsets: offsets(&member.offsets.ends),
        assignment: assignment(&undated(&member.assigned.active), &member.assigned.standby),
        target_assignment: group
            .target(&member.id)
            .map(|target| assignment(&target.active, &target.standby))
            .unwrap_or_default(),
        is_classic: false,
    }
}

fn assignment(active: &Tasks, standby: &Tasks) -> Assignment {
    let told = |tasks: &Tasks| {
        let one = |(id, partitions): (&String, &std::collections::BTreeSet<i32>)| TaskIds {
            subtopology_id: id.as_str().into(),
            partitions: partitions.iter().copied().collect(),
        };
        tasks.iter().map(one).collect()
    };
    Assignment {
        active_tasks: told(active),
        standby_tasks: told(standby),
        warmup_tasks: Vec::new(),
    }
}

fn failure(id: &ByteString, refused: Refused) -> DescribedGroup {
    let (error_code, error_message) = refused.into_told();
    DescribedGroup { group_id: id.clone(), error_code, error_message, ..Default::default() }
}

const HIDDEN_TOPICS: &str =
    "The described group uses topics that the client is not authorized to describe.";
