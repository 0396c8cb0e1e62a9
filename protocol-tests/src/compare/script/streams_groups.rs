//! Groups of Kafka Streams: what is refused, a topology and its internal topics, two members and what they hand over.
//!
//! Members and processes have ids of one letter, which Java's hash maps keep in order.

use milena_types::ApiKey;
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use milena_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use milena_wire::messages::streams_group_heartbeat_request::{
    CopartitionGroup, Endpoint, KeyValue, Subtopology, TaskIds, TaskOffset, TopicInfo, Topology,
};
use milena_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, CreateTopicsRequest,
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, IncrementalAlterConfigsRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, ShareGroupDescribeRequest,
    StreamsGroupDescribeRequest, StreamsGroupHeartbeatRequest,
    StreamsGroupTopologyDescriptionUpdateRequest, SyncGroupRequest,
};
use milena_wire::{ByteString, Response};

use super::consumer_groups::let_assign;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

/// What the applications read, with two partitions.
const READ: &str = "script-1071";

/// What another part of them reads, with three.
const OTHER: &str = "script-1071-other";

/// One thread of an application.
#[derive(Clone, Copy)]
struct Member<'a> {
    group: &'a str,
    id: &'a str,
    process: &'a str,
    instance_id: Option<&'a str>,
}

pub(super) async fn run(on: &mut Recorder) -> Result {
    if !on.has(ApiKey::STREAMS_GROUP_HEARTBEAT) {
        return Ok(());
    }
    for (name, num_partitions) in [(READ, 2), (OTHER, 3)] {
        let topic = message!(CreatableTopic {
            name: name.into(),
            num_partitions: num_partitions,
            replication_factor: 1
        });
        let newest = on.newest(ApiKey::CREATE_TOPICS);
        on.ask("to be read", newest, message!(CreateTopicsRequest { topics: vec![topic] })).await?;
        on.await_topic(name).await?;
    }
    refused(on).await?;
    topologies(on).await?;
    static_members(on).await?;
    life(on).await
}

impl Member<'_> {
    /// A heartbeat that says nothing new.
    fn beating(&self, epoch: i32) -> StreamsGroupHeartbeatRequest {
        message!(StreamsGroupHeartbeatRequest {
            group_id: self.group.into(),
            member_id: self.id.into(),
            member_epoch: epoch,
            instance_id: self.instance_id.map(ByteString::from),
        })
    }

    fn joining(&self, topology: Topology) -> StreamsGroupHeartbeatRequest {
        let mut ask = self.beating(0);
        ask.rebalance_timeout_ms = 30_000;
        ask.process_id = Some(self.process.into());
        ask.topology = Some(topology);
        (ask.active_tasks, ask.standby_tasks, ask.warmup_tasks) =
            (Some(vec![]), Some(vec![]), Some(vec![]));
        ask
    }

    /// A heartbeat that says what the member works on.
    fn having(&self, epoch: i32, active: &[(&str, &[i32])]) -> StreamsGroupHeartbeatRequest {
        let mut ask = self.beating(epoch);
        ask.active_tasks = Some(tasks(active));
        ask.standby_tasks = Some(vec![]);
        ask.warmup_tasks = Some(vec![]);
        ask
    }
}

fn tasks(tasks: &[(&str, &[i32])]) -> Vec<TaskIds> {
    let tasks = tasks.iter().map(|(subtopology, partitions)| TaskIds {
        subtopology_id: (*subtopology).into(),
        partitions: partitions.to_vec(),
    });
    tasks.collect()
}

/// One subtopology that reads, and keeps nothing.
fn plain() -> Topology {
    let reading =
        message!(Subtopology { subtopology_id: "0".into(), source_topics: vec![READ.into()] });
    message!(Topology { epoch: 0, subtopologies: vec![reading] })
}

fn info(name: &str) -> TopicInfo {
    message!(TopicInfo { name: name.into() })
}

