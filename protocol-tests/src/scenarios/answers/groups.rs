//! DescribeGroups, ListGroups and DeleteGroups: what is told of groups of the classic protocol.

use milena_types::ErrorCode as E;
use milena_wire::ByteString;
use milena_wire::messages::describe_groups_response::DescribedGroup;
use milena_wire::messages::list_groups_response::ListedGroup;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};
use tokio::time::sleep;

use super::answers;
use crate::Result;
use crate::raw::message;
use crate::scenarios::stage::{Member, PAUSE, Role, Stage, answer};

const JOIN: i16 = 3;
const SYNC: i16 = 2;
const LEAVE: i16 = 2;
const DESCRIBE: i16 = 2;
const LIST: i16 = 2;
const DELETE: i16 = 1;

answers! { "groups", |_| true;
    one_that_never_was_is_dead: |stage| {
        let told = described(stage).await?;
        assert_eq!((told.error_code, &*told.group_state), (E::NONE, "Dead"));
        assert_eq!(told.members, []);
        Ok(())
    }
    one_with_its_assignment_is_stable: |stage| {
        let member = stage.member().await?;
        let told = await_state(stage, "Stable").await?;
        assert_eq!((&*told.group_state, &*told.protocol_type, &*told.protocol_data), ("Stable", "consumer", "range"));
        let ids: Vec<_> = told.members.iter().map(|member| &member.member_id).collect();
        assert_eq!(ids, [&member.id]);
        Ok(())
    }
    one_without_its_assignment_completes_its_rebalance: |stage| {
        let joined = stage.told(Role::Coordinator, JOIN, stage.joining("")).await?;
        let joined = answer!(JoinGroup of joined);
        let told = await_state(stage, "CompletingRebalance").await?;
        assert_eq!((&*told.group_state, &*told.protocol_type), ("CompletingRebalance", "consumer"));
        assert_eq!(told.members[0].member_id, joined.member_id);
        Ok(())
    }
    one_that_was_left_is_empty_and_of_its_kind: |stage| {
        left(stage).await?;
        let told = await_state(stage, "Empty").await?;
        assert_eq!((&*told.group_state, &*told.protocol_type, &*told.protocol_data), ("Empty", "consumer", ""));
        assert_eq!(told.members, []);
        Ok(())
    }
    members_are_told_with_their_client_and_address: |stage| {
        stage.member().await?;
        let told = await_state(stage, "Stable").await?;
        let member = &told.members[0];
        assert_eq!((&*member.client_id, &*member.client_host), ("protocol-tests", "/127.0.0.1"));
        Ok(())
    }
    members_are_told_with_what_they_brought_and_got: |stage| {
        let joined = stage.told(Role::Coordinator, JOIN, stage.joining("")).await?;
        let joined = answer!(JoinGroup of joined);
        let member = Member { id: joined.member_id.clone(), generation: joined.generation_id };
        let mut ask = stage.syncing(&member);
        let assignment = bytes::Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9]);
        ask.assignments = vec![message!(SyncGroupRequestAssignment {
            member_id: member.id.clone(), assignment: assignment.clone(),
        })];
        stage.coordinator(SYNC, ask, E::NONE).await?;
        let told = await_state(stage, "Stable").await?;
        let brought = &stage.joining("").protocols[0].metadata;
        assert_eq!((&told.members[0].member_metadata, &told.members[0].member_assignment), (brought, &assignment));
        Ok(())
    }
    ids_of_members_begin_with_their_clients_name: |stage| {
        let member = stage.member().await?;
        let rest = member.id.strip_prefix("protocol-tests-").ok_or("another id")?;
        assert_eq!(rest.len(), 36, "a UUID in {:?}", member.id);
        Ok(())
    }
    one_that_is_dead_and_one_that_is_not_are_told_in_one_answer: |stage| {
        stage.member().await?;
        let coordinator = crate::raw::coordinator(stage.on.address(), &stage.name).await?;
        let mut others = (0..100).map(|n| ByteString::from(format!("{}-not-{n}", stage.name)));
        let other = loop {
            let other = others.next().ok_or("another broker has each of them")?;
            if crate::raw::coordinator(stage.on.address(), &other).await? == coordinator {
                break other;
            }
        };
        let ask = message!(DescribeGroupsRequest { groups: vec![stage.name.clone(), other.clone()] });
        let told = answer!(DescribeGroups of stage.told(Role::Coordinator, DESCRIBE, ask).await?);
        let mut told: Vec<_> = told.groups.iter().map(|g| (&*g.group_id, &*g.group_state)).collect();
        told.sort_unstable();
        assert_eq!(told, [(&*stage.name, "Stable"), (&*other, "Dead")]);
        Ok(())
    }
    one_of_consumers_is_listed_as_such: |stage| {
        stage.member().await?;
        assert_eq!(&*await_listed(stage).await?.protocol_type, "consumer");
        Ok(())
    }
    one_of_workers_is_listed_and_described_as_such: |stage| {
        let mut ask = stage.joining("");
        ask.protocol_type = "connect".into();
        stage.coordinator(JOIN, ask, E::NONE).await?;
        assert_eq!(&*await_listed(stage).await?.protocol_type, "connect");
        assert_eq!(&*await_state(stage, "CompletingRebalance").await?.protocol_type, "connect");
        Ok(())
    }
    one_of_commits_alone_is_listed_without_a_kind: |stage| {
        commit(stage, 3).await?;
        assert_eq!(&*await_listed(stage).await?.protocol_type, "");
        let told = await_state(stage, "Empty").await?;
        assert_eq!((&*told.group_state, &*told.protocol_type), ("Empty", ""));
        Ok(())
    }
    one_that_was_left_is_still_listed: |stage| {
        left(stage).await?;
        await_listed(stage).await.map(drop)
    }
    one_that_was_deleted_is_listed_no_more: |stage| {
        left(stage).await?;
        stage.coordinator(DELETE, delete(&[&stage.name]), E::NONE).await?;
        await_state(stage, "Dead").await?;
        assert_eq!(listed(stage).await?, None);
        Ok(())
    }
    one_that_was_deleted_has_no_offsets: |stage| {
        commit(stage, 3).await?;
        stage.coordinator(DELETE, delete(&[&stage.name]), E::NONE).await?;
        let ask = message!(OffsetFetchRequest { group_id: stage.name.clone(), topics: None });
        let told = answer!(OffsetFetch of stage.told(Role::Coordinator, 5, ask).await?);
        assert_eq!(told.topics, []);
        Ok(())
    }
    one_with_members_outlives_the_attempt_to_delete_it: |stage| {
        let member = stage.member().await?;
        stage.coordinator(DELETE, delete(&[&stage.name]), E::NON_EMPTY_GROUP).await?;
        let told = await_state(stage, "Stable").await?;
        assert_eq!((&*told.group_state, &told.members[0].member_id), ("Stable", &member.id));
        Ok(())
    }
    one_that_was_deleted_begins_anew: |stage| {
        left(stage).await?;
        stage.coordinator(DELETE, delete(&[&stage.name]), E::NONE).await?;
        assert_eq!(stage.member().await?.generation, 1);
        Ok(())
    }
    one_that_was_left_goes_on_with_the_next_generation: |stage| {
        let member = left(stage).await?;
        let next = stage.member().await?;
        // The rebalance to nobody is one too.
        assert_eq!(next.generation, member.generation + 2);
        Ok(())
    }
    one_that_was_left_takes_members_of_another_kind: |stage| {
        left(stage).await?;
        let mut ask = stage.joining("");
        ask.protocol_type = "connect".into();
        stage.coordinator(JOIN, ask, E::NONE).await?;
        assert_eq!(&*await_state(stage, "CompletingRebalance").await?.protocol_type, "connect");
        Ok(())
    }
}

