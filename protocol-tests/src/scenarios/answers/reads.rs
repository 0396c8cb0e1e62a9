//! Fetch: which bytes come, and what is told beside them.

use milena_types::ErrorCode as E;
use milena_wire::ByteString;
use milena_wire::messages::FetchRequest;
use milena_wire::messages::fetch_request::ForgottenTopic;
use milena_wire::messages::fetch_response::PartitionData;

use super::answers;
use super::log::{FETCH, batches};
use crate::Result;
use crate::raw::{Batch, message};
use crate::scenarios::stage::{Role, Stage, answer};

answers! { "reads", |_| true;
    the_ends_of_the_log_are_told_with_the_records: |stage| {
        for value in ["a", "b", "c"] {
            stage.append(&Batch::of(&[value])).await?;
        }
        stage.delete_before(1).await?;
        let told = stage.fetched(stage.fetching(&[(0, 2)])).await?;
        assert_eq!((told.log_start_offset, told.last_stable_offset, told.high_watermark), (1, 3, 3));
        assert_eq!(batches(&told).len(), 1);
        Ok(())
    }
    at_the_end_there_is_nothing_and_no_error: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        let told = stage.fetched(stage.fetching(&[(0, 1)])).await?;
        assert_eq!((told.error_code, told.high_watermark), (E::NONE, 1));
        assert_eq!(batches(&told), []);
        Ok(())
    }
    out_of_range_tells_where_the_log_begins_to_nobody: |stage| {
        stage.append(&Batch::of(&["a", "b"])).await?;
        let told = stage.fetched(stage.fetching(&[(0, 7)])).await?;
        assert_eq!(told.error_code, E::OFFSET_OUT_OF_RANGE);
        assert_eq!((told.high_watermark, told.log_start_offset), (-1, -1));
        Ok(())
    }
    an_offset_within_a_batch_brings_the_whole_batch: |stage| {
        stage.append(&Batch::of(&["a", "b", "c"])).await?;
        stage.append(&Batch::of(&["d"])).await?;
        let told: Vec<_> = stage.stored(1).await?.iter().map(|batch| batch.base_offset).collect();
        assert_eq!(told, [0, 3]);
        Ok(())
    }
    an_offset_behind_a_batch_brings_it_no_more: |stage| {
        stage.append(&Batch::of(&["a", "b", "c"])).await?;
        stage.append(&Batch::of(&["d"])).await?;
        let told: Vec<_> = stage.stored(3).await?.iter().map(|batch| batch.base_offset).collect();
        assert_eq!(told, [3]);
        Ok(())
    }
    the_first_batch_comes_whole_whatever_the_limit_of_its_partition: |stage| {
        stage.append(&Batch::of(&[&"x".repeat(1_000)])).await?;
        stage.append(&Batch::of(&["y"])).await?;
        let mut ask = stage.fetching(&[(0, 0)]);
        ask.topics[0].partitions[0].partition_max_bytes = 1;
        let told: Vec<_> = batches(&stage.fetched(ask).await?).iter().map(|batch| batch.base_offset).collect();
        assert_eq!(told, [0]);
        Ok(())
    }
    the_first_batch_comes_whole_whatever_the_limit_of_all: |stage| {
        stage.append(&Batch::of(&[&"x".repeat(1_000)])).await?;
        let mut ask = stage.fetching(&[(0, 0)]);
        ask.max_bytes = 1;
        assert_eq!(batches(&stage.fetched(ask).await?).len(), 1);
        Ok(())
    }
    what_is_above_the_limit_of_all_comes_later: |stage| {
        stage.topic_of(2).await?;
        let batch = Batch::of(&[&"x".repeat(1_000)]);
        let ask = stage.producing(&[(0, &batch), (1, &batch)]);
        stage.produced(7, ask).await?;
        let mut ask = stage.fetching(&[(0, 0), (1, 0)]);
        ask.max_bytes = 500;
        let told = partitions(stage, ask).await?;
        let counts: Vec<_> = told.iter().map(|one| (one.partition_index, batches(one).len())).collect();
        assert_eq!(counts, [(0, 1), (1, 0)], "in the order of the request");
        assert!(told.iter().all(|one| one.high_watermark == 1));
        Ok(())
    }
    the_order_of_the_request_says_whose_records_come_first: |stage| {
        stage.topic_of(2).await?;
        let batch = Batch::of(&[&"x".repeat(1_000)]);
        let ask = stage.producing(&[(0, &batch), (1, &batch)]);
        stage.produced(7, ask).await?;
        let mut ask = stage.fetching(&[(1, 0), (0, 0)]);
        ask.max_bytes = 500;
        let told = partitions(stage, ask).await?;
        let counts: Vec<_> = told.iter().map(|one| (one.partition_index, batches(one).len())).collect();
        assert_eq!(counts, [(0, 0), (1, 1)]);
        Ok(())
    }
    of_two_partitions_the_known_one_is_read: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        let ask = stage.fetching(&[(0, 0), (9, 0)]);
        let told = partitions(stage, ask).await?;
        let told: Vec<_> = told.iter().map(|one| (one.error_code, batches(one).len())).collect();
        assert_eq!(told, [(E::NONE, 1), (E::UNKNOWN_TOPIC_OR_PARTITION, 0)]);
        Ok(())
    }
    old_brokers_keep_zstd_from_whoever_may_not_know_it: |stage| {
        stage.topic_with(&[("compression.type", "zstd")]).await?;
        let ask = stage.fetching(&[(0, 0)]);
        // KIP-110; from 4.0 on it is not looked at.
        let code = if stage.is_since(4, 0) { E::NONE } else { E::UNSUPPORTED_COMPRESSION_TYPE };
        stage.leader(9, ask.clone(), code).await?;
        stage.leader(10, ask, E::NONE).await
    }
    whoever_asks_without_a_session_gets_none: |stage| {
        stage.topic().await?;
        let mut ask = stage.fetching(&[(0, 0)]);
        (ask.session_id, ask.session_epoch) = (0, -1);
        let told = answer!(Fetch of stage.told(Role::Leader, FETCH, ask).await?);
        assert_eq!((told.error_code, told.session_id), (E::NONE, 0));
        Ok(())
    }
    a_session_tells_of_each_partition_once: |stage| {
        let id = session(stage, &[0]).await?;
        assert_eq!(goes_on(stage, id, 1).await?, Ok(vec![]));
        Ok(())
    }
    a_session_tells_of_what_was_appended: |stage| {
        stage.topic_of(2).await?;
        let id = session(stage, &[0, 1]).await?;
        let batch = Batch::of(&["a"]);
        let ask = stage.producing(&[(1, &batch)]);
        stage.produced(7, ask).await?;
        assert_eq!(goes_on(stage, id, 1).await?, Ok(vec![(1, 1)]));
        Ok(())
    }
    a_session_tells_again_of_what_was_not_read_on: |stage| {
        let id = session(stage, &[0]).await?;
        stage.append(&Batch::of(&["a"])).await?;
        // The offset that is wanted has not moved.
        assert_eq!(goes_on(stage, id, 1).await?, Ok(vec![(0, 1)]));
        assert_eq!(goes_on(stage, id, 2).await?, Ok(vec![(0, 1)]));
        Ok(())
    }
    a_session_takes_an_offset_that_moved: |stage| {
        let id = session(stage, &[0]).await?;
        stage.append(&Batch::of(&["a"])).await?;
        stage.append(&Batch::of(&["b"])).await?;
        let mut ask = stage.fetching(&[(0, 1)]);
        (ask.session_id, ask.session_epoch) = (id, 1);
        let told = batches(&stage.fetched(ask).await?);
        assert_eq!(told.iter().map(|batch| batch.base_offset).collect::<Vec<_>>(), [1]);
        assert_eq!(goes_on(stage, id, 2).await?, Ok(vec![(0, 1)]), "one batch, as from there");
        Ok(())
    }
    a_session_refuses_an_epoch_out_of_turn: |stage| {
        let id = session(stage, &[0]).await?;
        assert_eq!(goes_on(stage, id, 2).await?, Err(E::INVALID_FETCH_SESSION_EPOCH));
        assert_eq!(goes_on(stage, id, 1).await?, Ok(vec![]), "it is still there");
        Ok(())
    }
    a_session_forgets_what_it_is_told_to: |stage| {
        stage.topic_of(2).await?;
        let id = session(stage, &[0, 1]).await?;
        let batch = Batch::of(&["a"]);
        let ask = stage.producing(&[(0, &batch), (1, &batch)]);
        stage.produced(7, ask).await?;
        let mut ask = going_on(id, 1);
        let forgotten = message!(ForgottenTopic { topic: stage.name.clone(), partitions: vec![0] });
        ask.forgotten_topics_data = vec![forgotten];
        let told: Vec<_> = partitions(stage, ask).await?.iter().map(|one| one.partition_index).collect();
        assert_eq!(told, [1]);
        Ok(())
    }
    a_session_that_was_closed_is_not_found: |stage| {
        let id = session(stage, &[0]).await?;
        let mut ask = stage.fetching(&[]);
        ask.topics.clear();
        (ask.session_id, ask.session_epoch) = (id, -1);
        stage.leader(FETCH, ask, E::NONE).await?;
        assert_eq!(goes_on(stage, id, 1).await?, Err(E::FETCH_SESSION_ID_NOT_FOUND));
        Ok(())
    }
    a_session_that_is_begun_anew_has_another_id: |stage| {
        let id = session(stage, &[0]).await?;
        let mut ask = stage.fetching(&[(0, 0)]);
        (ask.session_id, ask.session_epoch) = (id, 0);
        let told = answer!(Fetch of stage.told(Role::Leader, FETCH, ask).await?);
        assert_eq!(told.error_code, E::NONE);
        assert!(![0, id].contains(&told.session_id), "{} after {id}", told.session_id);
        assert_eq!(goes_on(stage, id, 1).await?, Err(E::FETCH_SESSION_ID_NOT_FOUND));
        Ok(())
    }
    a_session_tells_of_an_unknown_partition_each_time: |stage| {
        stage.topic().await?;
        let mut ask = stage.fetching(&[(9, 0)]);
        ask.session_epoch = 0;
        let told = answer!(Fetch of stage.told(Role::Leader, FETCH, ask).await?);
        assert_ne!(told.session_id, 0);
        for epoch in 1..3 {
            let told = partitions(stage, going_on(told.session_id, epoch)).await?;
            let codes: Vec<_> = told.iter().map(|one| one.error_code).collect();
            assert_eq!(codes, [E::UNKNOWN_TOPIC_OR_PARTITION]);
        }
        Ok(())
    }
}

