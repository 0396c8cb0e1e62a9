//! The classic group protocol with one member, ListGroups and DescribeGroups.

use bytes::Bytes;
use milena_types::ApiKey;
use milena_wire::ByteString;
use milena_wire::Response;
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::leave_group_request::MemberIdentity;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, SyncGroupRequest,
};

use super::produce::TOPIC;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) async fn run(on: &mut Recorder) -> Result {
    wrong_joins(on).await?;
    for version in on.versions(ApiKey::JOIN_GROUP) {
        life(on, version).await?;
    }
    static_member(on).await?;
    describe(on).await
}

/// The first JoinGroup in which members name their instances (KIP-345).
pub(super) const STATIC_SINCE: i16 = 5;

pub(super) fn joining(group: &str, member: &str) -> JoinGroupRequest {
    let protocol = message!(JoinGroupRequestProtocol {
        name: "range".into(),
        metadata: Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"),
    });
    message!(JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
    })
}

pub(super) fn syncing(group: &str, member: &ByteString, generation: i32) -> SyncGroupRequest {
    let assignment = message!(SyncGroupRequestAssignment {
        member_id: member.clone(),
        assignment: Bytes::from_static(b"what the leader says"),
    });
    message!(SyncGroupRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: vec![assignment],
    })
}

fn beating(group: &str, member: &ByteString, generation: i32) -> HeartbeatRequest {
    message!(HeartbeatRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.clone(),
    })
}

fn leaving(version: i16, group: &str, member: &ByteString) -> LeaveGroupRequest {
    let mut ask = message!(LeaveGroupRequest { group_id: group.into() });
    if version < 3 {
        ask.member_id = member.clone();
    } else {
        ask.members = vec![message!(MemberIdentity { member_id: member.clone() })];
    }
    ask
}

async fn wrong_joins(on: &mut Recorder) -> Result {
    let newest = on.newest(ApiKey::JOIN_GROUP);
    on.ask("an empty group", newest, joining("", "")).await?;
    on.ask("an unknown member", newest, joining("script-wrong", "nobody")).await?;
    let mut ask = joining("script-wrong", "");
    ask.session_timeout_ms = 1;
    on.ask("a session of 1 ms", newest, ask).await?;
    let mut ask = joining("script-wrong", "");
    ask.session_timeout_ms = i32::MAX;
    on.ask("a session of a month", newest, ask).await?;
    let mut ask = joining("script-wrong", "");
    ask.protocols.clear();
    on.ask("no protocol", newest, ask).await?;
    let mut ask = joining("script-wrong", "");
    ask.protocol_type = "".into();
    on.ask("no protocol type", newest, ask).await?;

    let nobody = ByteString::from_static("nobody");
    let sync = on.newest(ApiKey::SYNC_GROUP);
    on.ask("a group that never was", sync, syncing("script-never", &nobody, 1)).await?;
    let beat = on.newest(ApiKey::HEARTBEAT);
    on.ask("a group that never was", beat, beating("script-never", &nobody, 1)).await?;
    on.ask("an empty group", beat, beating("", &nobody, 1)).await?;
    on.ask_each("a group that never was", ApiKey::LEAVE_GROUP, 0..=99, |version| {
        leaving(version, "script-never", &nobody)
    })
    .await
}

/// One member from join to leave, with the mistakes that it can make in between.
async fn life(on: &mut Recorder, version: i16) -> Result {
    let group = format!("script-group-{version}");
    let joined = on.ask("a new member", version, joining(&group, "")).await?;
    let Some(Response::JoinGroup(mut joined)) = joined else {
        return Err("no answer to JoinGroup".into());
    };
    if version >= 4 {
        let again = joining(&group, &joined.member_id);
        let Some(Response::JoinGroup(second)) = on.ask("with its id", version, again).await? else {
            return Err("no answer to JoinGroup".into());
        };
        joined = second;
    }
    let (member, generation) = (joined.member_id.clone(), joined.generation_id);
    let nobody = ByteString::from_static("nobody");

    let at = |key: ApiKey, on: &Recorder| version.min(on.newest(key));
    let sync = at(ApiKey::SYNC_GROUP, on);
    let beat = at(ApiKey::HEARTBEAT, on);
    let leave = at(ApiKey::LEAVE_GROUP, on);
    on.ask("before sync", beat, beating(&group, &member, generation)).await?;
    on.ask("a wrong generation", sync, syncing(&group, &member, generation + 1)).await?;
    on.ask("an unknown member", sync, syncing(&group, &nobody, generation)).await?;
    on.ask("the leader's", sync, syncing(&group, &member, generation)).await?;
    on.ask("again", sync, syncing(&group, &member, generation)).await?;
    on.ask("in time", beat, beating(&group, &member, generation)).await?;
    on.ask("an old generation", beat, beating(&group, &member, generation - 1)).await?;
    on.ask("an unknown member", beat, beating(&group, &nobody, generation)).await?;

    let commit = |member: &ByteString, generation: i32| {
        let partition =
            message!(OffsetCommitRequestPartition { partition_index: 0, committed_offset: 3 });
        let topic =
            message!(OffsetCommitRequestTopic { name: TOPIC.into(), partitions: vec![partition] });
        message!(OffsetCommitRequest {
            group_id: group.as_str().into(),
            member_id: member.clone(),
            generation_id_or_member_epoch: generation,
            topics: vec![topic],
        })
    };
    let to_commit = (version + 2).min(9);
    on.ask("of a member", to_commit, commit(&member, generation)).await?;
    on.ask("an old generation", to_commit, commit(&member, generation - 1)).await?;
    on.ask("an unknown member", to_commit, commit(&nobody, generation)).await?;
    on.ask("nobody's, of a group with members", to_commit, commit(&ByteString::new(), -1)).await?;

    on.ask("same again, in a stable group", version, joining(&group, &member)).await?;
    let mut other = joining(&group, "");
    other.protocol_type = "other".into();
    on.ask("another protocol type", version, other).await?;
    let mut other = joining(&group, "");
    other.protocols[0].name = "other".into();
    on.ask("no common protocol", version, other).await?;

    let told = message!(DescribeGroupsRequest { groups: vec![group.as_str().into()] });
    let describe = on.newest(ApiKey::DESCRIBE_GROUPS);
    on.ask("a group with a member", describe, told.clone()).await?;
    on.ask("an unknown member", leave, leaving(leave, &group, &nobody)).await?;
    on.ask("a member", leave, leaving(leave, &group, &member)).await?;
    on.ask("one that left", leave, leaving(leave, &group, &member)).await?;
    on.ask("one that left", beat, beating(&group, &member, generation)).await?;
    on.ask("a group that is empty", describe, told).await?;
    Ok(())
}