/// The group in this state. A newer coordinator of several tells what its replicas have.
async fn await_state(stage: &Stage, state: &str) -> Result<DescribedGroup> {
    loop {
        let told = described(stage).await?;
        if &*told.group_state == state {
            return Ok(told);
        }
        sleep(PAUSE).await;
    }
}

async fn await_listed(stage: &Stage) -> Result<ListedGroup> {
    loop {
        match listed(stage).await? {
            Some(group) => return Ok(group),
            None => sleep(PAUSE).await,
        }
    }
}

async fn described(stage: &Stage) -> Result<DescribedGroup> {
    let ask = message!(DescribeGroupsRequest { groups: vec![stage.name.clone()] });
    let told = answer!(DescribeGroups of stage.told(Role::Coordinator, DESCRIBE, ask).await?);
    let mut groups = told.groups.into_iter();
    let group = groups.next().ok_or("no group in the answer")?;
    assert_eq!((&group.group_id, groups.next()), (&stage.name, None));
    Ok(group)
}

/// The stage's group in the list of its coordinator.
async fn listed(stage: &Stage) -> Result<Option<ListedGroup>> {
    let told = stage.told(Role::Coordinator, LIST, ListGroupsRequest::default()).await?;
    let told = answer!(ListGroups of told);
    assert_eq!(told.error_code, E::NONE);
    Ok(told.groups.into_iter().find(|group| group.group_id == stage.name))
}

/// Has a group that its only member has left. Without offsets a coordinator may forget it at any time.
async fn left(stage: &mut Stage) -> Result<Member> {
    commit(stage, 3).await?;
    let member = stage.member().await?;
    stage.coordinator(LEAVE, leave(stage, &member), E::NONE).await?;
    Ok(member)
}

/// Commits as nobody's member.
async fn commit(stage: &mut Stage, offset: i64) -> Result {
    stage.topic().await?;
    let partition = message!(OffsetCommitRequestPartition { committed_offset: offset });
    let topic = message!(OffsetCommitRequestTopic {
        name: stage.name.clone(),
        partitions: vec![partition],
    });
    let ask = message!(OffsetCommitRequest { group_id: stage.name.clone(), topics: vec![topic] });
    stage.coordinator(6, ask, E::NONE).await
}

fn leave(stage: &Stage, member: &Member) -> LeaveGroupRequest {
    message!(LeaveGroupRequest { group_id: stage.name.clone(), member_id: member.id.clone() })
}

fn delete(groups: &[&ByteString]) -> DeleteGroupsRequest {
    message!(DeleteGroupsRequest {
        groups_names: groups.iter().map(|name| (*name).clone()).collect()
    })
}