/// A word count: one subtopology writes what the other counts.
fn counting(name: &str) -> Topology {
    let repartition = format!("{name}-repartition");
    let mut changelog = info(&format!("{name}-changelog"));
    changelog.topic_configs =
        vec![KeyValue { key: "cleanup.policy".into(), value: "compact".into() }];
    let splitting = message!(Subtopology {
        subtopology_id: "0".into(),
        source_topics: vec![READ.into()],
        repartition_sink_topics: vec![repartition.as_str().into()],
    });
    let counting = message!(Subtopology {
        subtopology_id: "1".into(),
        repartition_source_topics: vec![info(&repartition)],
        state_changelog_topics: vec![changelog],
    });
    message!(Topology { epoch: 0, subtopologies: vec![splitting, counting] })
}

async fn beat(on: &mut Recorder, what: &str, ask: StreamsGroupHeartbeatRequest) -> Result<i32> {
    let version = on.newest(ApiKey::STREAMS_GROUP_HEARTBEAT);
    match on.ask(what, version, ask).await? {
        Some(Response::StreamsGroupHeartbeat(told)) => Ok(told.member_epoch),
        _ => Ok(0),
    }
}

async fn describe(on: &mut Recorder, what: &str, group: &str) -> Result {
    on.ask_each(what, ApiKey::STREAMS_GROUP_DESCRIBE, 0..=99, |version| {
        message!(StreamsGroupDescribeRequest {
            group_ids: vec![group.into()],
            include_authorized_operations: true,
            include_topology_description: version > 0,
        })
    })
    .await
}

async fn refused(on: &mut Recorder) -> Result {
    let group = "script-1071-refused";
    let of = |group, id, instance_id| Member { group, id, process: "p", instance_id };
    let member = of(group, "a", None);
    let join = || member.joining(plain());
    let mut wrong = vec![
        ("an empty group", of("", "a", None).joining(plain())),
        ("an empty member id", of(group, "", None).joining(plain())),
        ("an empty instance id", of(group, "a", Some(" ")).joining(plain())),
        ("an epoch that is none", member.beating(-3)),
        ("away without an instance id", member.beating(-2)),
        ("a group that never was", member.beating(1)),
        ("to leave a group that never was", member.beating(-1)),
        ("a static one, likewise", of(group, "a", Some("i")).beating(-2)),
        ("tasks when joining", {
            let mut ask = join();
            ask.active_tasks = Some(tasks(&[("0", &[0])]));
            ask
        }),
        ("some kinds of tasks only", {
            let mut ask = member.beating(1);
            ask.standby_tasks = Some(vec![]);
            ask
        }),
    ];
    let mut changed = |what, change: &dyn Fn(&mut StreamsGroupHeartbeatRequest)| {
        let mut ask = join();
        change(&mut ask);
        wrong.push((what, ask));
    };
    changed("an empty rack", &|ask| ask.rack_id = Some("".into()));
    changed("no time-out", &|ask| ask.rebalance_timeout_ms = -1);
    changed("no topology", &|ask| ask.topology = None);
    changed("a topology later", &|ask| ask.member_epoch = 1);
    changed("a topology of a negative epoch", &|ask| {
        ask.topology.as_mut().unwrap().epoch = -1;
    });
    changed("one subtopology twice", &|ask| {
        let all = &mut ask.topology.as_mut().unwrap().subtopologies;
        all.push(all[0].clone());
    });
    changed("a pattern", &|ask| {
        ask.topology.as_mut().unwrap().subtopologies[0].source_topic_regex = vec!["a.*".into()];
    });
    changed("the coordinator's own topic", &|ask| {
        ask.topology.as_mut().unwrap().subtopologies[0].source_topics =
            vec!["__consumer_offsets".into()];
    });
    changed("illegal names", &|ask| {
        let one = &mut ask.topology.as_mut().unwrap().subtopologies[0];
        one.source_topics = vec!["a b".into(), READ.into()];
        one.repartition_sink_topics = vec!["c/d".into(), "a b".into()];
    });
    changed("a changelog that counts its partitions", &|ask| {
        let one = &mut ask.topology.as_mut().unwrap().subtopologies[0];
        one.state_changelog_topics = vec![info("script-1071-counted")];
        one.state_changelog_topics[0].partitions = 3;
    });
    changed("a repartition topic that nobody writes to", &|ask| {
        let one = &mut ask.topology.as_mut().unwrap().subtopologies[0];
        one.repartition_source_topics = vec![info("script-1071-unwritten")];
    });
    changed("a subtopology that reads nothing", &|ask| {
        ask.topology.as_mut().unwrap().subtopologies[0].source_topics = vec![];
    });
    changed("a copartition group of what is not there", &|ask| {
        let group = message!(CopartitionGroup { source_topics: vec![1] });
        ask.topology.as_mut().unwrap().subtopologies[0].copartition_groups = vec![group];
    });
    changed("a circle", &|ask| {
        let one = &mut ask.topology.as_mut().unwrap().subtopologies[0];
        one.source_topics = vec![];
        one.repartition_source_topics = vec![info("script-1071-circle")];
        one.repartition_sink_topics = vec!["script-1071-circle".into()];
    });
    changed("one tag twice", &|ask| {
        let tag = KeyValue { key: "zone".into(), value: "z".into() };
        ask.client_tags = Some(vec![tag.clone(), tag]);
    });
    changed("one offset twice", &|ask| {
        let offset = TaskOffset { subtopology_id: "0".into(), partition: 0, offset: 1 };
        ask.task_offsets = Some(vec![offset.clone(), offset]);
    });
    for (what, ask) in wrong {
        on.ask_each(what, ApiKey::STREAMS_GROUP_HEARTBEAT, 0..=99, |_| ask.clone()).await?;
    }
    describe(on, "a group that never was", group).await?;
    describe(on, "a group without a name", "").await?;
    let ask = message!(StreamsGroupTopologyDescriptionUpdateRequest {
        group_id: group.into(),
        member_id: "a".into()
    });
    on.ask("a description", 0, ask).await?;
    Ok(())
}

