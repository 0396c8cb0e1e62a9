//! ConsumerGroupDescribe (key 69), versions 0-1.
//!
//! State, epochs, assignor, members, and what each has and is to have, of groups of the consumer protocol (KIP-848).
//! Version 1 tells which members speak the classic protocol (KIP-1099).
//!
//! Notes: a group of the classic protocol is GROUP_ID_NOT_FOUND, which is how administrators learn to ask
//! DescribeGroups. What a member still has to give up is told as assigned.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, MemberEpoch, Uuid};
use milena_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use milena_wire::messages::consumer_group_describe_response::{
    Assignment, ConsumerGroupDescribeResponse, DescribedGroup, Member as DescribedMember,
    TopicPartitions,
};
use milena_wire::{ByteString, Response};

use super::{AUTHORIZED_GROUP, Call, Outcome, UNASKED, Versions};
use crate::acl::{AclOperation, Resource};
use crate::group::consumer::{AWAY, Member, Partitions};
use crate::group::{ConsumerGroup, Group};
use crate::state::{Refused, State};
use crate::topic::TopicImage;

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &ConsumerGroupDescribeRequest,
) -> Outcome {
    if state.settings.group_version < 1 {
        return Outcome::Answer(error(request, ErrorCode::UNSUPPORTED_VERSION));
    }
    let groups = request.group_ids.iter().map(|id| {
        let may = call.check(state, AclOperation::Describe, Resource::Group(id));
        if let Err(code) = may.and_then(|()| state.check_coordinator(call.node, id)) {
            return failure(id, Refused::without_reason(code));
        }
        let not_found = |message| Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message);
        let group = state.groups.get(&**id);
        let is_other = group.is_some() || state.share_groups.contains_key(&**id);
        let why = if is_other { "is not a consumer group" } else { "not found" };
        let Some(group) = group.and_then(Group::consumer) else {
            return failure(id, not_found(format!("Group {id} {why}.")));
        };
        let described = describe(id, group, &state.image(), call.version);
        let members = described.members.iter();
        let assignments =
            members.flat_map(|member| [&member.assignment, &member.target_assignment]);
        let mut topics = assignments.flat_map(|assignment| &assignment.topic_partitions);
        let may_see = |topic: &TopicPartitions| {
            call.may(state, AclOperation::Describe, Resource::Topic(&topic.topic_name))
        };
        let sees_all = topics.all(may_see);
        drop(topics);
        if !sees_all {
            return failure(id, Refused::new(ErrorCode::TOPIC_AUTHORIZATION_FAILED, HIDDEN_TOPICS));
        }
        let is_told = request.include_authorized_operations;
        DescribedGroup {
            authorized_operations: match is_told {
                true => call.operations(state, AUTHORIZED_GROUP, Resource::Group(id)),
                false => UNASKED,
            },
            ..described
        }
    });
    Outcome::Answer(
        ConsumerGroupDescribeResponse { groups: groups.collect(), ..Default::default() }.into(),
    )
}

pub(super) fn error(request: &ConsumerGroupDescribeRequest, code: ErrorCode) -> Response {
    let failed = |id: &ByteString| failure(id, Refused::without_reason(code));
    let groups = request.group_ids.iter().map(failed).collect();
    ConsumerGroupDescribeResponse { groups, ..Default::default() }.into()
}

fn describe(
    id: &ByteString,
    group: &ConsumerGroup,
    image: &TopicImage<'_>,
    version: i16,
) -> DescribedGroup {
    let member = |member: &Member| {
        let classic = i8::from(!member.is_classic());
        DescribedMember {
            member_id: member.id.as_str().into(),
            instance_id: member.instance_id.clone().map(ByteString::from),
            rack_id: member.rack_id.clone().map(ByteString::from),
            member_epoch: member.epoch.map_or(AWAY, MemberEpoch::get),
            client_id: member.client_id.as_str().into(),
            client_host: member.client_host.as_str().into(),
            subscribed_topic_names: member.topics.iter().map(|t| t.as_str().into()).collect(),
            subscribed_topic_regex: Some(member.pattern.as_str().into()),
            assignment: assignment(&held(member), image),
            target_assignment: group
                .target(&member.id)
                .map(|target| assignment(target, image))
                .unwrap_or_default(),
            member_type: if version >= 1 { classic } else { -1 },
        }
    };
    DescribedGroup {
        group_id: id.clone(),
        group_state: group.state().name().into(),
        group_epoch: group.epoch().get(),
        assignment_epoch: group.assignment_epoch().get(),
        assignor_name: group.assignor().name().into(),
        members: group.members().map(member).collect(),
        ..Default::default()
    }
}

/// What a member reads or has still to give up.
fn held(member: &Member) -> Partitions {
    let mut held = BTreeMap::<Uuid, BTreeSet<i32>>::new();
    for (topic, partitions) in member.assigned.iter().chain(&member.revoking) {
        held.entry(*topic).or_default().extend(partitions.keys());
    }
    held
}

fn assignment(partitions: &Partitions, image: &TopicImage<'_>) -> Assignment {
    let topic = |(id, indexes): (&Uuid, &BTreeSet<i32>)| {
        Some(TopicPartitions {
            topic_id: *id,
            topic_name: image.name(*id)?.as_str().into(),
            partitions: indexes.iter().copied().collect(),
        })
    };
    Assignment { topic_partitions: partitions.iter().filter_map(topic).collect() }
}

fn failure(id: &ByteString, refused: Refused) -> DescribedGroup {
    let (error_code, error_message) = refused.into_told();
    DescribedGroup { group_id: id.clone(), error_code, error_message, ..Default::default() }
}

pub(super) const HIDDEN_TOPICS: &str =
    "The group has described topic(s) that the client is not authorized to describe.";
