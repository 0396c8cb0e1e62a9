//! ListOffsets, OffsetCommit and OffsetFetch of a group without members.

use milena_types::{ApiKey, Uuid};
use milena_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use milena_wire::messages::{
    CreateTopicsRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest,
};

use super::produce::{TOPIC, to};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message, timestamp};

pub(super) async fn run(on: &mut Recorder) -> Result {
    list(on).await?;
    let id = on.await_topic(TOPIC).await?;
    commit(on, id).await?;
    fetch(on, id).await?;
    of_old_records(on).await
}

fn asking(topic: &str, partition: i32, timestamp: i64, epoch: i32) -> ListOffsetsRequest {
    let partition = message!(ListOffsetsPartition {
        partition_index: partition,
        timestamp: timestamp,
        current_leader_epoch: epoch,
    });
    let topic = message!(ListOffsetsTopic { name: topic.into(), partitions: vec![partition] });
    message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] })
}

/// Records of 1970 are older than retention allows, which looks only now and then. The last one keeps its segment, however
/// much later it is.
async fn of_old_records(on: &mut Recorder) -> Result {
    let (topic, far) = ("script-old-records", i64::MAX.to_string());
    let settings = [("segment.ms", far.as_str())].map(|(name, value)| {
        message!(CreatableTopicConfig { name: name.into(), value: Some(value.into()) })
    });
    let made = message!(CreatableTopic {
        name: topic.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: settings.to_vec(),
    });
    on.quietly(5, message!(CreateTopicsRequest { topics: vec![made], timeout_ms: 10_000 })).await?;
    let id = on.await_topic(topic).await?;
    let newest = on.newest(ApiKey::PRODUCE);
    for time in [1000, 2000, 3000, timestamp()] {
        let batch = Batch { timestamp: time, ..Batch::of(&["x"]) };
        let ask = to(topic, id, 0, Some(batch.bytes()));
        on.ask("records of 1970 and one of today", newest, ask).await?;
    }
    let newest = on.newest(ApiKey::LIST_OFFSETS);
    for time in [-2, 0, 1500, 3000, 3001] {
        let what = format!("time {time} among records of 1970 and one of today");
        on.ask(&what, newest, asking(topic, 0, time, -1)).await?;
    }
    Ok(())
}

async fn list(on: &mut Recorder) -> Result {
    let key = ApiKey::LIST_OFFSETS;
    for (what, timestamp, since) in [
        ("latest", -1, 1),
        ("earliest", -2, 1),
        ("max timestamp", -3, 7),
        ("earliest local", -4, 8),
        ("latest tiered", -5, 9),
        ("a nonsense", -9, 1),
        ("time 0", 0, 1),
        ("the first record's time", timestamp(), 1),
        ("the second record's time", timestamp() + 1, 1),
        ("after the last record", timestamp() + 2, 1),
    ] {
        on.ask_each(what, key, since..=99, |_| asking(TOPIC, 0, timestamp, -1)).await?;
    }
    on.ask_each("max timestamp too early", key, 1..=6, |_| asking(TOPIC, 0, -3, -1)).await?;
    on.ask_each("an unknown topic", key, 1..=99, |_| asking("not-there", 0, -1, -1)).await?;
    on.ask_each("an unknown partition", key, 1..=99, |_| asking(TOPIC, 99, -1, -1)).await?;
    for epoch in [0, 5] {
        on.ask_each(&format!("leader epoch {epoch}"), key, 4..=99, |_| asking(TOPIC, 0, -1, epoch))
            .await?;
    }
    let newest = on.newest(key);
    let mut committed = asking(TOPIC, 2, -1, -1);
    committed.isolation_level = 1;
    on.ask("latest, read_committed", newest, committed).await?;
    let empty = message!(ListOffsetsRequest { replica_id: -1 });
    on.ask("nothing", newest, empty).await?;
    Ok(())
}

pub(super) fn committing(
    group: &str,
    topic: &str,
    id: Uuid,
    at: &[(i32, i64)],
) -> OffsetCommitRequest {
    let partition = |(index, offset): &(i32, i64)| {
        message!(OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            committed_leader_epoch: 0,
            committed_metadata: Some("a note".into()),
        })
    };
    let topic = message!(OffsetCommitRequestTopic {
        name: topic.into(),
        topic_id: id,
        partitions: at.iter().map(partition).collect(),
    });
    message!(OffsetCommitRequest { group_id: group.into(), topics: vec![topic] })
}