/// What keeps applications from working, and what their members hear of it.
async fn topologies(on: &mut Recorder) -> Result {
    let of = |group| Member { group, id: "a", process: "p", instance_id: None };
    let source = |name: &str, source_topics: &[&str]| {
        let topics = source_topics.iter().map(|topic| (*topic).into()).collect();
        message!(Subtopology { subtopology_id: name.into(), source_topics: topics })
    };
    let topology = |subtopologies| message!(Topology { epoch: 0, subtopologies: subtopologies });
    let group = "script-1071-missing";
    let missing = ["z", "y", "x", "w"].map(|letter| format!("script-1071-{letter}"));
    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    hasten(on, group).await?;
    beat(on, "sources are missing", of(group).joining(topology(vec![source("0", &missing)])))
        .await?;
    describe(on, "sources are missing", group).await?;
    let mut ask = of(group).beating(2);
    ask.shutdown_application = true;
    beat(on, "the application is to end", ask).await?;
    beat(on, "the application is to end still", of(group).beating(2)).await?;

    let group = "script-1071-uneven";
    let mut uneven = source("0", &[READ, OTHER]);
    uneven.copartition_groups = vec![message!(CopartitionGroup { source_topics: vec![0, 1] })];
    hasten(on, group).await?;
    beat(on, "sources of different sizes", of(group).joining(topology(vec![uneven]))).await?;

    let group = "script-1071-fixed";
    let mut fixed = source("0", &[READ]);
    fixed.repartition_source_topics = vec![info("script-1071-fixed-repartition")];
    fixed.repartition_source_topics[0].partitions = 5;
    let copartition =
        message!(CopartitionGroup { source_topics: vec![0], repartition_source_topics: vec![0] });
    fixed.copartition_groups = vec![copartition];
    hasten(on, group).await?;
    beat(on, "a repartition topic of another size", of(group).joining(topology(vec![fixed])))
        .await?;

    let group = "script-1071-apart";
    let mut apart = source("0", &[READ]);
    apart.repartition_source_topics =
        ["3", "4"].map(|count| info(&format!("script-1071-apart-{count}"))).into();
    apart.repartition_source_topics[0].partitions = 3;
    apart.repartition_source_topics[1].partitions = 4;
    let one = |index| message!(CopartitionGroup { repartition_source_topics: vec![index] });
    apart.copartition_groups = vec![one(0), one(1)];
    hasten(on, group).await?;
    beat(on, "repartition topics of two sizes, apart", of(group).joining(topology(vec![apart])))
        .await?;

    let group = "script-1071-endpoint";
    hasten(on, group).await?;
    let mut ask = of(group).joining(topology(vec![source("0", &missing)]));
    ask.user_endpoint = Some(Endpoint { host: "here".into(), port: 7 });
    beat(on, "sources are missing, with an endpoint", ask).await?;
    describe(on, "sources are missing, with an endpoint", group).await?;

    let group = "script-1071-changelog";
    let mut kept = source("0", &[READ]);
    kept.state_changelog_topics = vec![info(OTHER)];
    hasten(on, group).await?;
    beat(on, "a changelog of another size", of(group).joining(topology(vec![kept]))).await?;
    Ok(())
}

