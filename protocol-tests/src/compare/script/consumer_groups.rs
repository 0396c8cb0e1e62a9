//! Groups of the consumer protocol: what is refused, a life with two members, static members, regular expressions.
//!
//! Members choose ids of one letter, which Java's hash maps keep in order.

use std::time::Duration;

use milena_types::{ApiKey, Uuid};
use milena_wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use milena_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use milena_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, CreateTopicsRequest,
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, LeaveGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use milena_wire::{ByteString, Response};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

/// The topic that the groups read, with four partitions.
pub(super) const READ: &str = "script-848";

/// What one member says.
pub(super) struct Member<'a> {
    pub(super) group: &'a str,
    pub(super) id: &'a str,
    pub(super) instance_id: Option<&'a str>,
}

pub(super) async fn run(on: &mut Recorder) -> Result {
    if on.newest(ApiKey::CONSUMER_GROUP_HEARTBEAT) < 1 {
        // Listed by releases that do not let groups use it.
        let member = Member { group: "script-early-848", id: "", instance_id: None };
        return on
            .ask_each("too early", ApiKey::CONSUMER_GROUP_HEARTBEAT, 0..=0, |_| member.joining())
            .await;
    }
    let topic =
        message!(CreatableTopic { name: READ.into(), num_partitions: 4, replication_factor: 1 });
    let newest = on.newest(ApiKey::CREATE_TOPICS);
    on.ask("to be read", newest, message!(CreateTopicsRequest { topics: vec![topic] })).await?;
    let id = on.await_topic(READ).await?;
    refused(on, id).await?;
    life(on, id).await?;
    votes(on).await?;
    static_members(on).await?;
    regular_expressions(on).await
}

/// Lets a coordinator's least time between two assignments pass, which is a second. What changes a group is said after
/// it: within the second the answer would depend on how fast the machine is.
pub(super) async fn let_assign() {
    tokio::time::sleep(Duration::from_millis(1200)).await;
}

impl Member<'_> {
    /// A heartbeat that says nothing new.
    pub(super) fn beating(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        message!(ConsumerGroupHeartbeatRequest {
            group_id: self.group.into(),
            member_id: self.id.into(),
            member_epoch: epoch,
            instance_id: self.instance_id.map(ByteString::from),
        })
    }

    pub(super) fn joining(&self) -> ConsumerGroupHeartbeatRequest {
        let mut ask = self.beating(0);
        ask.rebalance_timeout_ms = 30_000;
        ask.subscribed_topic_names = Some(vec![READ.into()]);
        ask.topic_partitions = Some(Vec::new());
        ask
    }

    /// A heartbeat that says what the member has.
    pub(super) fn having(
        &self,
        epoch: i32,
        topic_id: Uuid,
        partitions: &[i32],
    ) -> ConsumerGroupHeartbeatRequest {
        let mut ask = self.beating(epoch);
        let topic = TopicPartitions { topic_id, partitions: partitions.to_vec() };
        ask.topic_partitions = Some(if partitions.is_empty() { vec![] } else { vec![topic] });
        ask
    }
}

/// Asks, and returns the epoch and the partitions of the answer.
pub(super) async fn beat(
    on: &mut Recorder,
    what: &str,
    ask: ConsumerGroupHeartbeatRequest,
) -> Result<(i32, Vec<i32>)> {
    let version = on.newest(ApiKey::CONSUMER_GROUP_HEARTBEAT);
    let Some(Response::ConsumerGroupHeartbeat(told)) = on.ask(what, version, ask).await? else {
        return Err("no answer to ConsumerGroupHeartbeat".into());
    };
    let topics = told.assignment.iter().flat_map(|assignment| &assignment.topic_partitions);
    let mut partitions: Vec<_> = topics.flat_map(|topic| topic.partitions.clone()).collect();
    partitions.sort_unstable();
    Ok((told.member_epoch, partitions))
}

pub(super) async fn describe(on: &mut Recorder, what: &str, group: &str) -> Result {
    on.ask_each(what, ApiKey::CONSUMER_GROUP_DESCRIBE, 0..=99, |_| {
        message!(ConsumerGroupDescribeRequest { group_ids: vec![group.into()] })
    })
    .await?;
    let version = on.newest(ApiKey::DESCRIBE_GROUPS);
    let ask = message!(DescribeGroupsRequest { groups: vec![group.into()] });
    on.ask(what, version, ask).await?;
    Ok(())
}

