//! Transactions of the first protocol, by hand: who is who, what is seen when, and what is written of an end.

use milena_types::ErrorCode as E;
use milena_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use milena_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use milena_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use milena_wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    OffsetFetchRequest, TxnOffsetCommitRequest,
};
use tokio::time::sleep;

use super::answers;
use super::log::{CONTROL, PRODUCE, Stored, TRANSACTIONAL, batches};
use crate::Result;
use crate::raw::{Batch, message};
use crate::scenarios::stage::{PAUSE, Producer, Role, Stage, answer};

const INIT: i16 = 1;
const ADD: i16 = 1;
const END: i16 = 1;
const COMMIT: i16 = 2;

answers! { "transactions", |_| true;
    an_id_that_is_new_begins_at_epoch_0: |stage| {
        assert_eq!(stage.producer().await?.epoch, 0);
        Ok(())
    }
    an_id_that_is_known_keeps_its_producer_in_the_next_epoch: |stage| {
        let first = stage.producer().await?;
        let next = stage.producer().await?;
        assert_eq!((next.id, next.epoch), (first.id, first.epoch + 1));
        Ok(())
    }
    two_ids_have_two_producers: |stage| {
        let other = Stage::new(std::sync::Arc::clone(&stage.on), "transactions-other");
        assert_ne!(stage.producer().await?.id, other.producer().await?.id);
        Ok(())
    }
    producers_without_an_id_are_each_new: |stage| {
        let ask = message!(InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 60_000 });
        let first = answer!(InitProducerId of stage.told(Role::Any, INIT, ask.clone()).await?);
        let second = answer!(InitProducerId of stage.told(Role::Any, INIT, ask).await?);
        assert_eq!((first.producer_epoch, second.producer_epoch), (0, 0));
        assert_ne!(first.producer_id, second.producer_id);
        Ok(())
    }
    of_partitions_of_which_one_is_unknown_none_is_added: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        let mut ask = add(stage, producer);
        ask.v3_and_below_topics[0].partitions.push(9);
        let told = answer!(AddPartitionsToTxn of stage.told(Role::Transactions, ADD, ask).await?);
        let mut told: Vec<_> = told.results_by_topic_v3_and_below.iter()
            .flat_map(|topic| &topic.results_by_partition)
            .map(|one| (one.partition_index, one.partition_error_code)).collect();
        told.sort_unstable_by_key(|(index, _)| *index);
        assert_eq!(told, [(0, E::OPERATION_NOT_ATTEMPTED), (9, E::UNKNOWN_TOPIC_OR_PARTITION)]);
        stage.transactions(END, end(stage, producer, true), E::INVALID_TXN_STATE).await
    }
    a_partition_is_added_twice_without_an_error: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        stage.transactions(ADD, add(stage, producer), E::NONE).await?;
        stage.transactions(ADD, add(stage, producer), E::NONE).await
    }
    an_open_one_holds_the_stable_end_back: |stage| {
        stage.append(&Batch::of(&["before"])).await?;
        begin(stage).await?;
        stage.append(&Batch::of(&["behind"])).await?;
        let told = stage.fetched(stage.fetching(&[(0, 0)])).await?;
        assert_eq!((told.last_stable_offset, told.high_watermark), (1, 3));
        assert_eq!(batches(&told).len(), 3, "to whoever reads everything");
        Ok(())
    }
    an_open_one_is_kept_from_whoever_reads_what_is_committed: |stage| {
        stage.append(&Batch::of(&["before"])).await?;
        begin(stage).await?;
        stage.append(&Batch::of(&["behind"])).await?;
        let mut ask = stage.fetching(&[(0, 0)]);
        ask.isolation_level = 1;
        let offsets: Vec<_> = batches(&stage.fetched(ask).await?).iter().map(|b| b.base_offset).collect();
        assert_eq!(offsets, [0]);
        Ok(())
    }
    a_commit_writes_a_marker_behind_the_records: |stage| {
        let producer = begin(stage).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        let stored = settled(stage, 2).await?;
        assert!(is_marker_of(&stored[1], producer, 1), "{stored:?}");
        assert_eq!(stage.ends().await?, (0, 2), "with an offset of its own");
        Ok(())
    }
    an_abort_writes_another_marker: |stage| {
        let producer = begin(stage).await?;
        stage.transactions(END, end(stage, producer, false), E::NONE).await?;
        let stored = settled(stage, 2).await?;
        assert!(is_marker_of(&stored[1], producer, 0), "{stored:?}");
        Ok(())
    }
    what_was_committed_is_on_no_list: |stage| {
        let producer = begin(stage).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        settled(stage, 2).await?;
        assert_eq!(aborted(stage, 0, 1).await?, Some(vec![]));
        Ok(())
    }
    what_was_aborted_is_listed_with_its_first_offset: |stage| {
        stage.append(&Batch::of(&["before"])).await?;
        let producer = begin(stage).await?;
        stage.transactions(END, end(stage, producer, false), E::NONE).await?;
        settled(stage, 3).await?;
        assert_eq!(aborted(stage, 0, 1).await?, Some(vec![(producer.id, 1)]));
        Ok(())
    }
    what_was_aborted_is_not_listed_behind_its_marker: |stage| {
        let producer = begin(stage).await?;
        stage.transactions(END, end(stage, producer, false), E::NONE).await?;
        settled(stage, 2).await?;
        stage.append(&Batch::of(&["behind"])).await?;
        assert_eq!(aborted(stage, 2, 1).await?, Some(vec![]));
        Ok(())
    }
    whoever_reads_everything_gets_no_list: |stage| {
        let producer = begin(stage).await?;
        stage.transactions(END, end(stage, producer, false), E::NONE).await?;
        settled(stage, 2).await?;
        assert_eq!(aborted(stage, 0, 0).await?, None);
        Ok(())
    }
    of_two_at_once_the_first_to_begin_holds_the_end_back: |stage| {
        let first = begin(stage).await?;
        let other = Stage::new(std::sync::Arc::clone(&stage.on), "transactions-other");
        let second = other.producer().await?;
        let mut ask = add(stage, second);
        ask.v3_and_below_transactional_id = other.name.clone();
        other.transactions(ADD, ask, E::NONE).await?;
        let mut ask = stage.producing(&[(0, &of(second, 0))]);
        ask.transactional_id = Some(other.name.clone());
        stage.leader(PRODUCE, ask, E::NONE).await?;
        let mut ask = end(stage, second, true);
        ask.transactional_id = other.name.clone();
        other.transactions(END, ask, E::NONE).await?;
        while stage.stored(0).await?.len() < 3 {
            sleep(PAUSE).await;
        }
        let told = stage.fetched(stage.fetching(&[(0, 0)])).await?;
        assert_eq!((told.last_stable_offset, told.high_watermark), (0, 3));
        stage.transactions(END, end(stage, first, true), E::NONE).await?;
        settled(stage, 4).await.map(drop)
    }
    a_second_producer_aborts_what_the_first_left_open: |stage| {
        let first = begin(stage).await?;
        let second = stage.producer().await?;
        let stored = settled(stage, 2).await?;
        assert!(stored[1].attributes & CONTROL != 0 && stored[1].producer_id == first.id, "{stored:?}");
        assert_eq!(aborted(stage, 0, 1).await?, Some(vec![(first.id, 0)]));
        assert!(second.epoch > first.epoch);
        Ok(())
    }
    whoever_was_fenced_ends_nothing_of_the_next: |stage| {
        let first = stage.producer().await?;
        let second = begin(stage).await?;
        stage.transactions(END, end(stage, first, false), E::INVALID_PRODUCER_EPOCH).await?;
        stage.transactions(END, end(stage, second, true), E::NONE).await?;
        let stored = settled(stage, 2).await?;
        assert!(is_marker_of(&stored[1], second, 1), "{stored:?}");
        Ok(())
    }
    whoever_was_fenced_writes_no_more_once_the_next_has: |stage| {
        let first = begin(stage).await?;
        let second = begin(stage).await?;
        let mut ask = stage.producing(&[(0, &of(first, 1))]);
        ask.transactional_id = Some(stage.name.clone());
        stage.leader(PRODUCE, ask, E::INVALID_PRODUCER_EPOCH).await?;
        stage.transactions(END, end(stage, second, true), E::NONE).await?;
        // The first's record and its abort, the second's record and its commit.
        settled(stage, 4).await.map(drop)
    }
    of_one_without_records_nothing_but_the_marker_is_written: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        stage.transactions(ADD, add(stage, producer), E::NONE).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        let stored = settled(stage, 1).await?;
        assert!(is_marker_of(&stored[0], producer, 1), "{stored:?}");
        Ok(())
    }
    offsets_are_seen_when_it_is_committed: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        commit_offset(stage, producer, 5).await?;
        assert_eq!(committed(stage).await?, -1);
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        while committed(stage).await? != 5 {
            sleep(PAUSE).await;
        }
        Ok(())
    }
    offsets_are_not_seen_when_it_is_aborted: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        commit_offset(stage, producer, 5).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        while committed(stage).await? != 5 {
            sleep(PAUSE).await;
        }
        commit_offset(stage, producer, 9).await?;
        stage.transactions(END, end(stage, producer, false), E::NONE).await?;
        // What comes after it is seen, so that it would be too.
        commit_offset(stage, producer, 6).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        loop {
            match committed(stage).await? {
                5 => sleep(PAUSE).await,
                told => break assert_eq!(told, 6),
            }
        }
        Ok(())
    }
    the_producer_writes_the_next_in_the_same_epoch: |stage| {
        let producer = begin(stage).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        settled(stage, 2).await?;
        stage.transactions(ADD, add(stage, producer), E::NONE).await?;
        let mut ask = stage.producing(&[(0, &of(producer, 1))]);
        ask.transactional_id = Some(stage.name.clone());
        stage.leader(PRODUCE, ask, E::NONE).await?;
        stage.transactions(END, end(stage, producer, false), E::NONE).await?;
        settled(stage, 4).await?;
        assert_eq!(aborted(stage, 0, 1).await?, Some(vec![(producer.id, 2)]));
        Ok(())
    }
}