/// Static members keep what they have while they are away.
async fn static_members(on: &mut Recorder) -> Result {
    let group = "script-1071-static";
    let of = |id, instance_id| Member { group, id, process: "p", instance_id: Some(instance_id) };
    let (first, again) = (of("a", "i"), of("b", "i"));
    hasten(on, group).await?;
    let epoch = beat(on, "a static member joins", first.joining(plain())).await?;
    beat(on, "another of its name", again.joining(plain())).await?;
    beat(on, "another of its name goes on", again.beating(epoch)).await?;
    beat(on, "a name that nobody has", of("a", "j").beating(epoch)).await?;
    beat(on, "another of its name leaves", again.beating(-1)).await?;
    beat(on, "it goes for a while", first.beating(-2)).await?;
    describe(on, "away", group).await?;
    beat(on, "it goes on though it is away", first.beating(epoch)).await?;
    let_assign().await;
    let epoch = beat(on, "another takes its place", again.joining(plain())).await?;
    describe(on, "in its place", group).await?;
    beat(on, "the first is gone", first.beating(epoch)).await?;
    beat(on, "for good", again.beating(-1)).await?;
    describe(on, "nobody", group).await
}

/// Lets the first assignment of a group not wait for more members.
async fn hasten(on: &mut Recorder, group: &str) -> Result {
    configure(on, group, "streams.initial.rebalance.delay.ms", "0").await
}

async fn configure(on: &mut Recorder, group: &str, name: &str, value: &str) -> Result {
    let config = message!(AlterableConfig { name: name.into(), value: Some(value.into()) });
    let resource = message!(AlterConfigsResource {
        resource_type: GROUP_RESOURCE,
        resource_name: group.into(),
        configs: vec![config],
    });
    let ask = message!(IncrementalAlterConfigsRequest { resources: vec![resource] });
    on.ask("a group's setting", on.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS), ask).await?;
    // A real broker hears of it later.
    on.await_metadata(READ).await
}

const GROUP_RESOURCE: i8 = 32;

