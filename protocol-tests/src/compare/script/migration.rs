//! Groups with members that go from the classic to the consumer protocol and back.

use bytes::{BufMut, Bytes, BytesMut};
use milena_types::ApiKey;
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::leave_group_request::MemberIdentity;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};
use milena_wire::{ByteString, Response};

use super::consumer_groups::{Member, READ, beat, describe, let_assign};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) async fn run(on: &mut Recorder) -> Result {
    if on.newest(ApiKey::CONSUMER_GROUP_HEARTBEAT) < 1 {
        return Ok(());
    }
    there_and_back(on).await?;
    by_a_static_member(on).await?;
    not_of_consumers(on).await
}

/// A member of the classic protocol as the script plays it.
struct Classic<'a> {
    group: &'a str,
    id: ByteString,
    instance_id: Option<ByteString>,
    generation: i32,
}

/// Version 1 of what consumers write: the topic, no user data, and partitions that are owned or assigned.
fn embedded(is_subscription: bool, partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    let topic = |bytes: &mut BytesMut| {
        bytes.put_i16(i16::try_from(READ.len()).unwrap_or_default());
        bytes.put_slice(READ.as_bytes());
    };
    if is_subscription {
        bytes.put_i32(1);
        topic(&mut bytes);
        bytes.put_i32(-1);
    }
    bytes.put_i32(i32::from(!partitions.is_empty()));
    if !partitions.is_empty() {
        topic(&mut bytes);
        bytes.put_i32(i32::try_from(partitions.len()).unwrap_or_default());
        for partition in partitions {
            bytes.put_i32(*partition);
        }
    }
    if !is_subscription {
        bytes.put_i32(-1);
    }
    bytes.freeze()
}

impl Classic<'_> {
    fn joining(&self, owned: &[i32]) -> JoinGroupRequest {
        let protocol = message!(JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: embedded(true, owned),
        });
        message!(JoinGroupRequest {
            group_id: self.group.into(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
        })
    }

    async fn join(&mut self, on: &mut Recorder, what: &str, owned: &[i32]) -> Result {
        self.send_join(on, what, owned).await?;
        Ok(())
    }

    async fn send_join(
        &mut self,
        on: &mut Recorder,
        what: &str,
        owned: &[i32],
    ) -> Result<JoinGroupResponse> {
        let version = on.newest(ApiKey::JOIN_GROUP);
        let asked = on.ask(what, version, self.joining(owned)).await?;
        let Some(Response::JoinGroup(told)) = asked else {
            return Err("no answer to JoinGroup".into());
        };
        if !told.member_id.is_empty() {
            self.id = told.member_id.clone();
        }
        self.generation = told.generation_id.max(self.generation);
        Ok(told)
    }

    /// Joins a group of its own, and takes all four partitions.
    async fn take_all(&mut self, on: &mut Recorder) -> Result {
        if self.instance_id.is_none() {
            self.join(on, "a classic member", &[]).await?;
        }
        self.join(on, "a classic member with its id", &[]).await?;
        self.sync(on, "all partitions", &[0, 1, 2, 3]).await
    }

    async fn sync(&self, on: &mut Recorder, what: &str, all: &[i32]) -> Result {
        let assignment = message!(SyncGroupRequestAssignment {
            member_id: self.id.clone(),
            assignment: embedded(false, all),
        });
        let ask = message!(SyncGroupRequest {
            group_id: self.group.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: vec![assignment],
        });
        let version = on.newest(ApiKey::SYNC_GROUP);
        on.ask(what, version, ask).await?;
        Ok(())
    }

    async fn beat(&self, on: &mut Recorder, what: &str) -> Result {
        let ask = message!(HeartbeatRequest {
            group_id: self.group.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
        });
        let version = on.newest(ApiKey::HEARTBEAT);
        on.ask(what, version, ask).await?;
        Ok(())
    }

    async fn commit(&self, on: &mut Recorder, what: &str, generation: i32, index: i32) -> Result {
        let partition =
            message!(OffsetCommitRequestPartition { partition_index: index, committed_offset: 3 });
        let topic =
            message!(OffsetCommitRequestTopic { name: READ.into(), partitions: vec![partition] });
        for version in [8, 9] {
            let ask = message!(OffsetCommitRequest {
                group_id: self.group.into(),
                member_id: self.id.clone(),
                group_instance_id: self.instance_id.clone(),
                generation_id_or_member_epoch: generation,
                topics: vec![topic.clone()],
            });
            on.ask(what, version, ask).await?;
        }
        Ok(())
    }

    async fn leave(&self, on: &mut Recorder) -> Result {
        let unknown = message!(MemberIdentity { member_id: "unknown".into() });
        let member = message!(MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
        });
        let ask = message!(LeaveGroupRequest {
            group_id: self.group.into(),
            members: vec![unknown, member],
        });
        let version = on.newest(ApiKey::LEAVE_GROUP);
        on.ask("a classic member and an unknown one", version, ask).await?;
        Ok(())
    }
}