async fn commit(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::OFFSET_COMMIT;
    let group = "script-offsets";
    on.ask_each("without a member", key, 2..=99, |version| {
        committing(group, TOPIC, id, &[(0, i64::from(version)), (1, 1)])
    })
    .await?;
    on.ask_each("an unknown partition", key, 2..=99, |_| committing(group, TOPIC, id, &[(99, 1)]))
        .await?;
    on.ask_each("an unknown topic", key, 2..=9, |_| committing(group, "not-there", id, &[(0, 1)]))
        .await?;
    on.ask_each("an unknown id", key, 10..=99, |_| {
        committing(group, "", Uuid::from_bytes([7; 16]), &[(0, 1)])
    })
    .await?;
    on.ask_each("an unknown member", key, 2..=99, |_| {
        let mut ask = committing(group, TOPIC, id, &[(0, 1)]);
        ask.member_id = "nobody".into();
        ask.generation_id_or_member_epoch = 1;
        ask
    })
    .await?;
    on.ask_each("a generation in a group that never was", key, 2..=99, |_| {
        let mut ask = committing("script-never", TOPIC, id, &[(0, 1)]);
        ask.member_id = "nobody".into();
        ask.generation_id_or_member_epoch = 1;
        ask
    })
    .await?;
    let newest = on.newest(key);
    on.ask("an empty group", newest, committing("", TOPIC, id, &[(0, 1)])).await?;
    let mut long = committing(group, TOPIC, id, &[(0, 1)]);
    long.topics[0].partitions[0].committed_metadata = Some("x".repeat(5000).into());
    on.ask("a note of 5000 letters", newest, long).await?;
    let mut none = committing(group, TOPIC, id, &[(3, 7)]);
    none.topics[0].partitions[0].committed_metadata = None;
    none.topics[0].partitions[0].committed_leader_epoch = -1;
    on.ask("no note, no epoch", newest, none).await?;
    Ok(())
}

async fn fetch(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::OFFSET_FETCH;
    let asking = |version: i16, group: &str, topic: Option<(&str, Uuid, Vec<i32>)>| {
        let mut ask = message!(OffsetFetchRequest {});
        if version < 8 {
            ask.group_id = group.into();
            ask.topics = topic.map(|(name, _, partitions)| {
                vec![message!(OffsetFetchRequestTopic {
                    name: name.into(),
                    partition_indexes: partitions,
                })]
            });
        } else {
            let topics = topic.map(|(name, id, partitions)| {
                vec![message!(OffsetFetchRequestTopics {
                    name: name.into(),
                    topic_id: id,
                    partition_indexes: partitions,
                })]
            });
            ask.groups =
                vec![message!(OffsetFetchRequestGroup { group_id: group.into(), topics: topics })];
        }
        ask
    };
    let group = "script-offsets";
    on.ask_each("committed and not", key, 1..=99, |version| {
        asking(version, group, Some((TOPIC, id, vec![0, 1, 2, 3, 99])))
    })
    .await?;
    on.ask_each("all of a group", key, 2..=99, |version| asking(version, group, None)).await?;
    on.ask_each("a group that never was", key, 1..=99, |version| {
        asking(version, "script-never", Some((TOPIC, id, vec![0])))
    })
    .await?;
    on.ask_each("all of a group that never was", key, 2..=99, |version| {
        asking(version, "script-never", None)
    })
    .await?;
    on.ask_each("an unknown topic", key, 1..=9, |version| {
        asking(version, group, Some(("not-there", Uuid::ZERO, vec![0])))
    })
    .await?;
    on.ask_each("an unknown id", key, 10..=99, |version| {
        asking(version, group, Some(("", Uuid::from_bytes([7; 16]), vec![0])))
    })
    .await?;
    on.ask_each("stable ones", key, 7..=99, |version| {
        let mut ask = asking(version, group, Some((TOPIC, id, vec![0])));
        ask.require_stable = true;
        ask
    })
    .await
}