/// Begins a transaction of a producer that is new to the topic's log, with one record.
async fn begin(stage: &mut Stage) -> Result<Producer> {
    stage.topic().await?;
    let producer = stage.producer().await?;
    stage.transactions(ADD, add(stage, producer), E::NONE).await?;
    let mut ask = stage.producing(&[(0, &of(producer, 0))]);
    ask.transactional_id = Some(stage.name.clone());
    stage.leader(PRODUCE, ask, E::NONE).await?;
    Ok(producer)
}

/// One record of a transaction.
fn of(producer: Producer, sequence: i32) -> Batch {
    let batch = Batch { attributes: TRANSACTIONAL, ..Batch::of(&["x"]) };
    batch.of_producer(producer.id, producer.epoch, sequence)
}

/// The batches once there are so many and no transaction is open: markers are written after the answer.
async fn settled(stage: &mut Stage, count: usize) -> Result<Vec<Stored>> {
    loop {
        let told = stage.fetched(stage.fetching(&[(0, 0)])).await?;
        let stored = batches(&told);
        if stored.len() >= count && told.last_stable_offset == told.high_watermark {
            assert_eq!(stored.len(), count);
            return Ok(stored);
        }
        sleep(PAUSE).await;
    }
}

/// Whether a batch is this producer's marker: 1 commits, 0 aborts.
fn is_marker_of(stored: &Stored, producer: Producer, kind: u8) -> bool {
    // Length, attributes, delta of time and of offset, length of the key; then version and kind, two bytes each.
    let key = stored.records.get(5..9);
    stored.attributes & (CONTROL | TRANSACTIONAL) == CONTROL | TRANSACTIONAL
        && (stored.producer_id, stored.producer_epoch) == (producer.id, producer.epoch)
        && key == Some(&[0, 0, 0, kind][..])
}

