//! Offsets that are committed within transactions: AddOffsetsToTxn, TxnOffsetCommit, and OffsetFetch while one is open.

use milena_types::{ApiKey, Uuid};
use milena_wire::Response;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use milena_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use milena_wire::messages::{
    AddOffsetsToTxnRequest, DescribeGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
    TxnOffsetCommitRequest,
};

use super::consumer_groups::{Member, READ, beat};
use super::groups::{joining, syncing};
use super::transactional_producer::{Producer, TOPIC, settled};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) async fn run(on: &mut Recorder) -> Result {
    let id = on.await_topic(TOPIC).await?;
    let newest = on.newest(ApiKey::TXN_OFFSET_COMMIT);
    for to_commit in [3, 4, 5, 6].into_iter().filter(|version| *version <= newest) {
        life(on, id, to_commit).await?;
    }
    wrong(on, id).await?;
    overtaken(on, id).await?;
    members(on, id).await?;
    consumers(on).await
}

fn adding(producer: &Producer, group: &str) -> AddOffsetsToTxnRequest {
    message!(AddOffsetsToTxnRequest {
        transactional_id: producer.transactional_id.as_str().into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: group.into(),
    })
}

fn committing(
    producer: &Producer,
    group: &str,
    (topic, id): (&str, Uuid),
    at: &[(i32, i64)],
) -> TxnOffsetCommitRequest {
    let partition = |(index, offset): &(i32, i64)| {
        message!(TxnOffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            committed_metadata: Some("in a transaction".into()),
        })
    };
    let topic = message!(TxnOffsetCommitRequestTopic {
        name: topic.into(),
        topic_id: id,
        partitions: at.iter().map(partition).collect(),
    });
    message!(TxnOffsetCommitRequest {
        transactional_id: producer.transactional_id.as_str().into(),
        group_id: group.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![topic],
    })
}

/// What the group has committed, to those that want only what is stable and to all.
async fn fetch(on: &mut Recorder, what: &str, group: &str, id: Uuid) -> Result {
    let versions = on.versions(ApiKey::OFFSET_FETCH);
    for version in [6, 7, 9, 10].into_iter().filter(|version| versions.contains(version)) {
        for require_stable in [false, true] {
            for names in [true, false] {
                if require_stable && version < 7 {
                    continue;
                }
                let mut ask = message!(OffsetFetchRequest { require_stable: require_stable });
                let partitions = vec![0, 1, 2];
                if version < 8 {
                    let topic = message!(OffsetFetchRequestTopic {
                        name: TOPIC.into(),
                        partition_indexes: partitions,
                    });
                    ask.group_id = group.into();
                    ask.topics = names.then(|| vec![topic]);
                } else {
                    let topic = message!(OffsetFetchRequestTopics {
                        name: TOPIC.into(),
                        topic_id: id,
                        partition_indexes: partitions,
                    });
                    let asked = message!(OffsetFetchRequestGroup {
                        group_id: group.into(),
                        topics: names.then(|| vec![topic]),
                    });
                    ask.groups = vec![asked];
                }
                let how = if require_stable { "stable" } else { "any" };
                let which = if names { "some" } else { "all" };
                on.ask(&format!("{what}, {how} of {which}"), version, ask).await?;
            }
        }
    }
    Ok(())
}

/// Offsets that are aborted, then some that are committed, with an ordinary commit before and in between.
async fn life(on: &mut Recorder, id: Uuid, to_commit: i16) -> Result {
    let group = format!("script-txn-offsets-{to_commit}");
    let name = format!("script-offsets-{to_commit}");
    let is_v2 = to_commit >= 5;
    let to_end = if is_v2 { 5 } else { 4 };
    let mut producer = Producer::begin(on, &name).await?;
    plain(on, &group, 0, 1).await?;
    fetch(on, "before the transaction", &group, id).await?;
    if !is_v2 {
        let early = committing(&producer, &group, (TOPIC, id), &[(0, 2)]);
        on.ask("before the group takes part", to_commit, early).await?;
        on.ask("a group", 3, adding(&producer, &group)).await?;
        on.ask("the group again", 1, adding(&producer, &group)).await?;
    }
    for committed in [false, true] {
        let offset = if committed { 20 } else { 10 };
        if committed && !is_v2 {
            on.ask("a group, in the next transaction", 3, adding(&producer, &group)).await?;
        }
        let ask = committing(&producer, &group, (TOPIC, id), &[(0, offset), (1, offset + 1)]);
        on.ask("two partitions", to_commit, ask).await?;
        fetch(on, "while the transaction is open", &group, id).await?;
        let ask = committing(&producer, &group, (TOPIC, id), &[(1, offset + 2), (2, offset)]);
        on.ask("one of them again and another", to_commit, ask).await?;
        if committed {
            plain(on, &group, 2, 99).await?;
            fetch(on, "after an ordinary commit meanwhile", &group, id).await?;
        }
        producer.ended(on, to_end, committed).await?;
        fetch(on, "after the end", &group, id).await?;
    }
    let described = message!(DescribeGroupsRequest { groups: vec![group.into()] });
    let newest = on.newest(ApiKey::DESCRIBE_GROUPS);
    on.ask("a group of transactions", newest, described).await?;
    Ok(())
}