async fn static_member(on: &mut Recorder) -> Result {
    let version = on.newest(ApiKey::JOIN_GROUP);
    if version < STATIC_SINCE {
        return Ok(());
    }
    let group = "script-static";
    let joining = |member: &str| {
        let mut ask = joining(group, member);
        ask.group_instance_id = Some("instance".into());
        ask
    };
    let joined = on.ask("a static member", version, joining("")).await?;
    let Some(Response::JoinGroup(first)) = joined else {
        return Err("no answer to JoinGroup".into());
    };
    let sync = on.newest(ApiKey::SYNC_GROUP);
    let mut ask = syncing(group, &first.member_id, first.generation_id);
    ask.group_instance_id = Some("instance".into());
    on.ask("a static member", sync, ask).await?;
    let joined = on.ask("the static member comes back", version, joining("")).await?;
    let Some(Response::JoinGroup(second)) = joined else {
        return Err("no answer to JoinGroup".into());
    };
    let beat = on.newest(ApiKey::HEARTBEAT);
    for (what, member) in [("the fenced one", &first.member_id), ("its heir", &second.member_id)] {
        let mut ask = beating(group, member, second.generation_id);
        ask.group_instance_id = Some("instance".into());
        on.ask(what, beat, ask).await?;
    }
    let version = on.newest(ApiKey::LEAVE_GROUP);
    let member = |id: &str| {
        message!(MemberIdentity { member_id: "".into(), group_instance_id: Some(id.into()) })
    };
    let ask = message!(LeaveGroupRequest {
        group_id: group.into(),
        members: vec![member("unknown"), member("instance")],
    });
    on.ask("by instance", version, ask).await?;
    Ok(())
}

async fn describe(on: &mut Recorder) -> Result {
    let key = ApiKey::DESCRIBE_GROUPS;
    let groups = || vec!["script-group-9".into(), "script-never".into()];
    on.ask_each("an empty one and one that never was", key, 0..=99, |_| {
        message!(DescribeGroupsRequest { groups: groups() })
    })
    .await?;
    on.ask_each("with operations", key, 3..=99, |_| {
        message!(DescribeGroupsRequest { groups: groups(), include_authorized_operations: true })
    })
    .await?;

    for (what, states, types) in [
        ("all", vec![], vec![]),
        ("empty ones", vec!["Empty"], vec![]),
        ("stable ones", vec!["stable"], vec![]),
        ("of a state that is none", vec!["Nonsense"], vec![]),
        ("of the consumer protocol", vec![], vec!["consumer"]),
        ("classic ones", vec![], vec!["Classic"]),
    ] {
        let since = if !types.is_empty() {
            5
        } else if !states.is_empty() {
            4
        } else {
            0
        };
        for version in on.versions(ApiKey::LIST_GROUPS).filter(|version| *version >= since) {
            let ask = message!(ListGroupsRequest {
                states_filter: states.iter().map(|s| ByteString::from_static(s)).collect(),
                types_filter: types.iter().map(|s| ByteString::from_static(s)).collect(),
            });
            let Response::ListGroups(mut told) = on.quietly(version, ask).await? else {
                return Err("another answer than ListGroups'".into());
            };
            // Real brokers list them in no order.
            told.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
            let fields = crate::compare::fields::fields(&told);
            on.note(&format!("ListGroups v{version}: {what}"), fields);
        }
    }
    Ok(())
}