async fn there_and_back(on: &mut Recorder) -> Result {
    let group = "script-migrates";
    let mut old = Classic { group, id: ByteString::new(), instance_id: None, generation: -1 };
    let new = Member { group, id: "a", instance_id: None };
    old.take_all(on).await?;
    describe(on, "classic", group).await?;
    beat(on, "to go on in a classic group", new.beating(3)).await?;
    let (epoch, _) = beat(on, "joins a classic group", new.joining()).await?;
    describe(on, "two kinds of members", group).await?;
    old.commit(on, "of a classic member", old.generation, 0).await?;
    old.sync(on, "in a rebalance", &[]).await?;
    old.beat(on, "in a rebalance").await?;
    old.join(on, "to give up", &[0, 1, 2, 3]).await?;
    old.sync(on, "to give up", &[]).await?;
    describe(on, "a classic member gives up", group).await?;
    beat(on, "waits for a classic member", new.beating(epoch)).await?;
    old.beat(on, "before it has given up").await?;
    // The assignor lets it keep the first ones.
    old.join(on, "has given up", &[0, 1]).await?;
    old.sync(on, "has given up", &[]).await?;
    old.beat(on, "once it has given up").await?;
    beat(on, "gets from a classic member", new.beating(epoch)).await?;
    describe(on, "shared", group).await?;
    old.commit(on, "of a classic member", old.generation, 0).await?;
    old.commit(on, "of its generation before", old.generation - 1, 0).await?;
    old.commit(on, "what it has not, of its generation before", old.generation - 1, 3).await?;
    old.commit(on, "of the next generation", old.generation + 1, 0).await?;
    let nobody = Classic { group, id: "nobody".into(), instance_id: None, generation: epoch };
    nobody.beat(on, "an unknown member of a group that migrates").await?;
    nobody.sync(on, "an unknown member of a group that migrates", &[]).await?;
    let mut wrong = old.joining(&[0, 1]);
    wrong.protocol_type = "connect".into();
    let version = on.newest(ApiKey::JOIN_GROUP);
    on.ask("another protocol type", version, wrong).await?;
    let mut wrong = old.joining(&[0, 1]);
    wrong.protocols.iter_mut().for_each(|protocol| protocol.name = "other".into());
    wrong.member_id = "somebody".into();
    on.ask("no common protocol in a group that migrates", version, wrong).await?;
    let mut wrong = old.joining(&[0, 1]);
    wrong.protocols.iter_mut().for_each(|p| p.metadata = Bytes::from_static(b"\0"));
    on.ask("a subscription that is none", version, wrong).await?;

    beat(on, "leaves a classic member behind", new.beating(-1)).await?;
    describe(on, "classic again", group).await?;
    old.beat(on, "classic again").await?;
    old.join(on, "classic again", &[0, 1]).await?;
    old.sync(on, "classic again", &[0, 1, 2, 3]).await?;
    describe(on, "classic and stable", group).await?;
    beat(on, "joins once more", new.joining()).await?;
    old.leave(on).await?;
    describe(on, "the classic member has left", group).await?;
    let_assign().await;
    beat(on, "alone", new.beating(0)).await?;
    beat(on, "leaves an empty group behind", new.beating(-1)).await?;
    let mut late = Classic { group, id: ByteString::new(), instance_id: None, generation: -1 };
    late.take_all(on).await?;
    describe(on, "a classic group where one of the consumer protocol was", group).await?;
    late.leave(on).await
}

/// A static member comes back with the other protocol.
async fn by_a_static_member(on: &mut Recorder) -> Result {
    let group = "script-migrates-static";
    let mut old =
        Classic { group, id: ByteString::new(), instance_id: Some("i".into()), generation: -1 };
    let new = Member { group, id: "a", instance_id: Some("i") };
    old.take_all(on).await?;
    beat(on, "takes the place of a classic member", new.joining()).await?;
    old.beat(on, "whose place was taken").await?;
    describe(on, "its place was taken", group).await?;
    let mut back = Classic { group, id: ByteString::new(), ..old };
    back.join(on, "takes the place of a member of the consumer protocol", &[]).await?;
    describe(on, "its place was taken back", group).await?;
    back.beat(on, "that took the place back").await?;
    back.sync(on, "that took the place back", &[]).await?;
    beat(on, "whose place was taken back", new.beating(1)).await?;
    back.leave(on).await
}

async fn not_of_consumers(on: &mut Recorder) -> Result {
    let group = "script-migrates-not";
    let mut old = Classic { group, id: ByteString::new(), instance_id: None, generation: -1 };
    let new = Member { group, id: "a", instance_id: None };
    let version = on.newest(ApiKey::JOIN_GROUP);
    let mut other = old.joining(&[]);
    other.protocol_type = "connect".into();
    let Some(Response::JoinGroup(told)) = on.ask("of connectors", version, other.clone()).await?
    else {
        return Err("no answer to JoinGroup".into());
    };
    other.member_id = told.member_id.clone();
    on.ask("of connectors", version, other).await?;
    old.id = told.member_id;
    beat(on, "joins a group of connectors", new.joining()).await?;
    old.leave(on).await?;

    let group = "script-migrates-malformed";
    let mut old = Classic { group, ..old };
    old.id = ByteString::new();
    old.generation = -1;
    let new = Member { group, ..new };
    old.join(on, "a classic member", &[]).await?;
    old.join(on, "a classic member with its id", &[]).await?;
    // It reads something else: who would get which partition is decided by the classic member's random id.
    let mut elsewhere = new.joining();
    elsewhere.subscribed_topic_names = Some(vec!["not-there".into()]);
    beat(on, "joins a group that is not synced", elsewhere).await?;
    old.sync(on, "in a group that was taken over", &[0, 1, 2, 3]).await?;
    beat(on, "leaves", new.beating(-1)).await?;
    old.leave(on).await
}
