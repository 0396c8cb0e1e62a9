//! ListOffsets, DeleteRecords, OffsetForLeaderEpoch: where a log begins and ends, and what is where in it.

use milena_types::ErrorCode as E;
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use milena_wire::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};

use super::answers;
use super::log::{EARLIEST, LATEST};
use crate::Result;
use crate::raw::{Batch, message, timestamp};
use crate::scenarios::stage::{Role, Stage, answer};

const LIST: i16 = 4;
const EPOCHS: i16 = 2;

answers! { "ends", |_| true;
    of_an_empty_log_both_are_zero: |stage| {
        assert_eq!(stage.ends().await?, (0, 0));
        Ok(())
    }
    the_end_is_behind_the_last_record: |stage| {
        stage.append(&Batch::of(&["a", "b", "c"])).await?;
        assert_eq!(stage.ends().await?, (0, 3));
        Ok(())
    }
    both_are_told_without_a_time_and_with_an_epoch_by_newer_brokers: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        for which in [EARLIEST, LATEST] {
            let told = stage.found(which).await?;
            let epoch = if stage.is_since(2, 2) { 0 } else { -1 };
            assert_eq!((told.timestamp, told.leader_epoch), (-1, epoch));
        }
        Ok(())
    }
    a_time_finds_the_first_record_that_is_no_older: |stage| {
        // One millisecond between two records of a batch.
        let first = timestamp() - 60_000;
        stage.append(&Batch { timestamp: first, ..Batch::of(&["a", "b"]) }).await?;
        stage.append(&Batch { timestamp: first + 5_000, ..Batch::of(&["c"]) }).await?;
        for (asked, offset, told) in [(-1, 0, 0), (0, 0, 0), (1, 1, 1), (2, 2, 5_000), (5_000, 2, 5_000)] {
            let found = stage.found(first + asked).await?;
            assert_eq!((found.offset, found.timestamp), (offset, first + told), "{asked} ms after the first");
        }
        Ok(())
    }
    a_time_after_the_last_record_finds_nothing: |stage| {
        let first = timestamp() - 60_000;
        stage.append(&Batch { timestamp: first, ..Batch::of(&["a"]) }).await?;
        let found = stage.found(first + 1).await?;
        assert_eq!((found.offset, found.timestamp), (-1, -1));
        Ok(())
    }
    of_times_that_go_back_the_first_offset_is_found: |stage| {
        let first = timestamp() - 60_000;
        stage.append(&Batch { timestamp: first + 5_000, ..Batch::of(&["a"]) }).await?;
        stage.append(&Batch { timestamp: first, ..Batch::of(&["b"]) }).await?;
        let found = stage.found(first).await?;
        assert_eq!((found.offset, found.timestamp), (0, first + 5_000));
        Ok(())
    }
    a_time_finds_nothing_that_was_deleted: |stage| {
        let first = timestamp() - 60_000;
        for (late, value) in [(0, "a"), (1_000, "b"), (2_000, "c")] {
            stage.append(&Batch { timestamp: first + late, ..Batch::of(&[value]) }).await?;
        }
        stage.delete_before(2).await?;
        let found = stage.found(first).await?;
        assert_eq!((found.offset, found.timestamp), (2, first + 2_000));
        Ok(())
    }
    the_broker_s_time_is_found_where_the_topic_keeps_it: |stage| {
        stage.topic_with(&[("message.timestamp.type", "LogAppendTime")]).await?;
        let long_ago = timestamp() - 5_000_000;
        stage.append(&Batch { timestamp: long_ago, ..Batch::of(&["a"]) }).await?;
        let found = stage.found(long_ago).await?;
        assert_eq!(found.offset, 0);
        assert!(found.timestamp > long_ago + 1_000_000, "{found:?}");
        Ok(())
    }
    a_partition_that_is_asked_for_twice_is_refused: |stage| {
        stage.topic().await?;
        let partition = message!(ListOffsetsPartition { timestamp: LATEST });
        let partitions = vec![partition.clone(), partition];
        let topic = message!(ListOffsetsTopic { name: stage.name.clone(), partitions: partitions });
        let ask = message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] });
        let told = answer!(ListOffsets of stage.told(Role::Leader, LIST, ask).await?);
        let partitions = &told.topics[0].partitions;
        let is_told_each = stage.is_since(2, 8) && !stage.is_since(4, 0);
        assert_eq!(partitions.len(), if is_told_each { 2 } else { 1 }, "{told:?}");
        assert!(partitions.iter().all(|one| (one.error_code, one.offset) == (E::INVALID_REQUEST, -1)), "{told:?}");
        Ok(())
    }
    of_two_partitions_the_known_one_is_told: |stage| {
        stage.topic().await?;
        let partition = |index| message!(ListOffsetsPartition { partition_index: index, timestamp: LATEST });
        let partitions = vec![partition(0), partition(9)];
        let topic = message!(ListOffsetsTopic { name: stage.name.clone(), partitions: partitions });
        let ask = message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] });
        let told = answer!(ListOffsets of stage.told(Role::Leader, LIST, ask).await?);
        let mut told: Vec<_> = told.topics[0].partitions.iter().map(|p| (p.partition_index, p.error_code, p.offset)).collect();
        told.sort_unstable_by_key(|(index, ..)| *index);
        assert_eq!(told, [(0, E::NONE, 0), (9, E::UNKNOWN_TOPIC_OR_PARTITION, -1)]);
        Ok(())
    }
    a_log_begins_where_it_was_deleted_to: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        stage.append(&Batch::of(&["b"])).await?;
        assert_eq!(stage.delete_before(1).await?, (E::NONE, 1));
        assert_eq!(stage.ends().await?, (1, 2));
        Ok(())
    }
    a_log_begins_within_a_batch_that_was_deleted_in_part: |stage| {
        stage.append(&Batch::of(&["a", "b", "c"])).await?;
        assert_eq!(stage.delete_before(2).await?, (E::NONE, 2));
        assert_eq!(stage.ends().await?, (2, 3));
        assert_eq!(stage.stored(2).await?[0].base_offset, 0, "the batch is still whole");
        Ok(())
    }
    deleting_to_minus_one_deletes_everything: |stage| {
        stage.append(&Batch::of(&["a", "b", "c"])).await?;
        assert_eq!(stage.delete_before(-1).await?, (E::NONE, 3));
        assert_eq!(stage.ends().await?, (3, 3));
        Ok(())
    }
    deleting_less_than_was_deleted_changes_nothing: |stage| {
        for value in ["a", "b", "c"] {
            stage.append(&Batch::of(&[value])).await?;
        }
        stage.delete_before(2).await?;
        assert_eq!(stage.delete_before(1).await?, (E::NONE, 2));
        assert_eq!(stage.ends().await?, (2, 3));
        Ok(())
    }
    deleting_too_much_deletes_nothing: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        assert_eq!(stage.delete_before(2).await?, (E::OFFSET_OUT_OF_RANGE, -1));
        assert_eq!(stage.ends().await?, (0, 1));
        Ok(())
    }
    offsets_go_on_where_everything_was_deleted: |stage| {
        stage.append(&Batch::of(&["a", "b"])).await?;
        stage.delete_before(-1).await?;
        assert_eq!(stage.append(&Batch::of(&["c"])).await?, 2);
        assert_eq!(stage.ends().await?, (2, 3));
        Ok(())
    }
    the_leader_s_epoch_ends_where_the_log_does: |stage| {
        stage.append(&Batch::of(&["a", "b"])).await?;
        assert_eq!(end_of_epoch(stage, 0).await?, (0, 2));
        Ok(())
    }
    an_epoch_to_come_ends_nowhere: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        assert_eq!(end_of_epoch(stage, 99).await?, (-1, -1));
        Ok(())
    }
}

/// An epoch and where it ends, for the first partition.
async fn end_of_epoch(stage: &Stage, epoch: i32) -> Result<(i32, i64)> {
    let partition =
        message!(OffsetForLeaderPartition { current_leader_epoch: -1, leader_epoch: epoch });
    let topic =
        message!(OffsetForLeaderTopic { topic: stage.name.clone(), partitions: vec![partition] });
    let ask = message!(OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] });
    let told = answer!(OffsetForLeaderEpoch of stage.told(Role::Leader, EPOCHS, ask).await?);
    let one = &told.topics[0].partitions[0];
    assert_eq!(one.error_code, E::NONE, "{told:?}");
    Ok((one.leader_epoch, one.end_offset))
}
