//! ShareGroupDescribe (key 77), version 1.
//!
//! State, epochs, members and assignments of share groups.
//!
//! Notes: groups of other kinds and those that are not there are answered by GROUP_ID_NOT_FOUND.

use milena_types::ErrorCode;
use milena_wire::messages::share_group_describe_request::ShareGroupDescribeRequest;
use milena_wire::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member, ShareGroupDescribeResponse, TopicPartitions,
};
use milena_wire::{ByteString, Response};

use super::consumer_group_describe::HIDDEN_TOPICS;
use super::{AUTHORIZED_GROUP, Call, Outcome, UNASKED, Versions};
use crate::acl::{AclOperation, Resource};
use crate::share::{ASSIGNOR, ShareGroup};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &ShareGroupDescribeRequest,
) -> Outcome {
    let groups = request.group_ids.iter().map(|id| {
        if !state.has_share_groups() {
            return failure(id, ErrorCode::UNSUPPORTED_VERSION, None);
        }
        let may = call.check(state, AclOperation::Describe, Resource::Group(id));
        if let Err(code) = may.and_then(|()| state.check_coordinator(call.node, id)) {
            return failure(id, code, None);
        }
        match state.share_groups.get(&**id) {
            Some(group) => {
                let described = describe(state, id, group);
                let assigned = described.members.iter().map(|member| &member.assignment);
                let mut topics = assigned.flat_map(|assignment| &assignment.topic_partitions);
                let may_see = |topic: &TopicPartitions| {
                    call.may(state, AclOperation::Describe, Resource::Topic(&topic.topic_name))
                };
                let sees_all = topics.all(may_see);
                drop(topics);
                if !sees_all {
                    let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
                    return failure(id, code, Some(HIDDEN_TOPICS.to_owned()));
                }
                DescribedGroup {
                    authorized_operations: match request.include_authorized_operations {
                        true => call.operations(state, AUTHORIZED_GROUP, Resource::Group(id)),
                        false => UNASKED,
                    },
                    ..described
                }
            }
            None if state.groups.contains_key(&**id) => {
                let why = format!("Group {id} is not a share group.");
                failure(id, ErrorCode::GROUP_ID_NOT_FOUND, Some(why))
            }
            None => {
                let why = format!("Group {id} not found.");
                failure(id, ErrorCode::GROUP_ID_NOT_FOUND, Some(why))
            }
        }
    });
    let groups = groups.collect();
    Outcome::Answer(ShareGroupDescribeResponse { groups, ..Default::default() }.into())
}

pub(super) fn error(request: &ShareGroupDescribeRequest, code: ErrorCode) -> Response {
    let groups = request.group_ids.iter().map(|id| failure(id, code, None)).collect();
    ShareGroupDescribeResponse { groups, ..Default::default() }.into()
}

fn describe(state: &State, id: &ByteString, group: &ShareGroup) -> DescribedGroup {
    let members = group.members().iter().map(|(id, member)| {
        let assigned = member.assigned.iter().filter_map(|(topic_id, partitions)| {
            Some(TopicPartitions {
                topic_id: *topic_id,
                topic_name: state.topic_ids.get(topic_id)?.as_str().into(),
                partitions: partitions.iter().copied().collect(),
            })
        });
        Member {
            member_id: id.as_str().into(),
            rack_id: member.rack_id.clone().map(ByteString::from),
            member_epoch: member.epoch,
            client_id: member.client_id.as_str().into(),
            client_host: member.client_host.as_str().into(),
            subscribed_topic_names: member.subscribed.iter().map(|t| t.as_str().into()).collect(),
            assignment: Assignment { topic_partitions: assigned.collect() },
        }
    });
    DescribedGroup {
        group_state: group.state().into(),
        group_epoch: group.epoch(),
        assignment_epoch: group.assignment_epoch(),
        assignor_name: ASSIGNOR.into(),
        members: members.collect(),
        ..failure(id, ErrorCode::NONE, None)
    }
}

fn failure(id: &ByteString, error_code: ErrorCode, why: Option<String>) -> DescribedGroup {
    DescribedGroup {
        group_id: id.clone(),
        error_code,
        error_message: why.map(ByteString::from),
        authorized_operations: UNASKED,
        ..Default::default()
    }
}