async fn refused(on: &mut Recorder, topic_id: Uuid) -> Result {
    let of = |group, id, instance_id| Member { group, id, instance_id };
    let plain = of("script-848-refused", "a", None);
    let join = || plain.joining();
    let mut wrong = vec![
        ("an empty group", of("", "a", None).joining()),
        ("an empty instance id", of("script-848-refused", "a", Some("")).joining()),
        ("an epoch that is none", plain.beating(-3)),
        ("away without an instance id", plain.beating(-2)),
        ("away without a group", of("script-848-refused", "a", Some("i")).beating(-2)),
        ("a group that never was", plain.beating(1)),
        ("to leave a group that never was", plain.beating(-1)),
    ];
    let mut ask = join();
    ask.rack_id = Some("".into());
    wrong.push(("an empty rack", ask));
    let mut ask = join();
    ask.rebalance_timeout_ms = -1;
    wrong.push(("no time-out", ask));
    let mut ask = join();
    ask.topic_partitions = None;
    wrong.push(("nothing owned, unsaid", ask));
    let mut ask = plain.having(0, topic_id, &[1]);
    ask.rebalance_timeout_ms = 1000;
    ask.subscribed_topic_names = Some(vec![]);
    wrong.push(("partitions when joining", ask));
    let mut ask = join();
    ask.subscribed_topic_names = None;
    wrong.push(("no subscription", ask));
    let mut ask = join();
    ask.server_assignor = Some("sticky".into());
    wrong.push(("an assignor that is none", ask));
    for (what, ask) in wrong {
        on.ask_each(what, ApiKey::CONSUMER_GROUP_HEARTBEAT, 0..=99, |_| ask.clone()).await?;
    }
    let nameless = of("script-848-refused", "", None);
    let newest = on.newest(ApiKey::CONSUMER_GROUP_HEARTBEAT);
    on.ask("no member id", newest, nameless.joining()).await?;
    on.ask("no member id, to go on", 0, nameless.beating(1)).await?;
    on.ask("no member id, to leave", 0, nameless.beating(-1)).await?;
    describe(on, "a group that never was", "script-848-refused").await
}

fn committing(member: &Member<'_>, topic_id: Uuid, epoch: i32, index: i32) -> OffsetCommitRequest {
    let partition =
        message!(OffsetCommitRequestPartition { partition_index: index, committed_offset: 3 });
    // Each version writes the one that it has.
    let topic = message!(OffsetCommitRequestTopic {
        name: READ.into(),
        topic_id: topic_id,
        partitions: vec![partition]
    });
    message!(OffsetCommitRequest {
        group_id: member.group.into(),
        member_id: member.id.into(),
        generation_id_or_member_epoch: epoch,
        topics: vec![topic],
    })
}

async fn commits(
    on: &mut Recorder,
    member: &Member<'_>,
    topic_id: Uuid,
    epoch: i32,
    index: i32,
) -> Result {
    let nobody = Member { id: "nobody", ..*member };
    for version in [8, 9, 10] {
        let ask = |what: &'static str, member: &Member<'_>, epoch, index| {
            let mut ask = committing(member, topic_id, epoch, index);
            for topic in &mut ask.topics {
                if version >= 10 { topic.name = "".into() } else { topic.topic_id = Uuid::ZERO }
            }
            (what, ask)
        };
        for (what, ask) in [
            ask("of its epoch", member, epoch, index),
            ask("of the epoch before", member, epoch - 1, index),
            ask("of the epoch before, what it has not", member, epoch - 1, 3 - index),
            ask("of the next epoch", member, epoch + 1, index),
            ask("of no epoch", member, -1, index),
            ask("an unknown member", &nobody, epoch, index),
        ] {
            on.ask(what, version, ask).await?;
        }
    }
    for (what, id, epoch) in [
        ("of its epoch", Some(member.id), epoch),
        ("of the epoch before", Some(member.id), epoch - 1),
        ("an unknown member", Some("nobody"), epoch),
        ("nobody", None, -1),
    ] {
        let group = message!(OffsetFetchRequestGroup {
            group_id: member.group.into(),
            member_id: id.map(ByteString::from),
            member_epoch: epoch,
            topics: None,
        });
        on.ask_each(what, ApiKey::OFFSET_FETCH, 9..=9, |_| {
            message!(OffsetFetchRequest { groups: vec![group.clone()] })
        })
        .await?;
    }
    Ok(())
}