async fn life(on: &mut Recorder) -> Result {
    let group = "script-1071-life";
    let of = |id, process| Member { group, id, process, instance_id: None };
    let (a, b) = (of("a", "p"), of("b", "q"));
    hasten(on, group).await?;
    let mut ask = a.joining(counting("script-1071-l"));
    ask.user_endpoint = Some(Endpoint { host: "here".into(), port: 7 });
    ask.client_tags = Some(vec![KeyValue { key: "zone".into(), value: "z".into() }]);
    beat(on, "the first joins", ask.clone()).await?;
    on.await_topic("script-1071-l-repartition").await?;
    on.await_topic("script-1071-l-changelog").await?;
    describe(on, "not ready", group).await?;
    let_assign().await;
    let epoch = beat(on, "topics are there", a.having(2, &[])).await?;
    describe(on, "one member", group).await?;
    let all: &[(&str, &[i32])] = &[("0", &[0, 1]), ("1", &[0, 1])];
    beat(on, "nothing new", a.having(epoch, all)).await?;
    beat(on, "a task that is none", a.having(epoch, &[("0", &[2])])).await?;
    beat(on, "a subtopology that is none", a.having(epoch, &[("2", &[0])])).await?;
    beat(on, "an epoch that is too large", a.having(epoch + 1, all)).await?;
    beat(on, "an epoch that is too small", a.having(epoch - 1, &[("2", &[0])])).await?;
    beat(on, "the last epoch, with what it has", a.having(epoch - 1, all)).await?;
    beat(on, "somebody unknown", of("x", "q").beating(epoch)).await?;
    let mut other = b.joining(counting("script-1071-m"));
    beat(on, "another topology", other.clone()).await?;
    other.topology = Some(counting("script-1071-l"));
    let mut newer = other.clone();
    newer.topology.as_mut().unwrap().epoch = 1;
    beat(on, "a newer topology", newer).await?;
    let_assign().await;
    let of_b = beat(on, "the second joins", other).await?;
    describe(on, "tasks are to be handed over", group).await?;
    beat(on, "the first hears of it", a.having(epoch, all)).await?;
    beat(on, "the second waits", b.having(of_b, &[])).await?;
    describe(on, "while the first gives up", group).await?;
    let half: &[(&str, &[i32])] = &[("0", &[0]), ("1", &[0])];
    let of_a = beat(on, "the first has given up", a.having(epoch, half)).await?;
    let of_b = beat(on, "the second gets them", b.having(of_b, &[])).await?;
    describe(on, "both work", group).await?;
    let mut ask = b.having(of_b, &[("0", &[1]), ("1", &[1])]);
    let offset = |offset| TaskOffset { subtopology_id: "1".into(), partition: 1, offset };
    ask.task_offsets = Some(vec![offset(5)]);
    ask.task_end_offsets = Some(vec![offset(6)]);
    ask.endpoint_information_epoch = 2;
    beat(on, "how far it is", ask).await?;
    describe(on, "how far it is", group).await?;
    commits(on, &a, of_a, epoch).await?;
    of_other_kinds(on, group).await?;
    configure(on, group, "streams.num.standby.replicas", "1").await?;
    let_assign().await;
    let of_a = beat(on, "copies are wanted", a.having(of_a, half)).await?;
    let other_half: &[(&str, &[i32])] = &[("0", &[1]), ("1", &[1])];
    let of_b = beat(on, "copies are wanted of the second", b.having(of_b, other_half)).await?;
    describe(on, "with copies", group).await?;
    let_assign().await;
    beat(on, "the second leaves", b.beating(-1)).await?;
    let mut ask = a.having(of_a, half);
    ask.standby_tasks = Some(tasks(&[("1", &[1])]));
    beat(on, "the first has all again", ask).await?;
    beat(on, "the second is gone", b.beating(of_b)).await?;
    describe(on, "alone again", group).await?;
    let ask = message!(DeleteGroupsRequest { groups_names: vec![group.into()] });
    let newest = on.newest(ApiKey::DELETE_GROUPS);
    on.ask("with a member", newest, ask.clone()).await?;
    beat(on, "the first leaves", a.beating(-1)).await?;
    describe(on, "nobody is left", group).await?;
    let_assign().await;
    on.ask("without members", newest, ask).await?;
    describe(on, "deleted", group).await
}

async fn commits(on: &mut Recorder, member: &Member<'_>, epoch: i32, older: i32) -> Result {
    let commit = |member_id: &str, epoch, partition_index| {
        let partition = message!(OffsetCommitRequestPartition {
            partition_index: partition_index,
            committed_offset: 3
        });
        let topic =
            message!(OffsetCommitRequestTopic { name: READ.into(), partitions: vec![partition] });
        message!(OffsetCommitRequest {
            group_id: member.group.into(),
            member_id: member_id.into(),
            generation_id_or_member_epoch: epoch,
            topics: vec![topic],
        })
    };
    for version in [8, 9] {
        on.ask("a member's commit", version, commit(member.id, epoch, 0)).await?;
        on.ask("of an older epoch", version, commit(member.id, older, 0)).await?;
        on.ask("of what it had at an older epoch", version, commit(member.id, older, 1)).await?;
        on.ask("of an epoch before", version, commit(member.id, 1, 0)).await?;
        on.ask("of an epoch to come", version, commit(member.id, epoch + 1, 0)).await?;
        on.ask("nobody's commit", version, commit("nobody", epoch, 0)).await?;
        on.ask("an outsider's commit", version, commit("", -1, 0)).await?;
    }
    let fetch = |member_id: Option<&str>, member_epoch| {
        let asked = message!(OffsetFetchRequestGroup {
            group_id: member.group.into(),
            member_id: member_id.map(ByteString::from),
            member_epoch: member_epoch,
            topics: None,
        });
        message!(OffsetFetchRequest { groups: vec![asked] })
    };
    on.ask("what is committed", 9, fetch(Some(member.id), epoch)).await?;
    on.ask("of an older epoch", 9, fetch(Some(member.id), older)).await?;
    on.ask("nobody asks", 9, fetch(Some("nobody"), epoch)).await?;
    on.ask("an outsider asks", 9, fetch(None, -1)).await?;
    for topic in [READ, OTHER] {
        let partition = OffsetDeleteRequestPartition { partition_index: 0 };
        let topic =
            message!(OffsetDeleteRequestTopic { name: topic.into(), partitions: vec![partition] });
        let ask =
            message!(OffsetDeleteRequest { group_id: member.group.into(), topics: vec![topic] });
        on.ask("commits are to go", 0, ask).await?;
    }
    Ok(())
}