/// What is said of each partition, in the order of their numbers.
async fn partitions(stage: &Stage, ask: FetchRequest) -> Result<Vec<PartitionData>> {
    let told = answer!(Fetch of stage.told(Role::Leader, FETCH, ask).await?);
    assert_eq!(told.error_code, E::NONE, "{told:?}");
    let mut all: Vec<_> = told.responses.into_iter().flat_map(|topic| topic.partitions).collect();
    all.sort_by_key(|one| one.partition_index);
    Ok(all)
}

/// Begins a session over these partitions of an empty topic.
async fn session(stage: &mut Stage, wanted: &[i32]) -> Result<i32> {
    stage.topic().await?;
    let wanted: Vec<_> = wanted.iter().map(|index| (*index, 0)).collect();
    let mut ask = stage.fetching(&wanted);
    ask.session_epoch = 0;
    let told = answer!(Fetch of stage.told(Role::Leader, FETCH, ask).await?);
    assert_eq!((told.error_code, told.responses[0].partitions.len()), (E::NONE, wanted.len()));
    assert_ne!(told.session_id, 0);
    Ok(told.session_id)
}

fn going_on(session: i32, epoch: i32) -> FetchRequest {
    message!(FetchRequest { max_bytes: 1 << 20, session_id: session, session_epoch: epoch })
}

/// The partitions that a session tells of, and how many batches each brings; or why it does not go on.
async fn goes_on(
    stage: &Stage,
    session: i32,
    epoch: i32,
) -> Result<std::result::Result<Vec<(i32, usize)>, E>> {
    let ask = going_on(session, epoch);
    let told = answer!(Fetch of stage.told(Role::Leader, FETCH, ask).await?);
    if told.error_code.is_error() {
        return Ok(Err(told.error_code));
    }
    assert!(told.responses.iter().all(|topic| topic.topic == ByteString::clone(&stage.name)));
    let partitions = told.responses.iter().flat_map(|topic| &topic.partitions);
    Ok(Ok(partitions.map(|one| (one.partition_index, batches(one).len())).collect()))
}