/// From the first member to the last that leaves.
async fn life(on: &mut Recorder, topic_id: Uuid) -> Result {
    let group = "script-848-life";
    let a = Member { group, id: "a", instance_id: None };
    let b = Member { group, id: "b", instance_id: None };
    on.ask("a first member", 0, a.joining()).await?;
    let (epoch, _) = beat(on, "joins again", a.joining()).await?;
    beat(on, "nothing new", a.beating(epoch)).await?;
    beat(on, "the epoch before", a.beating(epoch - 1)).await?;
    beat(on, "an older epoch", a.beating(epoch - 2)).await?;
    beat(on, "the next epoch", a.beating(epoch + 1)).await?;
    let mut full = a.having(epoch, topic_id, &[0, 1, 2, 3]);
    full.rebalance_timeout_ms = 30_000;
    full.subscribed_topic_names = Some(vec![READ.into()]);
    beat(on, "all that there is to say", full).await?;
    beat(on, "an unknown member", b.beating(epoch)).await?;
    beat(on, "an unknown member leaves", b.beating(-1)).await?;
    describe(on, "one member", group).await?;

    let_assign().await;
    beat(on, "a second member", b.joining()).await?;
    describe(on, "two members", group).await?;
    let (epoch, kept) = beat(on, "is to give up", a.beating(epoch)).await?;
    beat(on, "gives up nothing", a.having(epoch, topic_id, &[0, 1, 2, 3])).await?;
    describe(on, "one has to give up", group).await?;
    beat(on, "waits", b.beating(epoch + 1)).await?;
    commits(on, &a, topic_id, epoch, 0).await?;
    let (epoch, _) = beat(on, "has given up", a.having(epoch, topic_id, &kept)).await?;
    beat(on, "repeats, after an answer was lost", a.having(epoch - 1, topic_id, &kept)).await?;
    let (_, got) = beat(on, "gets", b.beating(epoch)).await?;
    describe(on, "both have theirs", group).await?;
    commits(on, &a, topic_id, epoch, 0).await?;
    commits(on, &b, topic_id, epoch, *got.first().ok_or("nothing")?).await?;

    let deleting = |topic: &str| {
        let partition = message!(OffsetDeleteRequestPartition { partition_index: 0 });
        let topic =
            message!(OffsetDeleteRequestTopic { name: topic.into(), partitions: vec![partition] });
        message!(OffsetDeleteRequest { group_id: group.into(), topics: vec![topic] })
    };
    on.ask("of a topic that is read", 0, deleting(READ)).await?;
    on.ask("of another topic", 0, deleting(super::produce::TOPIC)).await?;
    let delete = message!(DeleteGroupsRequest { groups_names: vec![group.into()] });
    let newest = on.newest(ApiKey::DELETE_GROUPS);
    on.ask("with members", newest, delete.clone()).await?;
    classic_requests(on, group).await?;

    let_assign().await;
    beat(on, "leaves", b.beating(-1)).await?;
    beat(on, "has left", b.beating(epoch)).await?;
    describe(on, "one has left", group).await?;
    beat(on, "gets all back", a.beating(epoch)).await?;
    let_assign().await;
    let mut other = a.beating(epoch + 1);
    other.subscribed_topic_names = Some(vec!["not-there".into()]);
    beat(on, "another topic", other).await?;
    describe(on, "a topic that is not there", group).await?;
    list(on, "while it has members").await?;
    beat(on, "leaves", a.beating(-1)).await?;
    describe(on, "empty", group).await?;
    list(on, "while it is empty").await?;
    on.ask("of an empty group", 0, deleting(READ)).await?;
    on.ask("empty", newest, delete.clone()).await?;
    on.ask("gone", newest, delete).await?;
    Ok(())
}

/// What a classic member asks of a group whose members all speak the consumer protocol.
async fn classic_requests(on: &mut Recorder, group: &str) -> Result {
    let beat = message!(HeartbeatRequest {
        group_id: group.into(),
        generation_id: 3,
        member_id: "a".into(),
    });
    let newest = on.newest(ApiKey::HEARTBEAT);
    on.ask("of a member of the consumer protocol", newest, beat).await?;
    let sync = message!(SyncGroupRequest {
        group_id: group.into(),
        generation_id: 3,
        member_id: "a".into(),
    });
    let newest = on.newest(ApiKey::SYNC_GROUP);
    on.ask("of a member of the consumer protocol", newest, sync).await?;
    on.ask("no members", on.newest(ApiKey::LEAVE_GROUP), {
        message!(LeaveGroupRequest { group_id: group.into() })
    })
    .await?;
    Ok(())
}

async fn list(on: &mut Recorder, what: &str) -> Result {
    let version = on.newest(ApiKey::LIST_GROUPS);
    for state in ["Empty", "assigning", "Reconciling", "Stable"] {
        let ask = message!(ListGroupsRequest {
            states_filter: vec![state.into()],
            types_filter: vec!["consumer".into()],
        });
        let Response::ListGroups(mut told) = on.quietly(version, ask).await? else {
            return Err("another answer than ListGroups'".into());
        };
        told.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        let fields = crate::compare::fields::fields(&told);
        on.note(&format!("ListGroups v{version}: {state}, {what}"), fields);
    }
    Ok(())
}

