//! Rebalances of the classic protocol, of two members: who waits for whom, and what each is told.

use bytes::Bytes;
use milena_types::{ApiKey, ErrorCode as E};
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use milena_wire::{ByteString, Request};
use tokio::time::sleep;

use super::answers;
use crate::Result;
use crate::raw::{Connection, message};
use crate::scenarios::stage::{Member, PAUSE, Role, Stage, answer};

const JOIN: i16 = 3;
const SYNC: i16 = 2;
const BEAT: i16 = 2;
const LEAVE: i16 = 2;

answers! { "rebalances", |_| true;
    a_heartbeat_tells_of_one: |stage| {
        let first = stage.member().await?;
        let second = Joining::begin(stage, &first, stage.joining("")).await?;
        assert_eq!(beat(stage, &first).await?, E::REBALANCE_IN_PROGRESS);
        second.end(stage, &first).await.map(drop)
    }
    a_sync_amid_one_is_told_so: |stage| {
        let first = stage.member().await?;
        let second = Joining::begin(stage, &first, stage.joining("")).await?;
        stage.coordinator(SYNC, stage.syncing(&first), E::REBALANCE_IN_PROGRESS).await?;
        second.end(stage, &first).await.map(drop)
    }
    a_new_member_brings_the_next_generation_to_all: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        assert_eq!(leader.generation_id, first.generation + 1);
        assert_eq!(follower.generation_id, leader.generation_id);
        assert_ne!(follower.member_id, leader.member_id);
        Ok(())
    }
    whoever_was_first_leads_and_all_are_told: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        assert_eq!(leader.member_id, first.id, "it keeps its id");
        assert_eq!((&leader.leader, &follower.leader), (&first.id, &first.id));
        Ok(())
    }
    the_leader_alone_is_told_of_the_members: |stage| {
        let first = stage.member().await?;
        let mut ask = stage.joining("");
        ask.protocols[0].metadata = SECOND;
        let (leader, follower) = Joining::begin(stage, &first, ask).await?.end(stage, &first).await?;
        let brought = [FIRST, SECOND];
        let mut told: Vec<_> = leader.members.iter().map(|m| (&m.member_id, &m.metadata)).collect();
        told.sort();
        let mut expected = vec![(&first.id, &brought[0]), (&follower.member_id, &brought[1])];
        expected.sort();
        assert_eq!(told, expected);
        assert_eq!(follower.members, []);
        Ok(())
    }
    a_strategy_that_all_have_is_taken: |stage| {
        let first = stage.member_with(&["sticky", "range"]).await?;
        let mut ask = stage.joining("");
        ask.protocols = strategies(&["other", "range"]);
        let second = Joining::begin(stage, &first, ask).await?;
        let mut again = stage.joining(&first.id);
        again.protocols = strategies(&["sticky", "range"]);
        let (leader, follower) = second.end_with(stage, again).await?;
        let told = [leader.protocol_name.as_deref(), follower.protocol_name.as_deref()];
        assert_eq!(told, [Some("range"); 2]);
        Ok(())
    }
    of_strategies_that_all_have_the_first_is_taken: |stage| {
        let first = stage.member_with(&["sticky", "range"]).await?;
        let mut ask = stage.joining("");
        ask.protocols = strategies(&["sticky", "range"]);
        let second = Joining::begin(stage, &first, ask).await?;
        let mut again = stage.joining(&first.id);
        again.protocols = strategies(&["sticky", "range"]);
        let (leader, _) = second.end_with(stage, again).await?;
        assert_eq!(leader.protocol_name.as_deref(), Some("sticky"));
        Ok(())
    }
    a_follower_waits_for_the_assignment_of_the_leader: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        let (leader, follower) = (member(&leader), member(&follower));
        let mut waits = stage.connection(Role::Coordinator).await?;
        waits.send(&Request::from(stage.syncing(&follower)), SYNC).await?;
        let ask = assigning(stage, &leader, &[(&leader, ONE), (&follower, TWO)]);
        let told = answer!(SyncGroup of stage.told(Role::Coordinator, SYNC, ask).await?);
        assert_eq!((told.error_code, told.assignment), (E::NONE, ONE));
        let told = answer!(SyncGroup of waits.receive(ApiKey::SYNC_GROUP, SYNC).await?);
        assert_eq!((told.error_code, told.assignment), (E::NONE, TWO));
        Ok(())
    }
    a_member_that_the_leader_left_out_is_assigned_nothing: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        let (leader, follower) = (member(&leader), member(&follower));
        let ask = assigning(stage, &leader, &[(&leader, ONE)]);
        answer!(SyncGroup of stage.told(Role::Coordinator, SYNC, ask).await?);
        let ask = stage.syncing(&follower);
        let told = answer!(SyncGroup of stage.told(Role::Coordinator, SYNC, ask).await?);
        assert_eq!((told.error_code, told.assignment), (E::NONE, Bytes::new()));
        Ok(())
    }
    what_a_follower_assigns_does_not_count: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        let (leader, follower) = (member(&leader), member(&follower));
        let mut waits = stage.connection(Role::Coordinator).await?;
        let ask = assigning(stage, &follower, &[(&leader, TWO), (&follower, TWO)]);
        waits.send(&Request::from(ask), SYNC).await?;
        let ask = assigning(stage, &leader, &[(&leader, ONE), (&follower, ONE)]);
        let told = answer!(SyncGroup of stage.told(Role::Coordinator, SYNC, ask).await?);
        assert_eq!(told.assignment, ONE);
        let told = answer!(SyncGroup of waits.receive(ApiKey::SYNC_GROUP, SYNC).await?);
        assert_eq!(told.assignment, ONE);
        Ok(())
    }
    a_second_assignment_of_a_generation_does_not_count: |stage| {
        let first = stage.member().await?;
        let ask = assigning(stage, &first, &[(&first, TWO)]);
        let told = answer!(SyncGroup of stage.told(Role::Coordinator, SYNC, ask).await?);
        assert_eq!((told.error_code, told.assignment), (E::NONE, Bytes::new()));
        Ok(())
    }
    a_heartbeat_before_the_assignment_is_told_of_the_rebalance_by_old_brokers: |stage| {
        let first = stage.member().await?;
        let (leader, _) = pair(stage, &first).await?;
        let code = if stage.is_since(2, 6) { E::NONE } else { E::REBALANCE_IN_PROGRESS };
        assert_eq!(beat(stage, &member(&leader)).await?, code);
        Ok(())
    }
    a_follower_that_joins_as_it_was_starts_none: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        settle(stage, &leader, &follower).await?;
        let ask = stage.joining(&follower.member_id);
        let told = answer!(JoinGroup of stage.told(Role::Coordinator, JOIN, ask).await?);
        assert_eq!((told.error_code, told.generation_id), (E::NONE, leader.generation_id));
        assert_eq!(beat(stage, &member(&leader)).await?, E::NONE);
        Ok(())
    }
    a_follower_with_another_subscription_starts_one: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        settle(stage, &leader, &follower).await?;
        let mut ask = stage.joining(&follower.member_id);
        ask.protocols[0].metadata = SECOND;
        let again = Joining::begin(stage, &member(&leader), ask).await?;
        let (leader, again) = again.end(stage, &member(&leader)).await?;
        assert_eq!(again.member_id, follower.member_id);
        assert_eq!(again.generation_id, follower.generation_id + 1);
        assert_eq!(leader.members.len(), 2);
        Ok(())
    }
    a_leader_that_joins_again_starts_one: |stage| {
        let first = stage.member().await?;
        let ask = stage.joining(&first.id);
        let told = answer!(JoinGroup of stage.told(Role::Coordinator, JOIN, ask).await?);
        assert_eq!((told.error_code, told.generation_id), (E::NONE, first.generation + 1));
        assert_eq!(told.member_id, first.id);
        Ok(())
    }
    when_the_leader_leaves_another_leads: |stage| {
        let first = stage.member().await?;
        let (leader, follower) = pair(stage, &first).await?;
        settle(stage, &leader, &follower).await?;
        stage.coordinator(LEAVE, leave(stage, &first), E::NONE).await?;
        assert_eq!(beat(stage, &member(&follower)).await?, E::REBALANCE_IN_PROGRESS);
        let ask = stage.joining(&follower.member_id);
        let told = answer!(JoinGroup of stage.told(Role::Coordinator, JOIN, ask).await?);
        assert_eq!((told.error_code, &told.leader), (E::NONE, &follower.member_id));
        assert_eq!(told.members.len(), 1);
        Ok(())
    }
    none_waits_longer_than_the_members_said: |stage| {
        let mut ask = stage.joining("");
        ask.rebalance_timeout_ms = 1_000;
        let first = answer!(JoinGroup of stage.told(Role::Coordinator, JOIN, ask).await?);
        let ask = assigning(stage, &member(&first), &[]);
        answer!(SyncGroup of stage.told(Role::Coordinator, SYNC, ask).await?);
        // The first never joins again.
        let mut ask = stage.joining("");
        ask.rebalance_timeout_ms = 1_000;
        let second = answer!(JoinGroup of stage.told(Role::Coordinator, JOIN, ask).await?);
        assert_eq!(second.generation_id, first.generation_id + 1);
        assert_eq!((second.members.len(), &second.leader), (1, &second.member_id));
        let late = Member { generation: second.generation_id, ..member(&first) };
        assert_eq!(beat(stage, &late).await?, E::UNKNOWN_MEMBER_ID);
        Ok(())
    }
    one_ends_when_the_last_that_is_waited_for_leaves: |stage| {
        let first = stage.member().await?;
        let mut second = Joining::begin(stage, &first, stage.joining("")).await?;
        stage.coordinator(LEAVE, leave(stage, &first), E::NONE).await?;
        let told = answer!(JoinGroup of second.there.receive(ApiKey::JOIN_GROUP, JOIN).await?);
        assert_eq!((told.error_code, told.members.len()), (E::NONE, 1));
        assert_eq!(told.leader, told.member_id);
        Ok(())
    }
}

