//! Rebalances of the classic protocol with two members, what they may do meanwhile, and members that are given up.
//!
//! The members are static where the release knows such, so that their ids sort the same everywhere.

use std::time::Duration;

use bytes::Bytes;
use milena_types::ApiKey;
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::leave_group_request::MemberIdentity;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    SyncGroupRequest,
};
use milena_wire::{ByteString, Request, Response};

use super::groups::STATIC_SINCE;
use super::produce::TOPIC;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Connection, message};

pub(super) async fn run(on: &mut Recorder) -> Result {
    two_members(on).await?;
    given_up(on).await?;
    pending(on).await?;
    other_types(on).await
}

/// A member as the script plays it.
#[derive(Clone)]
struct Member {
    group: &'static str,
    instance_id: Option<ByteString>,
    id: ByteString,
    generation: i32,
    protocols: Vec<&'static str>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
}

/// What a consumer of [`TOPIC`] subscribes to, in version 0.
fn subscription() -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, u8::try_from(TOPIC.len()).unwrap_or_default()];
    bytes.extend_from_slice(TOPIC.as_bytes());
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.into()
}

impl Member {
    fn new(
        on: &Recorder,
        group: &'static str,
        instance: &'static str,
        protocols: &[&'static str],
    ) -> Self {
        let is_static = !instance.is_empty() && on.newest(ApiKey::JOIN_GROUP) >= STATIC_SINCE;
        Self {
            group,
            instance_id: is_static.then(|| instance.into()),
            id: ByteString::new(),
            generation: -1,
            protocols: protocols.to_vec(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
        }
    }

    fn joining(&self) -> JoinGroupRequest {
        let protocol = |name: &&'static str| {
            message!(JoinGroupRequestProtocol {
                name: ByteString::from(*name),
                metadata: subscription()
            })
        };
        message!(JoinGroupRequest {
            group_id: self.group.into(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: "consumer".into(),
            protocols: self.protocols.iter().map(protocol).collect(),
            reason: Some("the script says so".into()),
        })
    }

    fn syncing(&self, protocol: &'static str) -> SyncGroupRequest {
        let assignment = message!(SyncGroupRequestAssignment {
            member_id: self.id.clone(),
            assignment: Bytes::from_static(b"what the leader says"),
        });
        message!(SyncGroupRequest {
            group_id: self.group.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some(protocol.into()),
            assignments: vec![assignment],
        })
    }

    fn joined(&mut self, told: &JoinGroupResponse) {
        if !told.member_id.is_empty() {
            self.id = told.member_id.clone();
        }
        self.generation = told.generation_id;
    }

    async fn join(&mut self, on: &mut Recorder, what: &str) -> Result {
        let version = on.newest(ApiKey::JOIN_GROUP);
        let Some(Response::JoinGroup(told)) = on.ask(what, version, self.joining()).await? else {
            return Err("no answer to JoinGroup".into());
        };
        self.joined(&told);
        Ok(())
    }

    /// Sends a JoinGroup that is answered later.
    async fn begin_join(&self, on: &Recorder, over: &mut Connection) -> Result {
        over.send(&Request::from(self.joining()), on.newest(ApiKey::JOIN_GROUP)).await
    }

    async fn end_join(&mut self, on: &mut Recorder, what: &str, over: &mut Connection) -> Result {
        let version = on.newest(ApiKey::JOIN_GROUP);
        let told = on.take(what, version, ApiKey::JOIN_GROUP, over).await?;
        let Response::JoinGroup(told) = told else { return Err("not JoinGroup's".into()) };
        self.joined(&told);
        Ok(())
    }

    async fn sync(&self, on: &mut Recorder, what: &str, protocol: &'static str) -> Result {
        let version = on.newest(ApiKey::SYNC_GROUP);
        on.ask(what, version, self.syncing(protocol)).await?;
        Ok(())
    }

    async fn beat(&self, on: &mut Recorder, what: &str) -> Result {
        let ask = message!(HeartbeatRequest {
            group_id: self.group.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
        });
        on.ask(what, on.newest(ApiKey::HEARTBEAT), ask).await?;
        Ok(())
    }

    async fn commit(&self, on: &mut Recorder, what: &str) -> Result {
        let partition =
            message!(OffsetCommitRequestPartition { partition_index: 0, committed_offset: 3 });
        let topic =
            message!(OffsetCommitRequestTopic { name: TOPIC.into(), partitions: vec![partition] });
        let ask = message!(OffsetCommitRequest {
            group_id: self.group.into(),
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            generation_id_or_member_epoch: self.generation,
            topics: vec![topic],
        });
        on.ask(what, 9, ask).await?;
        Ok(())
    }

    fn leaving(&self) -> MemberIdentity {
        message!(MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            reason: Some("the script says so".into()),
        })
    }
}

async fn leave(on: &mut Recorder, what: &str, group: &str, members: Vec<MemberIdentity>) -> Result {
    let version = on.newest(ApiKey::LEAVE_GROUP);
    if version >= 3 {
        let ask = message!(LeaveGroupRequest { group_id: group.into(), members: members });
        on.ask(what, version, ask).await?;
        return Ok(());
    }
    // One by one, and by their ids.
    for member in members {
        let ask =
            message!(LeaveGroupRequest { group_id: group.into(), member_id: member.member_id });
        on.ask(what, version, ask).await?;
    }
    Ok(())
}

async fn describe(on: &mut Recorder, what: &str, group: &str) -> Result {
    let ask = message!(DescribeGroupsRequest { groups: vec![group.into()] });
    on.ask(what, on.newest(ApiKey::DESCRIBE_GROUPS), ask).await?;
    Ok(())
}

async fn delete_offsets(on: &mut Recorder, what: &str, group: &str) -> Result {
    let topic = |name: &str| {
        let partition = message!(OffsetDeleteRequestPartition { partition_index: 0 });
        let unknown = message!(OffsetDeleteRequestPartition { partition_index: 99 });
        message!(OffsetDeleteRequestTopic {
            name: name.into(),
            partitions: vec![partition, unknown]
        })
    };
    let topics = vec![topic(TOPIC), topic("script-topic")];
    let ask = message!(OffsetDeleteRequest { group_id: group.into(), topics: topics });
    on.ask(what, 0, ask).await?;
    Ok(())
}

async fn two_members(on: &mut Recorder) -> Result {
    let group = "script-two";
    let mut beside = on.beside().await?;
    let mut a = Member::new(on, group, "a", &["range", "roundrobin", "sticky"]);
    let mut b = Member::new(on, group, "b", &["sticky", "roundrobin", "range"]);
    a.join(on, "the first of two").await?;
    a.sync(on, "the first of two", "range").await?;

    b.begin_join(on, &mut beside).await?;
    await_state(on, group, "PreparingRebalance").await?;
    describe(on, "while it gathers", group).await?;
    a.beat(on, "while it gathers").await?;
    a.sync(on, "while it gathers", "range").await?;
    a.commit(on, "while it gathers").await?;
    a.join(on, "the first again").await?;
    b.end_join(on, "the second of two", &mut beside).await?;
    describe(on, "while the leader assigns", group).await?;
    a.beat(on, "while the leader assigns").await?;
    a.commit(on, "while the leader assigns").await?;
    b.join(on, "the second once more, while the leader assigns").await?;
    other_protocols(on, &b).await?;
    // Which of the three it is, both know that vote for different ones.
    for protocol in ["range", "roundrobin", "sticky"] {
        a.sync(on, &format!("the leader's, {protocol}"), protocol).await?;
    }
    describe(on, "of two", group).await?;
    b.join(on, "the second once more, when it is stable").await?;
    delete_offsets(on, "of a classic group with members", group).await?;

    let fenced = Member { id: "somebody".into(), ..a.clone() };
    fenced.beat(on, "whose instance is another's").await?;
    fenced.sync(on, "whose instance is another's", "range").await?;
    fenced.commit(on, "whose instance is another's").await?;
    fenced.clone().join(on, "whose instance is another's").await?;
    let is_static = a.instance_id.is_some();
    let stranger = Member { instance_id: is_static.then(|| "c".into()), ..fenced.clone() };
    stranger.beat(on, "of an unknown instance").await?;
    stranger.clone().join(on, "of an unknown instance").await?;
    let members = vec![fenced.leaving(), stranger.leaving(), message!(MemberIdentity {})];
    leave(on, "none that may", group, members).await?;
    let by_name = match is_static {
        true => message!(MemberIdentity { group_instance_id: Some("a".into()) }),
        false => a.leaving(),
    };
    leave(on, "both, one by its instance", group, vec![by_name, b.leaving()]).await?;
    describe(on, "that both have left", group).await?;
    delete_offsets(on, "of a classic group without members", group).await?;
    let ask = message!(DeleteGroupsRequest { groups_names: vec![group.into()] });
    on.ask("that both have left", on.newest(ApiKey::DELETE_GROUPS), ask).await?;
    Ok(())
}

/// A member that was told of another protocol than the others; before SyncGroup 5 nobody says of which (KIP-559).
async fn other_protocols(on: &mut Recorder, member: &Member) -> Result {
    let newest = on.newest(ApiKey::SYNC_GROUP);
    if newest < 5 {
        return Ok(());
    }
    member.sync(on, "of another assignor", "roundrobin").await?;
    let mut other = member.syncing("sticky");
    other.protocol_type = Some("connect".into());
    on.ask("of another protocol type", newest, other).await?;
    for (what, unsaid) in [("no protocol", true), ("no protocol type", false)] {
        let mut ask = member.syncing("sticky");
        if unsaid {
            ask.protocol_name = None
        } else {
            ask.protocol_type = None
        }
        on.ask_each(what, ApiKey::SYNC_GROUP, 5..=99, |_| ask.clone()).await?;
    }
    Ok(())
}

/// Waits until a group has come to a state, without writing down what is answered meanwhile. A real coordinator answers
/// a join before it has written down that there is such a group, and describes what is written.
pub(super) async fn await_state(on: &mut Recorder, group: &str, state: &str) -> Result {
    loop {
        let ask = message!(DescribeGroupsRequest { groups: vec![group.into()] });
        let version = on.newest(ApiKey::DESCRIBE_GROUPS);
        let Response::DescribeGroups(told) = on.quietly(version, ask).await? else {
            return Err("another answer than DescribeGroups'".into());
        };
        if told.groups.iter().all(|group| *group.group_state == *state) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A time-out that is waited for. What the script does before it is over takes milliseconds, and must be done by then on
/// a machine that stops for seconds too.
const SOON_MS: i32 = 5000;

/// Members that are not heard of, or do not join again in time.
async fn given_up(on: &mut Recorder) -> Result {
    let mut beside = on.beside().await?;
    let group = "script-session";
    let mut short = Member::new(on, group, "a", &["range"]);
    short.session_timeout_ms = SOON_MS;
    short.join(on, "a short session").await?;
    short.sync(on, "a short session", "range").await?;
    await_state(on, group, "Empty").await?;
    short.beat(on, "whose session is over").await?;
    describe(on, "that nobody was heard of", group).await?;

    for (group, instance) in [("script-late", ""), ("script-late-static", "a")] {
        let mut late = Member::new(on, group, instance, &["range"]);
        late.rebalance_timeout_ms = SOON_MS;
        late.join(on, "one that will be late").await?;
        if instance.is_empty() {
            late.join(on, "one that will be late").await?;
        }
        late.sync(on, "one that will be late", "range").await?;
        let mut punctual = Member::new(on, group, "b", &["range"]);
        punctual.rebalance_timeout_ms = SOON_MS;
        punctual.begin_join(on, &mut beside).await?;
        punctual.end_join(on, "after the time-out", &mut beside).await?;
        late.beat(on, "that was late").await?;
        late.clone().join(on, "that was late").await.ok();
        describe(on, "where one was late", group).await?;
        leave(on, "that was punctual", group, vec![punctual.leaving()]).await?;
    }
    Ok(())
}

/// The first JoinGroup that is answered an id to join with (KIP-394).
const IDS_SINCE: i16 = 4;

/// A member id that was handed out and is not used yet.
async fn pending(on: &mut Recorder) -> Result {
    if on.newest(ApiKey::JOIN_GROUP) < IDS_SINCE {
        return Ok(());
    }
    let mut member = Member::new(on, "script-pending", "", &["range"]);
    member.join(on, "an id").await?;
    await_state(on, member.group, "Empty").await?;
    describe(on, "with an id that is not used", member.group).await?;
    member.beat(on, "before it joined").await?;
    member.sync(on, "before it joined", "range").await?;
    leave(on, "before it joined", member.group, vec![member.leaving()]).await?;
    member.join(on, "an id that was given back").await?;
    Ok(())
}

/// Groups whose members are no consumers.
async fn other_types(on: &mut Recorder) -> Result {
    let group = "script-connect";
    let mut member = Member::new(on, group, "a", &["range"]);
    let version = on.newest(ApiKey::JOIN_GROUP);
    let mut ask = member.joining();
    ask.protocol_type = "connect".into();
    let Some(Response::JoinGroup(told)) = on.ask("a connector", version, ask).await? else {
        return Err("no answer to JoinGroup".into());
    };
    member.joined(&told);
    delete_offsets(on, "of connectors", group).await?;
    leave(on, "a connector", group, vec![member.leaving()]).await?;
    delete_offsets(on, "of connectors that have left", group).await
}
