//! OffsetCommit and OffsetFetch: what is kept of what was committed.

use milena_types::ErrorCode as E;
use milena_wire::ByteString;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use milena_wire::messages::{
    DeleteTopicsRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use tokio::time::sleep;

use super::answers;
use crate::Result;
use crate::raw::message;
use crate::scenarios::stage::{Member, PAUSE, Role, Stage, answer};

const COMMIT: i16 = 6;
const FETCH: i16 = 5;

/// What offsets.topic's settings give to a text, `offset.metadata.max.bytes`.
const TEXT_BYTES_MAX: usize = 4096;

answers! { "commits", |_| true;
    what_was_never_committed_is_minus_one_and_no_error: |stage| {
        stage.topic().await?;
        assert_eq!(fetched(stage, &[0]).await?, [(0, -1, -1, String::new())]);
        Ok(())
    }
    of_an_unknown_topic_nothing_was_committed_and_that_is_no_error: |stage| {
        assert_eq!(fetched(stage, &[0, 9]).await?, [(0, -1, -1, String::new()), (9, -1, -1, String::new())]);
        Ok(())
    }
    an_offset_comes_back_with_its_epoch_and_text: |stage| {
        stage.topic().await?;
        let mut ask = commit(stage, 7);
        let partition = &mut ask.topics[0].partitions[0];
        partition.committed_leader_epoch = 5;
        partition.committed_metadata = Some("so far".into());
        stage.coordinator(COMMIT, ask, E::NONE).await?;
        assert_eq!(fetched(stage, &[0]).await?, [(0, 7, 5, "so far".to_owned())]);
        Ok(())
    }
    no_text_is_an_empty_one: |stage| {
        stage.topic().await?;
        let mut ask = commit(stage, 7);
        ask.topics[0].partitions[0].committed_metadata = None;
        stage.coordinator(COMMIT, ask, E::NONE).await?;
        assert_eq!(fetched(stage, &[0]).await?, [(0, 7, -1, String::new())]);
        Ok(())
    }
    a_text_of_all_its_bytes_is_kept: |stage| {
        stage.topic().await?;
        let text = "x".repeat(TEXT_BYTES_MAX);
        let mut ask = commit(stage, 7);
        ask.topics[0].partitions[0].committed_metadata = Some(text.as_str().into());
        stage.coordinator(COMMIT, ask, E::NONE).await?;
        assert_eq!(fetched(stage, &[0]).await?, [(0, 7, -1, text)]);
        Ok(())
    }
    a_text_of_one_byte_more_is_not: |stage| {
        stage.topic().await?;
        stage.coordinator(COMMIT, commit(stage, 3), E::NONE).await?;
        let mut ask = commit(stage, 7);
        ask.topics[0].partitions[0].committed_metadata = Some("x".repeat(TEXT_BYTES_MAX + 1).into());
        stage.coordinator(COMMIT, ask, E::OFFSET_METADATA_TOO_LARGE).await?;
        assert_eq!(fetched(stage, &[0]).await?, [(0, 3, -1, String::new())], "the older one");
        Ok(())
    }
    the_last_one_counts_even_if_it_is_lower: |stage| {
        stage.topic().await?;
        stage.coordinator(COMMIT, commit(stage, 7), E::NONE).await?;
        stage.coordinator(COMMIT, commit(stage, 2), E::NONE).await?;
        assert_eq!(fetched(stage, &[0]).await?, [(0, 2, -1, String::new())]);
        Ok(())
    }
    one_beyond_the_end_of_the_log_is_taken: |stage| {
        stage.topic().await?;
        stage.coordinator(COMMIT, commit(stage, 1 << 40), E::NONE).await?;
        assert_eq!(fetched(stage, &[0]).await?, [(0, 1 << 40, -1, String::new())]);
        Ok(())
    }
    of_two_partitions_the_known_one_is_committed: |stage| {
        stage.topic().await?;
        let mut ask = commit(stage, 7);
        ask.topics[0].partitions.push(partition(9, 7));
        assert_eq!(committed(stage, ask).await?, [(0, E::NONE), (9, E::UNKNOWN_TOPIC_OR_PARTITION)]);
        assert_eq!(all(stage).await?, [(0, 7)]);
        Ok(())
    }
    of_two_partitions_the_one_with_too_long_a_text_is_not_committed: |stage| {
        stage.topic_of(2).await?;
        let mut ask = commit(stage, 7);
        ask.topics[0].partitions.push(partition(1, 8));
        ask.topics[0].partitions[1].committed_metadata = Some("x".repeat(TEXT_BYTES_MAX + 1).into());
        assert_eq!(committed(stage, ask).await?, [(0, E::NONE), (1, E::OFFSET_METADATA_TOO_LARGE)]);
        assert_eq!(all(stage).await?, [(0, 7)]);
        Ok(())
    }
    all_that_was_committed_is_told_unasked: |stage| {
        stage.topic_of(3).await?;
        let mut ask = commit(stage, 7);
        ask.topics[0].partitions.push(partition(2, 8));
        stage.coordinator(COMMIT, ask, E::NONE).await?;
        assert_eq!(all(stage).await?, [(0, 7), (2, 8)]);
        Ok(())
    }
    of_no_topics_nothing_is_told: |stage| {
        stage.topic().await?;
        stage.coordinator(COMMIT, commit(stage, 7), E::NONE).await?;
        let ask = message!(OffsetFetchRequest { group_id: stage.name.clone(), topics: Some(vec![]) });
        let told = answer!(OffsetFetch of stage.told(Role::Coordinator, FETCH, ask).await?);
        assert_eq!((told.error_code, told.topics), (E::NONE, vec![]));
        Ok(())
    }
    groups_have_each_its_own: |stage| {
        stage.topic().await?;
        stage.coordinator(COMMIT, commit(stage, 7), E::NONE).await?;
        let other = Stage::new(std::sync::Arc::clone(&stage.on), "commits-other");
        let mut ask = commit(stage, 2);
        ask.group_id = other.name.clone();
        other.coordinator(COMMIT, ask, E::NONE).await?;
        assert_eq!(all(stage).await?, [(0, 7)]);
        assert_eq!(all(&other).await?, [(0, 2)]);
        Ok(())
    }
    a_member_commits_for_partitions_that_it_was_not_assigned: |stage| {
        stage.topic().await?;
        let member = stage.member().await?;
        stage.coordinator(COMMIT, by(&member, commit(stage, 7)), E::NONE).await?;
        assert_eq!(all(stage).await?, [(0, 7)]);
        Ok(())
    }
    a_refused_one_changes_nothing: |stage| {
        stage.topic().await?;
        let mut member = stage.member().await?;
        stage.coordinator(COMMIT, by(&member, commit(stage, 7)), E::NONE).await?;
        member.generation += 1;
        stage.coordinator(COMMIT, by(&member, commit(stage, 9)), E::ILLEGAL_GENERATION).await?;
        assert_eq!(all(stage).await?, [(0, 7)]);
        Ok(())
    }
    they_outlive_the_members_who_made_them: |stage| {
        stage.topic().await?;
        let member = stage.member().await?;
        stage.coordinator(COMMIT, by(&member, commit(stage, 7)), E::NONE).await?;
        stage.coordinator(2, leave(stage, &member), E::NONE).await?;
        assert_eq!(all(stage).await?, [(0, 7)]);
        Ok(())
    }
    whoever_is_no_member_commits_where_all_have_left: |stage| {
        stage.topic().await?;
        let member = stage.member().await?;
        stage.coordinator(2, leave(stage, &member), E::NONE).await?;
        stage.coordinator(COMMIT, commit(stage, 7), E::NONE).await?;
        assert_eq!(all(stage).await?, [(0, 7)]);
        Ok(())
    }
    before_the_assignment_members_wait_with_theirs: |stage| {
        stage.topic().await?;
        let told = stage.told(Role::Coordinator, 3, stage.joining("")).await?;
        let told = answer!(JoinGroup of told);
        let member = Member { id: told.member_id, generation: told.generation_id };
        let ask = by(&member, commit(stage, 7));
        stage.coordinator(COMMIT, ask, E::REBALANCE_IN_PROGRESS).await?;
        assert_eq!(all(stage).await?, []);
        Ok(())
    }
    they_are_forgotten_with_their_topic: |stage| {
        stage.topic().await?;
        stage.coordinator(COMMIT, commit(stage, 7), E::NONE).await?;
        let ask = message!(DeleteTopicsRequest { topic_names: vec![stage.name.clone()], timeout_ms: 30_000 });
        stage.controller(3, ask, E::NONE).await?;
        // The coordinator hears of it a little later.
        while !all(stage).await?.is_empty() {
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// As whoever is no member of the stage's group, of the topic's first partition.
fn commit(stage: &Stage, offset: i64) -> OffsetCommitRequest {
    let topic = message!(OffsetCommitRequestTopic {
        name: stage.name.clone(),
        partitions: vec![partition(0, offset)],
    });
    message!(OffsetCommitRequest { group_id: stage.name.clone(), topics: vec![topic] })
}

fn partition(index: i32, offset: i64) -> OffsetCommitRequestPartition {
    message!(OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        committed_metadata: Some(ByteString::new()),
    })
}

fn by(member: &Member, mut ask: OffsetCommitRequest) -> OffsetCommitRequest {
    ask.member_id = member.id.clone();
    ask.generation_id_or_member_epoch = member.generation;
    ask
}

fn leave(stage: &Stage, member: &Member) -> LeaveGroupRequest {
    message!(LeaveGroupRequest { group_id: stage.name.clone(), member_id: member.id.clone() })
}

/// What each partition of a commit was answered.
async fn committed(stage: &Stage, ask: OffsetCommitRequest) -> Result<Vec<(i32, E)>> {
    let told = answer!(OffsetCommit of stage.told(Role::Coordinator, COMMIT, ask).await?);
    let partitions = told.topics.iter().flat_map(|topic| &topic.partitions);
    let mut codes: Vec<_> = partitions.map(|one| (one.partition_index, one.error_code)).collect();
    codes.sort_by_key(|(index, _)| *index);
    Ok(codes)
}

/// Offset, epoch and text of these partitions.
async fn fetched(stage: &Stage, asked: &[i32]) -> Result<Vec<(i32, i64, i32, String)>> {
    let topic = message!(OffsetFetchRequestTopic {
        name: stage.name.clone(),
        partition_indexes: asked.to_vec(),
    });
    let topics = Some(vec![topic]);
    let ask = message!(OffsetFetchRequest { group_id: stage.name.clone(), topics: topics });
    let told = answer!(OffsetFetch of stage.told(Role::Coordinator, FETCH, ask).await?);
    let partitions = told.topics.into_iter().flat_map(|topic| topic.partitions);
    let one = |one: milena_wire::messages::offset_fetch_response::OffsetFetchResponsePartition| {
        assert_eq!(one.error_code, E::NONE, "{one:?}");
        let text = one.metadata.map(|text| text.to_string()).unwrap_or_default();
        (one.partition_index, one.committed_offset, one.committed_leader_epoch, text)
    };
    let mut all: Vec<_> = partitions.map(one).collect();
    all.sort();
    Ok(all)
}

/// Every partition of the group with its offset.
async fn all(stage: &Stage) -> Result<Vec<(i32, i64)>> {
    let ask = message!(OffsetFetchRequest { group_id: stage.name.clone(), topics: None });
    let told = answer!(OffsetFetch of stage.told(Role::Coordinator, FETCH, ask).await?);
    assert_eq!(told.error_code, E::NONE);
    let partitions = told.topics.iter().flat_map(|topic| &topic.partitions);
    let mut all: Vec<_> = partitions.map(|p| (p.partition_index, p.committed_offset)).collect();
    all.sort_unstable();
    Ok(all)
}