/// A member whose join waits for another's.
struct Joining {
    there: Connection,
}

impl Joining {
    /// Joins, and waits until the one who is there would hear of it.
    async fn begin(stage: &Stage, there: &Member, ask: JoinGroupRequest) -> Result<Self> {
        let mut joining = stage.connection(Role::Coordinator).await?;
        joining.send(&Request::from(ask), JOIN).await?;
        while beat(stage, there).await? != E::REBALANCE_IN_PROGRESS {
            sleep(PAUSE).await;
        }
        Ok(Self { there: joining })
    }

    /// Has the one who was there join again: what it is told, and what this one is.
    async fn end(
        self,
        stage: &Stage,
        first: &Member,
    ) -> Result<(JoinGroupResponse, JoinGroupResponse)> {
        let again = stage.joining(&first.id);
        self.end_with(stage, again).await
    }

    async fn end_with(
        mut self,
        stage: &Stage,
        again: JoinGroupRequest,
    ) -> Result<(JoinGroupResponse, JoinGroupResponse)> {
        let first = answer!(JoinGroup of stage.told(Role::Coordinator, JOIN, again).await?);
        let second = answer!(JoinGroup of self.there.receive(ApiKey::JOIN_GROUP, JOIN).await?);
        assert_eq!((first.error_code, second.error_code), (E::NONE, E::NONE));
        Ok((first, second))
    }
}