/// The list of aborted transactions that comes with what is read from `offset` on.
async fn aborted(stage: &mut Stage, offset: i64, isolation: i8) -> Result<Option<Vec<(i64, i64)>>> {
    let mut ask = stage.fetching(&[(0, offset)]);
    ask.isolation_level = isolation;
    let told = stage.fetched(ask).await?;
    let list = told.aborted_transactions;
    Ok(list.map(|list| list.iter().map(|one| (one.producer_id, one.first_offset)).collect()))
}

fn add(stage: &Stage, producer: Producer) -> AddPartitionsToTxnRequest {
    let topic = message!(AddPartitionsToTxnTopic { name: stage.name.clone(), partitions: vec![0] });
    message!(AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: stage.name.clone(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![topic],
    })
}

fn end(stage: &Stage, producer: Producer, committed: bool) -> EndTxnRequest {
    message!(EndTxnRequest {
        transactional_id: stage.name.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed: committed,
    })
}

/// Has an offset of the topic's first partition wait for the end of the transaction.
async fn commit_offset(stage: &Stage, producer: Producer, offset: i64) -> Result {
    let ask = message!(AddOffsetsToTxnRequest {
        transactional_id: stage.name.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: stage.name.clone(),
    });
    stage.transactions(ADD, ask, E::NONE).await?;
    let partition = message!(TxnOffsetCommitRequestPartition { committed_offset: offset });
    let topic = message!(TxnOffsetCommitRequestTopic {
        name: stage.name.clone(),
        partitions: vec![partition],
    });
    let ask = message!(TxnOffsetCommitRequest {
        transactional_id: stage.name.clone(),
        group_id: stage.name.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![topic],
    });
    stage.coordinator(COMMIT, ask, E::NONE).await
}

/// What is committed of the topic's first partition, open transactions aside.
async fn committed(stage: &Stage) -> Result<i64> {
    let topic =
        message!(OffsetFetchRequestTopic { name: stage.name.clone(), partition_indexes: vec![0] });
    let topics = Some(vec![topic]);
    let ask = message!(OffsetFetchRequest { group_id: stage.name.clone(), topics: topics });
    let told = answer!(OffsetFetch of stage.told(Role::Coordinator, 5, ask).await?);
    Ok(told.topics[0].partitions[0].committed_offset)
}