/// Has the group take part where a commit does not do that by itself.
async fn take_part(on: &mut Recorder, producer: &Producer, group: &str) -> Result {
    if on.newest(ApiKey::TXN_OFFSET_COMMIT) < 5 {
        on.quietly(3, adding(producer, group)).await?;
    }
    Ok(())
}

/// An ordinary commit of one who is in no group.
async fn plain(on: &mut Recorder, group: &str, partition: i32, offset: i64) -> Result {
    let at = message!(OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
    });
    let topic = message!(OffsetCommitRequestTopic { name: TOPIC.into(), partitions: vec![at] });
    let ask = message!(OffsetCommitRequest { group_id: group.into(), topics: vec![topic] });
    on.ask("an ordinary one", 9, ask).await?;
    Ok(())
}

async fn wrong(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::TXN_OFFSET_COMMIT;
    let group = "script-txn-offsets";
    let producer = Producer::begin(on, "script-offsets-wrong").await?;
    on.ask_each("before the group takes part", key, 0..=4, |_| {
        committing(&producer, group, (TOPIC, id), &[(0, 1)])
    })
    .await?;
    on.ask("a group", 3, adding(&producer, group)).await?;
    on.ask("an empty group", 3, adding(&producer, "")).await?;
    on.ask_each("all is well", key, 0..=6, |_| {
        committing(&producer, group, (TOPIC, id), &[(0, 1)])
    })
    .await?;
    on.ask_each("an unknown topic", key, 0..=6, |_| {
        committing(&producer, group, ("not-there", Uuid::from_bytes([7; 16])), &[(0, 1)])
    })
    .await?;
    on.ask_each("an unknown partition and one that is there", key, 0..=6, |_| {
        committing(&producer, group, (TOPIC, id), &[(0, 1), (99, 1)])
    })
    .await?;
    on.ask_each("nothing", key, 0..=6, |_| {
        let mut ask = committing(&producer, group, (TOPIC, id), &[]);
        ask.topics.clear();
        ask
    })
    .await?;
    on.ask_each("an empty group", key, 0..=6, |_| {
        committing(&producer, "", (TOPIC, id), &[(0, 1)])
    })
    .await?;
    let mut long = committing(&producer, group, (TOPIC, id), &[(0, 1), (1, 1)]);
    long.topics[0].partitions[0].committed_metadata = Some("x".repeat(5000).into());
    on.ask("a note of 5000 letters", 5, long).await?;

    let mut other = producer.clone();
    other.epoch += 1;
    on.ask_each("a later epoch", key, 0..=6, |_| {
        committing(&other, "script-x", (TOPIC, id), &[(0, 1)])
    })
    .await?;
    on.ask_each("a later epoch", ApiKey::ADD_OFFSETS_TO_TXN, 0..=99, |_| adding(&other, group))
        .await?;
    other.id += 1000;
    on.ask_each("another id", key, 0..=6, |_| {
        committing(&other, "script-x", (TOPIC, id), &[(0, 1)])
    })
    .await?;
    on.ask_each("another id", ApiKey::ADD_OFFSETS_TO_TXN, 0..=99, |_| adding(&other, group))
        .await?;
    let mut nobody = producer.clone();
    nobody.transactional_id = "script-nobody".into();
    on.ask_each("nobody", key, 0..=6, |_| committing(&nobody, "script-x", (TOPIC, id), &[(0, 1)]))
        .await?;
    nobody.transactional_id = String::new();
    on.ask_each("an empty transactional id", key, 0..=6, |_| {
        committing(&nobody, "script-x", (TOPIC, id), &[(0, 1)])
    })
    .await
}

