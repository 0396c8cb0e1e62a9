//! One stream for each partition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{Consumer, ErrorKind, Message, Offset, PartitionStream, Record};
use tokio::time::timeout;

use crate::world::{GRACE, LONG, World, eventually, numbers, text};

/// Stores the numbers of `range` in each of `partitions`.
async fn fill(world: &World, partitions: i32, range: std::ops::Range<usize>) {
    let producer = world.producer().await;
    for number in range {
        for partition in 0..partitions {
            let record = Record::to("t").partition(partition).value(number.to_string());
            let _delivery = producer.send(record).enqueue().await.unwrap();
        }
    }
    producer.close(GRACE).await.unwrap();
}

async fn stream(consumer: &mut Consumer) -> PartitionStream {
    timeout(LONG, consumer.next_partition()).await.expect("a partition").unwrap().unwrap()
}

async fn next(stream: &mut PartitionStream) -> Message {
    timeout(LONG, stream.try_next()).await.expect("a record").unwrap().unwrap()
}

async fn take(stream: &mut PartitionStream, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        values.push(text(next(stream).await.value()));
    }
    values
}

/// What the workers of one member have read, by partition.
type Log = Arc<Mutex<BTreeMap<i32, Vec<String>>>>;

/// Reads until the partition is gone, and commits what it did then.
async fn work(mut stream: PartitionStream, log: Log) {
    let partition = stream.topic_partition().partition;
    while let Some(message) = stream.try_next().await.unwrap() {
        log.lock().unwrap().entry(partition).or_default().push(text(message.value()));
        stream.mark(&message);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stream.commit_marked().await.unwrap();
}

/// Gives every partition a worker until the consumer is closed.
fn crew(mut consumer: Consumer) -> (Log, tokio::task::JoinHandle<()>) {
    let log = Log::default();
    let workers = log.clone();
    let crew = tokio::spawn(async move {
        while let Some(stream) = consumer.next_partition().await.unwrap() {
            tokio::spawn(work(stream, workers.clone()));
        }
    });
    (log, crew)
}

fn generation(world: &World) -> Option<milena::Generation> {
    world.broker.group("g")?.generation
}

fn count(log: &Log) -> usize {
    log.lock().unwrap().values().map(Vec::len).sum()
}

#[tokio::test(start_paused = true)]
async fn every_partition_is_read_in_order_by_its_own_stream() {
    let world = World::with_partitions(3).await;
    fill(&world, 3, 0..1200).await;
    let consumer = world.member().build().await.unwrap();
    let handle = consumer.handle();
    let (log, crew) = crew(consumer);
    eventually("all is read", || count(&log) == 3600).await;
    let expected: BTreeMap<_, _> = (0..3).map(|one| (one, numbers(0..1200))).collect();
    assert_eq!(*log.lock().unwrap(), expected);
    handle.close(GRACE).await.unwrap();
    crew.await.unwrap();
}

/// With a buffer for a few batches only: whoever stands still must not fill it.
#[tokio::test(start_paused = true)]
async fn a_reader_that_stands_still_holds_up_no_other() {
    let world = World::with_partitions(3).await;
    let producer = world.producer().await;
    for number in 0..600 {
        for partition in 0..3 {
            let record = Record::to("t").partition(partition).header("n", number.to_string());
            let record = record.value(vec![b'x'; 4096]);
            let _delivery = producer.send(record).enqueue().await.unwrap();
        }
    }
    producer.close(GRACE).await.unwrap();
    let small = world.member().fetch_max_bytes(128 << 10).max_partition_fetch_bytes(64 << 10);
    let mut consumer = small.build().await.unwrap();
    let (_first, _second) = (stream(&mut consumer).await, stream(&mut consumer).await);
    let mut third = stream(&mut consumer).await;
    for expected in 0..600 {
        assert_eq!(next(&mut third).await.offset().get(), expected);
    }
    assert_eq!(third.lag(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_goes_to_another_member_is_read_once() {
    goes_to_another("classic").await;
}

/// Here the other partition's stream goes on meanwhile.
#[tokio::test(start_paused = true)]
async fn a_partition_that_is_reconciled_is_read_once() {
    goes_to_another("consumer").await;
}

async fn goes_to_another(protocol: &str) {
    let world = World::with_partitions(2).await;
    fill(&world, 2, 0..400).await;
    let member = || world.member().set("group.protocol", protocol).unwrap();
    let (first, crew_of_first) = crew(member().build().await.unwrap());
    eventually("the first reads", || count(&first) > 20).await;
    let second = member().build().await.unwrap();
    let handle = second.handle();
    let (second, crew_of_second) = crew(second);
    eventually("both read", || count(&second) > 20).await;
    eventually("all is read", || count(&first) + count(&second) >= 800).await;
    let mut read: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for log in [&first, &second] {
        for (partition, values) in &*log.lock().unwrap() {
            let values = values.iter().map(|value| value.parse::<usize>().unwrap());
            read.entry(*partition).or_default().extend(values);
        }
    }
    for values in read.values_mut() {
        values.sort_unstable();
        assert_eq!(*values, (0..400).collect::<Vec<_>>());
    }
    handle.close(GRACE).await.unwrap();
    crew_of_second.await.unwrap();
    crew_of_first.abort();
}

/// What was fetched and is another member's by now would be read twice.
#[tokio::test(start_paused = true)]
async fn nothing_is_handed_out_of_a_partition_that_is_revoked() {
    let world = World::with_partitions(1).await;
    fill(&world, 1, 0..100).await;
    let mut consumer = world.member().build().await.unwrap();
    let mut stream = stream(&mut consumer).await;
    assert_eq!(take(&mut stream, 10).await, numbers(0..10));
    let before = generation(&world);
    let other = world.kafka.consumer("g").subscribe(["t"]).build().await.unwrap();
    let rebalance = tokio::spawn(async move {
        // Waits for the stream's reader, and then has nothing more, or the same partition anew.
        let again = timeout(Duration::from_secs(20), consumer.next_partition()).await;
        (consumer, again.is_ok())
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(stream.try_next().await.unwrap().is_none(), "90 records wait in vain");
    assert!(stream.try_next().await.unwrap().is_none());
    assert_eq!(generation(&world), before, "the group waits for the reader");
    stream.commit().await.unwrap();
    assert_eq!(world.committed(0), Some(10));
    drop(stream);
    eventually("the group goes on", || generation(&world) != before).await;
    let (consumer, _) = rebalance.await.unwrap();
    drop((consumer, other));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_given_up_comes_again_with_what_was_in_hand() {
    let world = World::with_partitions(1).await;
    fill(&world, 1, 0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    let mut first = stream(&mut consumer).await;
    assert_eq!(take(&mut first, 4).await, numbers(0..4));
    drop(first);
    let mut second = stream(&mut consumer).await;
    assert_eq!(take(&mut second, 7).await, numbers(3..10), "3 was in hand");
    assert_eq!(second.position(), Offset::new(10));
}

/// Handed out again, it would be worked off twice, and the next automatic commit would take the group back to it.
#[tokio::test(start_paused = true)]
async fn what_a_stream_has_committed_does_not_come_again() {
    let world = World::with_partitions(1).await;
    fill(&world, 1, 0..10).await;
    let member = world.member().enable_auto_commit(true);
    let mut consumer = member.auto_commit_interval(Duration::from_secs(1)).build().await.unwrap();
    let mut first = stream(&mut consumer).await;
    assert_eq!(take(&mut first, 5).await, numbers(0..5));
    first.commit().await.unwrap();
    drop(first);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.committed(0), Some(5));
    let mut second = stream(&mut consumer).await;
    assert_eq!(take(&mut second, 2).await, numbers(5..7));
}

/// Whoever gave up waiting and asks again must not leave the group over the head of who still works.
#[tokio::test(start_paused = true)]
async fn an_unsubscribe_that_was_dropped_waits_for_the_streams_all_the_same() {
    let world = World::with_partitions(1).await;
    fill(&world, 1, 0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    let mut stream = stream(&mut consumer).await;
    assert_eq!(take(&mut stream, 4).await, numbers(0..4));
    for _ in 0..3 {
        let unsubscribe = timeout(Duration::from_secs(10), consumer.unsubscribe());
        assert!(unsubscribe.await.is_err(), "a stream is still there");
    }
    assert!(stream.try_next().await.unwrap().is_none());
    stream.commit().await.unwrap();
    drop(stream);
    timeout(GRACE, consumer.unsubscribe()).await.unwrap().unwrap();
    assert_eq!((world.committed(0), world.members()), (Some(4), 0));
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_waits_for_a_stream_no_longer_than_a_rebalance_does() {
    let world = World::with_partitions(1).await;
    let mut consumer = world.member().build().await.unwrap();
    let _kept = stream(&mut consumer).await;
    timeout(LONG, consumer.unsubscribe()).await.expect("half of max.poll.interval.ms").unwrap();
    assert_eq!(world.members(), 0);
}

#[tokio::test(start_paused = true)]
async fn automatic_commits_cover_what_the_reader_came_back_for() {
    let world = World::with_partitions(1).await;
    fill(&world, 1, 0..10).await;
    let member = world.member().enable_auto_commit(true);
    let mut consumer = member.auto_commit_interval(Duration::from_secs(1)).build().await.unwrap();
    let mut stream = stream(&mut consumer).await;
    assert_eq!(take(&mut stream, 5).await.len(), 5);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.committed(0), Some(4));
    drop(stream);
    consumer.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(4));
}

#[tokio::test(start_paused = true)]
async fn close_ends_the_streams_and_waits_for_their_last_commit() {
    let world = World::with_partitions(2).await;
    fill(&world, 2, 0..100).await;
    let mut consumer = world.member().build().await.unwrap();
    let log = Log::default();
    for _ in 0..2 {
        tokio::spawn(work(stream(&mut consumer).await, log.clone()));
    }
    eventually("they read", || count(&log) > 50).await;
    consumer.close(GRACE).await.unwrap();
    let log = log.lock().unwrap();
    for (partition, values) in &*log {
        assert_eq!(world.committed(*partition), i64::try_from(values.len()).ok(), "{partition}");
    }
    assert_eq!(world.members(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_about_one_partition_is_told_by_its_stream() {
    let world = World::with_partitions(2).await;
    fill(&world, 2, 0..3).await;
    let member = world.member().auto_offset_reset(OffsetReset::None);
    let mut consumer = member.build().await.unwrap();
    let mut streams = [stream(&mut consumer).await, stream(&mut consumer).await];
    for stream in &mut streams {
        let error = stream.try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoOffset);
        assert_eq!(error.topic_partition().as_ref(), Some(stream.topic_partition()));
        let partition = stream.topic_partition().clone();
        stream.handle().seek(partition, Offset::ZERO.next()).await.unwrap();
        assert_eq!(take(stream, 2).await, ["1", "2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn records_are_handed_out_in_one_way_only() {
    let world = World::with_partitions(1).await;
    fill(&world, 1, 0..1000).await;
    let mut consumer = world.reader().await;
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 500);
    let mut stream = stream(&mut consumer).await;
    let batch = stream.next_batch().await.unwrap().unwrap();
    let values: Vec<_> = batch.iter().map(|message| text(message.value())).collect();
    assert_eq!(values, numbers(500..1000));
    assert_eq!(consumer.poll(LONG).await.unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(consumer.try_next().await.unwrap_err().kind(), ErrorKind::Misuse);
}