/// What the first member is told, who leads, and what a second one is, once both have joined.
async fn pair(stage: &Stage, first: &Member) -> Result<(JoinGroupResponse, JoinGroupResponse)> {
    Joining::begin(stage, first, stage.joining("")).await?.end(stage, first).await
}

/// Has both get an assignment.
async fn settle(stage: &Stage, leader: &JoinGroupResponse, other: &JoinGroupResponse) -> Result {
    let ask = assigning(stage, &member(leader), &[]);
    stage.coordinator(SYNC, ask, E::NONE).await?;
    stage.coordinator(SYNC, stage.syncing(&member(other)), E::NONE).await
}

async fn beat(stage: &Stage, member: &Member) -> Result<E> {
    let ask = message!(HeartbeatRequest {
        group_id: stage.name.clone(),
        generation_id: member.generation,
        member_id: member.id.clone(),
    });
    Ok(answer!(Heartbeat of stage.told(Role::Coordinator, BEAT, ask).await?).error_code)
}

fn leave(stage: &Stage, member: &Member) -> LeaveGroupRequest {
    message!(LeaveGroupRequest { group_id: stage.name.clone(), member_id: member.id.clone() })
}

fn member(told: &JoinGroupResponse) -> Member {
    Member { id: told.member_id.clone(), generation: told.generation_id }
}

fn assigning(stage: &Stage, by: &Member, parts: &[(&Member, Bytes)]) -> SyncGroupRequest {
    let part = |(to, assignment): &(&Member, Bytes)| {
        message!(SyncGroupRequestAssignment {
            member_id: to.id.clone(),
            assignment: assignment.clone(),
        })
    };
    let mut ask = stage.syncing(by);
    ask.assignments = parts.iter().map(part).collect();
    ask
}

fn strategies(names: &[&str]) -> Vec<JoinGroupRequestProtocol> {
    let strategy = |name: &&str| {
        message!(JoinGroupRequestProtocol { name: ByteString::from(*name), metadata: FIRST })
    };
    names.iter().map(strategy).collect()
}

/// Subscriptions of version 0, to no topic, with and without a byte of the user's.
const FIRST: Bytes = Bytes::from_static(&[0; 10]);
const SECOND: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7]);

/// Assignments of version 0, of no partitions, with a byte of the user's.
const ONE: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
const TWO: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