/// What those hear who take the group for one of another kind, and the others for one of these.
async fn of_other_kinds(on: &mut Recorder, group: &str) -> Result {
    let newest = |on: &Recorder, api| on.newest(api);
    for kind in ["streams", "consumer"] {
        let ask = message!(ListGroupsRequest { types_filter: vec![kind.into()] });
        on.ask("groups of a kind", newest(on, ApiKey::LIST_GROUPS), ask).await?;
    }
    for state in ["stable", "notready", "NotReady", "not_ready"] {
        let ask = message!(ListGroupsRequest {
            types_filter: vec!["Streams".into()],
            states_filter: vec![state.into()]
        });
        on.ask("groups in a state", newest(on, ApiKey::LIST_GROUPS), ask).await?;
    }
    let ids = || vec![group.into()];
    let ask = message!(DescribeGroupsRequest { groups: ids() });
    on.ask("as a classic group", newest(on, ApiKey::DESCRIBE_GROUPS), ask).await?;
    let ask = message!(ConsumerGroupDescribeRequest { group_ids: ids() });
    on.ask("as a consumer group", newest(on, ApiKey::CONSUMER_GROUP_DESCRIBE), ask).await?;
    let ask = message!(ShareGroupDescribeRequest { group_ids: ids() });
    on.ask("as a share group", newest(on, ApiKey::SHARE_GROUP_DESCRIBE), ask).await?;
    let ask = message!(ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: "c".into(),
        rebalance_timeout_ms: 1000,
        subscribed_topic_names: Some(vec![READ.into()]),
        topic_partitions: Some(vec![]),
    });
    on.ask("a consumer joins", newest(on, ApiKey::CONSUMER_GROUP_HEARTBEAT), ask).await?;
    let ask = message!(JoinGroupRequest {
        group_id: group.into(),
        protocol_type: "consumer".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        group_instance_id: None,
        protocols: vec![message!(
            milena_wire::messages::join_group_request::JoinGroupRequestProtocol {
                name: "range".into()
            }
        )],
    });
    on.ask("a classic member joins", 3, ask).await?;
    let member_id = || ByteString::from("a");
    let ask = message!(HeartbeatRequest {
        group_id: group.into(),
        member_id: member_id(),
        generation_id: 1,
        group_instance_id: None
    });
    on.ask("a classic heartbeat", newest(on, ApiKey::HEARTBEAT), ask).await?;
    let ask = message!(SyncGroupRequest {
        group_id: group.into(),
        member_id: member_id(),
        generation_id: 1,
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None
    });
    on.ask("a classic sync", newest(on, ApiKey::SYNC_GROUP), ask).await?;
    let ask = message!(LeaveGroupRequest { group_id: group.into(), member_id: member_id() });
    on.ask("to leave as a classic member", 2, ask).await?;
    let other =
        Member { group: super::consumer_groups::READ, id: "a", process: "p", instance_id: None };
    beat(on, "nobody's group of another kind", other.beating(1)).await?;
    Ok(())
}