/// Offsets of a producer that is fenced before it commits.
async fn overtaken(on: &mut Recorder, id: Uuid) -> Result {
    let group = "script-txn-overtaken";
    let producer = Producer::begin(on, "script-overtaken").await?;
    take_part(on, &producer, group).await?;
    on.ask("of one soon overtaken", 5, committing(&producer, group, (TOPIC, id), &[(0, 7)]))
        .await?;
    on.ask("the next producer", 5, Producer::named("script-overtaken").init()).await?;
    settled(on, &producer).await?;
    on.ask("of one overtaken", 5, committing(&producer, group, (TOPIC, id), &[(0, 8)])).await?;
    on.ask("of one overtaken", 4, committing(&producer, group, (TOPIC, id), &[(0, 8)])).await?;
    fetch(on, "after the fence", group, id).await
}

/// Who says that it is a member must be one of this generation (KIP-447).
async fn members(on: &mut Recorder, id: Uuid) -> Result {
    let group = "script-txn-members";
    let producer = Producer::begin(on, "script-members").await?;
    let version = on.newest(ApiKey::JOIN_GROUP);
    let of = |member: &str, generation: i32| {
        let mut ask = committing(&producer, group, (TOPIC, id), &[(0, 1)]);
        (ask.member_id, ask.generation_id_or_member_epoch) = (member.into(), generation);
        ask
    };
    take_part(on, &producer, group).await?;
    on.ask("of a generation in a group that never was", 5, of("nobody", 1)).await?;
    on.ask("of a member in a group that never was", 5, of("nobody", -1)).await?;
    let Response::JoinGroup(first) = on.quietly(version, joining(group, "")).await? else {
        return Err("another answer than JoinGroup's".into());
    };
    let joined = on.quietly(version, joining(group, &first.member_id)).await?;
    let Response::JoinGroup(joined) = joined else {
        return Err("another answer than JoinGroup's".into());
    };
    let (member, generation) = (joined.member_id.clone(), joined.generation_id);
    on.ask("while the leader assigns", 5, of(&member, generation)).await?;
    let newest = on.newest(ApiKey::SYNC_GROUP);
    on.quietly(newest, syncing(group, &member, generation)).await?;
    on.ask("of the member", 5, of(&member, generation)).await?;
    on.ask("of an old generation", 5, of(&member, generation - 1)).await?;
    on.ask("of a later generation", 5, of(&member, generation + 1)).await?;
    on.ask("of the member without its generation", 5, of(&member, -1)).await?;
    on.ask("of nobody", 5, of("nobody", generation)).await?;
    on.ask("of one who does not say", 5, of("", -1)).await?;
    on.ask("of one who does not say", 3, of("", -1)).await?;
    let mut instance = of(&member, generation);
    instance.group_instance_id = Some("instance".into());
    on.ask("of an unknown instance", 5, instance).await?;
    Ok(())
}

/// The same of a group of the consumer protocol, where it goes by the member's epoch.
async fn consumers(on: &mut Recorder) -> Result {
    if on.newest(ApiKey::CONSUMER_GROUP_HEARTBEAT) < 1 {
        return Ok(());
    }
    let member = Member { group: "script-txn-848", id: "a", instance_id: None };
    let id = on.await_topic(READ).await?;
    let producer = Producer::begin(on, "script-848-members").await?;
    let of = |member_id: &str, epoch: i32| {
        let mut ask = committing(&producer, member.group, (READ, id), &[(0, 1)]);
        (ask.member_id, ask.generation_id_or_member_epoch) = (member_id.into(), epoch);
        ask
    };
    for version in [5, 6] {
        on.ask("of an epoch in a group that never was", version, of("nobody", 1)).await?;
    }
    let (epoch, _) = beat(on, "a member that commits in transactions", member.joining()).await?;
    for version in [5, 6] {
        on.ask("of the member's epoch", version, of("a", epoch)).await?;
        on.ask("of an older epoch", version, of("a", epoch - 1)).await?;
        on.ask("of a later epoch", version, of("a", epoch + 1)).await?;
        on.ask("of no epoch", version, of("a", -1)).await?;
        on.ask("of nobody", version, of("nobody", epoch)).await?;
        on.ask("of one who does not say", version, of("", -1)).await?;
    }
    beat(on, "leaves", member.beating(-1)).await?;
    Ok(())
}
