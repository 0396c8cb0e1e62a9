//! What a consumer is left with when a call of it is dropped, at each of its polls: no record lost or handed out
//! twice, no commit gone, and the call made again works. The rest is in `cancellation`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{
    Consumer, ConsumerHandle, DeadLetter, ErrorKind, GroupMembershipOperation, PartitionStream,
    RebalanceListener, Record, Timestamp, Topic, TopicPartition,
};
use milena_broker::Broker;
use tokio::time::{Instant, timeout};

use crate::cancellation::at_each_poll;
use crate::world::{GRACE, LONG, World, drop_after, eventually, numbers, read, text};

/// Shorter than any session: who leaves by then was told to leave.
const SOON: Duration = Duration::from_secs(5);

/// Topics `t` and `u` of one partition each.
async fn world_of_two() -> World {
    World::start(Broker::builder().topic("t", 1).topic("u", 1)).await
}

/// Stores one value more in topic `t`.
async fn store(world: &World, value: impl AsRef<[u8]>) {
    let producer = world.producer().await;
    let record = Record::to("t").partition(0).value(value.as_ref());
    producer.send(record).await.unwrap();
    producer.close(GRACE).await.unwrap();
}

fn raw(count: usize) -> Option<i64> {
    i64::try_from(count).ok()
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_changed_whole_or_not_at_all() {
    let world = world_of_two().await;
    world.fill(0..3).await;
    let producer = world.producer().await;
    producer.send(Record::to("u").value("of u")).await.unwrap();
    at_each_poll(async |step| {
        let mut consumer = world.member().build().await.unwrap();
        assert_eq!(read(&mut consumer, 3).await, numbers(0..3));
        let done = drop_after(step, consumer.subscribe(["u"])).await;
        let topics = consumer.handle().subscription().await.unwrap();
        assert_eq!(topics, BTreeSet::from([Topic::from(if step == 0 { "t" } else { "u" })]));
        consumer.subscribe(["u"]).await.unwrap();
        assert_eq!(read(&mut consumer, 1).await, ["of u"]);
        consumer.close(GRACE).await.unwrap();
        assert_eq!(world.members(), 0);
        done.map(|changed| changed.unwrap()).is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn partitions_are_assigned_whole_or_not_at_all_and_what_stays_keeps_its_position() {
    let world = World::with_partitions(2).await;
    let mut written = 0;
    at_each_poll(async |step| {
        world.fill(written..written + 1).await;
        written += 1;
        let consumer = world.kafka.consumer_without_group();
        let mut consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().await.unwrap();
        let first = drop_after(step, consumer.assign([("t", 0)])).await;
        consumer.assign([("t", 0)]).await.unwrap();
        assert_eq!(read(&mut consumer, written).await, numbers(0..written));
        let second = drop_after(step, consumer.assign([("t", 0), ("t", 1)])).await;
        let count = consumer.handle().assignment().await.unwrap().len();
        assert_eq!(count, if step == 0 { 1 } else { 2 });
        world.fill(written..written + 1).await;
        written += 1;
        assert_eq!(read(&mut consumer, 1).await, numbers(written - 1..written));
        consumer.close(GRACE).await.unwrap();
        first.is_some() && second.is_some()
    })
    .await;
}

/// Counts what is given up, and takes its time for it.
struct Slow(Arc<AtomicUsize>);

impl RebalanceListener for Slow {
    async fn revoked(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.fetch_add(partitions.len(), SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_that_is_made_again_goes_on_where_it_was() {
    let world = World::with_partitions(1).await;
    let (mut written, mut rounds, revoked) = (0, 0, Arc::new(AtomicUsize::new(0)));
    let member = world.member().on_rebalance(Slow(Arc::clone(&revoked)));
    let mut consumer = member.build().await.unwrap();
    at_each_poll(async |step| {
        world.fill(written..written + 3).await;
        assert_eq!(read(&mut consumer, 3).await, numbers(written..written + 3));
        written += 3;
        consumer.commit().await.unwrap();
        let done = drop_after(step, consumer.unsubscribe()).await;
        consumer.unsubscribe().await.unwrap();
        rounds += 1;
        assert_eq!((world.members(), world.committed(0)), (0, raw(written)));
        assert_eq!(revoked.load(SeqCst), rounds, "told once, at step {step}");
        consumer.subscribe(["t"]).await.unwrap();
        done.map(|left| left.unwrap()).is_some()
    })
    .await;
    assert!(rounds > 3, "it waited for the listener and for the group");
    consumer.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_marked_is_committed_or_stays_marked() {
    let world = World::with_partitions(1).await;
    let mut consumer = world.member().build().await.unwrap();
    let (handle, mut written) = (consumer.handle(), 0);
    let mut mark = async |consumer: &mut Consumer| {
        world.fill(written..written + 1).await;
        written += 1;
        let message = consumer.try_next().await.unwrap().unwrap();
        consumer.mark(&message);
        raw(written)
    };
    at_each_poll(async |step| {
        let end = mark(&mut consumer).await;
        let done = drop_after(step, consumer.commit_marked()).await.is_some();
        assert!(!done || world.committed(0) == end);
        done
    })
    .await;
    at_each_poll(async |step| {
        mark(&mut consumer).await;
        drop_after(step, handle.commit_marked()).await.is_some()
    })
    .await;
    // The last one was dropped on its way: its mark must not be forgotten.
    let end = mark(&mut consumer).await;
    drop_after(0, handle.commit_marked()).await;
    drop_after(1, handle.commit_marked()).await;
    handle.commit_marked().await.unwrap();
    assert_eq!(world.committed(0), end);
    consumer.close(GRACE).await.unwrap();
}

/// A static member leaves only where it is told to, which no drop does.
#[tokio::test(start_paused = true)]
async fn a_close_goes_on_without_its_caller_as_it_was_asked_for() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let member = || world.member().set("group.instance.id", "static").unwrap();
    for by_handle in [false, true] {
        at_each_poll(async |step| {
            let mut consumer = member().build().await.unwrap();
            assert_eq!(read(&mut consumer, 3).await, numbers(0..3));
            let (handle, leave) = (consumer.handle(), GroupMembershipOperation::LeaveGroup);
            let begun = Instant::now();
            let done = if by_handle {
                let done = drop_after(step, handle.close_with(GRACE, leave)).await;
                if step > 0 {
                    eventually("the member leaves", || world.members() == 0).await;
                    let closed = consumer.poll(LONG).await.unwrap_err();
                    assert_eq!(closed.kind(), ErrorKind::Closed);
                }
                done
            } else {
                drop_after(step, consumer.close_with(GRACE, leave)).await
            };
            if step > 0 {
                eventually("the member leaves", || world.members() == 0).await;
                assert!(begun.elapsed() < SOON);
            }
            done.map(|closed| closed.unwrap()).is_some()
        })
        .await;
    }
    at_each_poll(async |step| {
        let consumer = world.member().build().await.unwrap();
        let handle = consumer.handle();
        let done = drop_after(step, handle.close(GRACE)).await;
        drop(consumer);
        eventually("the member leaves", || world.members() == 0).await;
        done.map(|closed| closed.unwrap()).is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_is_asked_for_once_a_call() {
    let world = World::with_partitions(1).await;
    let generation = || world.broker.group("g").unwrap().generation.unwrap();
    let mut consumer = world.member().build().await.unwrap();
    let (handle, mut written) = (consumer.handle(), 0);
    at_each_poll(async |step| {
        world.fill(written..written + 1).await;
        assert_eq!(read(&mut consumer, 1).await, numbers(written..written + 1));
        written += 1;
        consumer.commit().await.unwrap();
        let before = generation();
        let done = drop_after(step, handle.enforce_rebalance("on purpose")).await;
        assert!(consumer.poll(SOON).await.unwrap().is_empty());
        assert_eq!(generation() != before, step > 0, "at step {step}");
        done.map(|asked| asked.unwrap()).is_some()
    })
    .await;
    assert_eq!(world.committed(0), raw(written));
}

#[tokio::test(start_paused = true)]
async fn more_questions_of_a_consumer_can_be_asked_again() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 3).await, numbers(0..3));
    let (handle, times) = (consumer.handle(), [(("t", 0), Timestamp::from_millis(0))]);
    at_each_poll(async |step| drop_after(step, handle.subscription()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.group_metadata()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.offsets_for_times(times)).await.is_some())
        .await;
    assert_eq!(handle.subscription().await.unwrap(), BTreeSet::from([Topic::from("t")]));
    handle.group_metadata().await.unwrap();
    let found = handle.offsets_for_times(times).await.unwrap();
    assert_eq!(found.values().map(|found| found.offset.get()).collect::<Vec<_>>(), [0]);
    world.fill(3..4).await;
    assert_eq!(read(&mut consumer, 1).await, numbers(3..4));
}

async fn stream(consumer: &mut Consumer) -> PartitionStream {
    timeout(LONG, consumer.next_partition()).await.expect("a partition").unwrap().unwrap()
}

async fn next(stream: &mut PartitionStream) -> String {
    let next = timeout(LONG, stream.try_next()).await.expect("a record").unwrap();
    text(next.unwrap().value())
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_waited_for_is_handed_to_the_next_who_does() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    at_each_poll(async |step| {
        let mut consumer = world.member().build().await.unwrap();
        let waited = drop_after(step, consumer.next_partition()).await;
        let is_done = waited.is_some();
        let mut stream = match waited {
            Some(found) => found.unwrap().unwrap(),
            None => stream(&mut consumer).await,
        };
        for number in numbers(0..3) {
            assert_eq!(next(&mut stream).await, number, "at step {step}");
        }
        drop(stream);
        consumer.close(GRACE).await.unwrap();
        is_done
    })
    .await;
}

/// The records come while they are waited for, so that there is something to drop.
#[tokio::test(start_paused = true)]
async fn a_stream_of_one_partition_hands_each_record_out_once() {
    let world = World::with_partitions(1).await;
    let mut consumer = world.member().build().await.unwrap();
    let mut stream = stream(&mut consumer).await;
    let (mut written, mut seen) = (0, Vec::new());
    at_each_poll(async |step| {
        let filling = world.fill(written..written + 2);
        let (one, ()) = tokio::join!(drop_after(step, stream.try_next()), filling);
        seen.extend(one.iter().map(|one| text(one.as_ref().unwrap().as_ref().unwrap().value())));
        while seen.len() < written + 2 {
            seen.push(next(&mut stream).await);
        }
        written += 2;
        let filling = world.fill(written..written + 2);
        let (many, ()) = tokio::join!(drop_after(step, stream.next_batch()), filling);
        let batch = many.as_ref().map(|batch| batch.as_ref().unwrap().as_ref().unwrap());
        seen.extend(batch.into_iter().flatten().map(|message| text(message.value())));
        while seen.len() < written + 2 {
            seen.push(next(&mut stream).await);
        }
        written += 2;
        assert_eq!(seen, numbers(0..written), "at step {step}");
        one.is_some() && many.is_some()
    })
    .await;
    assert!(written > 8, "they were waited for");
}

#[tokio::test(start_paused = true)]
async fn commits_of_a_stream_go_on_without_their_caller() {
    let world = World::with_partitions(1).await;
    let mut consumer = world.member().build().await.unwrap();
    let (mut stream, mut written) = (stream(&mut consumer).await, 0);
    at_each_poll(async |step| {
        world.fill(written..written + 2).await;
        next(&mut stream).await;
        let first = drop_after(step, stream.commit()).await;
        assert!(first.is_none() || world.committed(0) == raw(written + 1));
        let message = stream.try_next().await.unwrap().unwrap();
        stream.mark(&message);
        let second = drop_after(step, stream.commit_marked()).await;
        assert!(second.is_none() || world.committed(0) == raw(written + 2));
        written += 2;
        first.is_some() && second.is_some()
    })
    .await;
    assert_eq!(world.committed(0), raw(written));
    let journal = world.broker.journal();
    let taken: Vec<_> = journal.commits().map(|commit| commit.committed.offset.get()).collect();
    assert!(taken.is_sorted(), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn poison_is_neither_passed_over_nor_met_again_once_it_is_skipped() {
    let world = World::with_partitions(1).await;
    let mut consumer = world.member().build().await.unwrap().typed::<(), i32>();
    let mut rounds = 0;
    at_each_poll(async |step| {
        rounds += 1;
        let storing = async {
            store(&world, b"poison").await;
            store(&world, i32::to_be_bytes(rounds)).await;
        };
        let (tried, ()) = tokio::join!(drop_after(step, consumer.try_next()), storing);
        let is_tried = tried.is_some();
        match tried {
            Some(met) => drop(met.unwrap_err()),
            None => drop(consumer.try_next().await.unwrap_err()),
        }
        let skipped = drop_after(step, consumer.skip_poison()).await;
        let mut next = consumer.try_next().await;
        if next.is_err() {
            consumer.skip_poison().await.unwrap();
            next = consumer.try_next().await;
        }
        assert_eq!(next.unwrap().unwrap().value(), Some(&rounds), "at step {step}");
        consumer.handle().commit().await.unwrap();
        assert_eq!(world.committed(0), Some(2 * i64::from(rounds)));
        is_tried && skipped.is_some()
    })
    .await;
    consumer.close(GRACE).await.unwrap();
}

/// A letter may be written twice, and never not at all.
#[tokio::test(start_paused = true)]
async fn each_poison_record_has_its_letter_and_each_letter_is_sent_once_a_call() {
    let world = World::start(Broker::builder().topic("t", 1).topic("dlq", 1)).await;
    let letters = || world.broker.records("dlq", 0);
    let mut rounds = 0;
    at_each_poll(async |step| {
        rounds += 1;
        store(&world, format!("poison {rounds}")).await;
        store(&world, i32::to_be_bytes(rounds)).await;
        // Fresh, so that it must wait for the topic.
        let producer = world.producer().await;
        let consumer = world.member().build().await.unwrap().typed::<(), i32>();
        let mut consumer = consumer.on_poison(DeadLetter::to("dlq", &producer));
        let tried = drop_after(step, consumer.try_next()).await;
        let is_tried = tried.is_some();
        let good = match tried {
            Some(good) => good.unwrap().unwrap(),
            None => consumer.try_next().await.unwrap().unwrap(),
        };
        assert_eq!(good.value(), Some(&rounds), "at step {step}");
        let poison = format!("poison {rounds}");
        assert!(letters().iter().any(|one| text(one.value.as_deref()) == poison));
        let before = letters().len();
        let (writer, reason) = (world.producer().await, std::io::Error::other("no reason"));
        let own = DeadLetter::to("dlq", &writer);
        let sent = drop_after(step, own.send(good.message(), &reason)).await;
        writer.close(GRACE).await.unwrap();
        let sent = sent.map(|stored| stored.unwrap()).is_some();
        let added = letters().len() - before;
        assert!(added == 1 || added == 0 && !sent, "{added} at step {step}");
        consumer.handle().commit().await.unwrap();
        let closed = drop_after(step, consumer.close(GRACE)).await;
        let begun = Instant::now();
        eventually("the member leaves", || world.members() == 0).await;
        assert!(begun.elapsed() < SOON);
        assert_eq!(world.committed(0), Some(2 * i64::from(rounds)));
        is_tried && sent && closed.is_some()
    })
    .await;
}