/// Which assignor is taken.
async fn votes(on: &mut Recorder) -> Result {
    let group = "script-848-votes";
    let a = Member { group, id: "a", instance_id: None };
    let b = Member { group, id: "b", instance_id: None };
    let with = |mut ask: ConsumerGroupHeartbeatRequest, assignor: &'static str| {
        ask.server_assignor = Some(assignor.into());
        ask
    };
    let (epoch, _) = beat(on, "votes for range", with(a.joining(), "range")).await?;
    describe(on, "range", group).await?;
    let_assign().await;
    beat(on, "votes for uniform", with(b.joining(), "uniform")).await?;
    describe(on, "one vote each", group).await?;
    let_assign().await;
    beat(on, "changes its mind", with(a.beating(epoch), "uniform")).await?;
    describe(on, "uniform", group).await?;
    beat(on, "leaves", b.beating(-1)).await?;
    beat(on, "leaves", a.beating(-1)).await?;
    Ok(())
}

/// Waits until a group has come to an epoch, without writing down what is answered meanwhile.
async fn await_epoch(on: &mut Recorder, group: &str, epoch: i32) -> Result {
    loop {
        let ask = message!(ConsumerGroupDescribeRequest { group_ids: vec![group.into()] });
        let version = on.newest(ApiKey::CONSUMER_GROUP_DESCRIBE);
        let Response::ConsumerGroupDescribe(told) = on.quietly(version, ask).await? else {
            return Err("another answer than ConsumerGroupDescribe's".into());
        };
        if told.groups.iter().all(|group| group.group_epoch >= epoch) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn static_members(on: &mut Recorder) -> Result {
    let group = "script-848-static";
    let first = Member { group, id: "a", instance_id: Some("i") };
    let second = Member { group, id: "b", instance_id: Some("i") };
    let (epoch, _) = beat(on, "a static member", first.joining()).await?;
    beat(on, "another takes its place", second.joining()).await?;
    beat(on, "another says to be it", second.beating(epoch)).await?;
    beat(on, "another leaves for it", second.beating(-1)).await?;
    let unknown = Member { group, id: "a", instance_id: Some("unknown") };
    beat(on, "an unknown instance", unknown.beating(epoch)).await?;
    beat(on, "an unknown instance leaves", unknown.beating(-2)).await?;
    beat(on, "leaves for a while", first.beating(-2)).await?;
    describe(on, "away", group).await?;
    beat(on, "beats while it is away", first.beating(epoch)).await?;
    beat(on, "leaves once more", first.beating(-2)).await?;
    let (epoch, _) = beat(on, "comes back as another", second.joining()).await?;
    beat(on, "its old self", first.beating(epoch)).await?;
    describe(on, "back", group).await?;
    beat(on, "leaves for good", second.beating(-1)).await?;
    describe(on, "gone", group).await
}

async fn regular_expressions(on: &mut Recorder) -> Result {
    let group = "script-848-regex";
    let a = Member { group, id: "a", instance_id: None };
    let b = Member { group, id: "b", instance_id: None };
    let with = |mut ask: ConsumerGroupHeartbeatRequest, regex: &'static str| {
        ask.subscribed_topic_names = None;
        ask.subscribed_topic_regex = Some(regex.into());
        ask
    };
    beat(on, "no regular expression", with(a.joining(), "script-(")).await?;
    describe(on, "no regular expression", group).await?;
    let (epoch, _) = beat(on, "a regular expression", with(a.joining(), "script-84.")).await?;
    // Beside the heartbeat, a real coordinator resolves it, which makes an epoch.
    await_epoch(on, group, epoch + 1).await?;
    let_assign().await;
    let (epoch, _) = beat(on, "it is resolved", a.beating(epoch)).await?;
    describe(on, "it is resolved", group).await?;
    let_assign().await;
    beat(on, "the same", with(b.joining(), "script-84.")).await?;
    describe(on, "two with the same", group).await?;
    beat(on, "leaves", b.beating(-1)).await?;
    let_assign().await;
    let mut names = a.beating(epoch);
    names.subscribed_topic_regex = Some("".into());
    names.subscribed_topic_names = Some(vec![READ.into()]);
    beat(on, "names instead", names).await?;
    describe(on, "names instead", group).await?;
    beat(on, "leaves", a.beating(-1)).await?;
    Ok(())
}
