//! What is committed, and above all what is not.

use std::time::Duration;

use milena::{Batch, CommittedOffset, Consumer, ErrorKind, Mark, Offset, Record};
use milena_broker::{FaultRule, on};
use milena_types::{ApiKey, ErrorCode};

use crate::world::{GRACE, LONG, World, eventually, numbers, read};

fn offset(raw: i64) -> Offset {
    Offset::new(raw).unwrap()
}

/// The group's commits for partition 0 in the order in which they were taken.
fn taken(world: &World) -> Vec<i64> {
    let journal = world.broker.journal();
    journal.commits().map(|commit| commit.committed.offset.get()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_group_goes_on_where_it_committed() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut first = world.member().max_poll_records(4).build().await.unwrap();
    let batch = first.poll(LONG).await.unwrap();
    assert_eq!(batch.len(), 4);
    batch.commit().await.unwrap();
    assert_eq!(world.committed(0), Some(4));
    assert_eq!(first.poll(LONG).await.unwrap().len(), 4);
    first.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(4), "close commits nothing when automatic commits are off");

    let mut second = world.member().build().await.unwrap();
    assert_eq!(read(&mut second, 6).await, numbers(4..10));
}

/// Going back is a user's right: only commits of one's own that were overtaken may be dropped.
#[tokio::test(start_paused = true)]
async fn commits_of_two_five_two_leave_two() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 10).await.len(), 10);
    for wanted in [2, 5, 2] {
        consumer.commit_offsets([(("t", 0), offset(wanted))]).await.unwrap();
        assert_eq!(world.committed(0), Some(wanted));
    }
    assert_eq!(taken(&world), [2, 5, 2]);
    consumer.close(GRACE).await.unwrap();
    let mut next = world.member().build().await.unwrap();
    assert_eq!(read(&mut next, 8).await, numbers(2..10));
}

#[tokio::test(start_paused = true)]
async fn automatic_commits_leave_out_what_is_in_hand() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let member = world.member().enable_auto_commit(true).max_poll_records(4);
    let mut consumer = member.auto_commit_interval(Duration::from_secs(1)).build().await.unwrap();
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 4);
    // Many intervals go by while the user works on the first four.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.committed(0).unwrap_or(0), 0);
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 4);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.committed(0), Some(4));
    assert!(taken(&world).iter().all(|offset| *offset <= 4), "{:?}", taken(&world));
    consumer.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(8));
}

/// A crash: what was in hand comes again.
#[tokio::test(start_paused = true)]
async fn a_dropped_consumer_does_not_commit_what_is_in_hand() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let member = world.member().enable_auto_commit(true).max_poll_records(4);
    let mut consumer = member.build().await.unwrap();
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 4);
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 4);
    drop(consumer);
    tokio::time::sleep(LONG).await;
    assert_eq!(world.members(), 0);
    assert!(world.committed(0).unwrap_or(0) <= 4, "{:?}", world.committed(0));
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_tried_again_while_its_error_may_pass() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 10).await.len(), 10);
    let commits = on(ApiKey::OFFSET_COMMIT);
    world.broker.add_fault(commits.clone().nth(1).error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    world.broker.add_fault(commits.clone().nth(2).error(ErrorCode::NOT_COORDINATOR));
    world.broker.add_fault(commits.nth(3).apply_then_drop());
    consumer.commit().await.unwrap();
    assert_eq!(world.committed(0), Some(10));
    assert!(taken(&world).iter().all(|offset| *offset == 10));
}

#[tokio::test(start_paused = true)]
async fn marked_records_alone_are_committed() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    for number in 0..6 {
        let message = consumer.try_next().await.unwrap().unwrap();
        if number < 3 {
            consumer.mark(&message);
        }
    }
    consumer.commit_marked().await.unwrap();
    assert_eq!(world.committed(0), Some(3));
    consumer.commit_marked().await.unwrap();
    assert_eq!(taken(&world), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_without_a_group_has_nothing_to_commit_to() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut consumer = world.reader().await;
    assert_eq!(read(&mut consumer, 3).await.len(), 3);
    assert_eq!(consumer.commit().await.unwrap_err().kind(), ErrorKind::Misuse);
    consumer.close(GRACE).await.unwrap();
    assert!(world.broker.requests(ApiKey::OFFSET_COMMIT).is_empty());
}

/// Records of partition 1 that a member had in hand when the partition went to another, who has committed further on.
async fn moved(world: &World) -> (Consumer, Batch, Consumer) {
    let producer = world.producer().await;
    for number in 0..20 {
        let record = Record::to("t").partition(number % 2).value(number.to_string());
        producer.send(record).await.unwrap();
    }
    let mut first = world.member().build().await.unwrap();
    let batch = first.poll(LONG).await.unwrap();
    assert!(batch.partitions().any(|partition| partition.partition == 1), "{batch:?}");
    let mut second = world.member().build().await.unwrap();
    loop {
        let (_, read) = tokio::join!(first.poll(GRACE), second.poll(GRACE));
        let read = read.unwrap();
        if !read.is_empty() {
            assert_eq!(read.len(), 10);
            read.commit().await.unwrap();
            return (first, batch, second);
        }
    }
}

/// The coordinator knows generations only: the first member's is right, and the group would go back.
#[tokio::test(start_paused = true)]
async fn a_batch_of_a_partition_that_moved_on_is_not_committed() {
    let world = World::with_partitions(2).await;
    let (first, batch, _second) = moved(&world).await;
    let by_another = world.committed(1);
    assert_eq!(by_another, Some(10));
    assert_eq!(batch.commit().await.unwrap_err().kind(), ErrorKind::Rebalanced);
    let offsets = [(("t", 1), offset(5))];
    assert_eq!(first.commit_offsets(offsets).await.unwrap_err().kind(), ErrorKind::Rebalanced);
    for message in &batch {
        first.mark(message);
    }
    first.commit_marked().await.unwrap();
    assert_eq!((world.committed(0), world.committed(1)), (None, by_another));
}

/// Workers finish in any order, and commit whenever they like.
#[tokio::test(start_paused = true)]
async fn the_furthest_mark_counts_whoever_sets_it() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    let batch = consumer.poll(LONG).await.unwrap();
    let messages: Vec<_> = batch.into_messages().collect();
    let handle = consumer.handle();
    let marks = messages.iter().rev().map(|message| {
        let (handle, mark) = (handle.clone(), Mark::from(message));
        tokio::spawn(async move {
            handle.mark(mark);
            handle.commit_marked().await.unwrap();
        })
    });
    for worker in marks.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert_eq!(world.committed(0), Some(10));
    assert!(taken(&world).is_sorted(), "{:?}", taken(&world));
    // A slow one, long after the others are stored.
    handle.mark(&messages[3]);
    handle.commit_marked().await.unwrap();
    assert_eq!(world.committed(0), Some(10));
    let at = Offset::new(4).unwrap();
    handle.commit_offsets([(messages[3].topic_partition().clone(), at)]).await.unwrap();
    assert_eq!(world.committed(0), Some(4), "going back is a user's right, in so many words");
}

/// Commits 2 and then 5 without waiting, the first of which meets `fault`.
async fn two_then_five(fault: FaultRule) -> World {
    let world = World::with_partitions(1).await;
    world.fill(0..5).await;
    let mut consumer = world.member().max_poll_records(2).build().await.unwrap();
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 2);
    world.broker.add_fault(fault);
    consumer.handle().commit_async();
    assert_eq!(read(&mut consumer, 3).await.len(), 3);
    tokio::time::sleep(Duration::from_millis(1)).await;
    consumer.handle().commit_async();
    // Any second try would have been made by then.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.committed(0), Some(5));
    world
}

/// The first commit fails, the second is stored; a second try of the first would take the group back from 5 to 2.
#[tokio::test(start_paused = true)]
async fn an_async_commit_that_fails_is_not_tried_again() {
    let refused = on(ApiKey::OFFSET_COMMIT).nth(1).error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    let world = two_then_five(refused).await;
    assert_eq!(taken(&world), [5]);
    assert_eq!(world.broker.requests(ApiKey::OFFSET_COMMIT).len(), 2);
}

/// The first commit takes its time on the way; it must not arrive behind the second.
#[tokio::test(start_paused = true)]
async fn an_async_commit_that_is_late_does_not_overwrite_a_newer_one() {
    let late = on(ApiKey::OFFSET_COMMIT).nth(1).delay_request(Duration::from_secs(3));
    let world = two_then_five(late).await;
    assert_eq!(taken(&world), [2, 5]);
}

/// The driver sees both at once: in the other order the group is back where it was, and the next member reads again.
#[tokio::test(start_paused = true)]
async fn a_commit_that_is_waited_for_goes_behind_the_async_one_before_it() {
    let world = World::with_partitions(1).await;
    world.fill(0..4).await;
    let mut consumer = world.member().max_poll_records(2).build().await.unwrap();
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 2);
    consumer.handle().commit_async();
    let batch = consumer.poll(LONG).await.unwrap();
    assert_eq!(batch.len(), 2);
    consumer.commit().await.unwrap();
    assert_eq!(taken(&world).last(), Some(&4));
    consumer.handle().commit_async();
    batch.commit().await.unwrap();
    consumer.handle().mark(batch.iter().next().unwrap());
    consumer.handle().commit_async();
    consumer.commit_marked().await.unwrap();
    assert_eq!(taken(&world).last(), Some(&3), "marks go where they say");
}

/// An explicit offset that is older: what was asked for last is the group's.
#[tokio::test(start_paused = true)]
async fn an_async_commit_goes_behind_the_one_that_was_asked_for_before_it() {
    let world = World::with_partitions(1).await;
    world.fill(0..4).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 4).await.len(), 4);
    let handle = consumer.handle();
    let older = handle.commit_offsets([(("t", 0), offset(2))]);
    let (done, ()) = tokio::join!(older, async { handle.commit_async() });
    done.unwrap();
    consumer.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(4));
}

#[tokio::test(start_paused = true)]
async fn an_async_commit_goes_out_before_the_consumer_closes() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 3).await.len(), 3);
    consumer.handle().commit_async();
    consumer.close(GRACE).await.unwrap();
    assert_eq!(taken(&world), [3]);
}

#[tokio::test(start_paused = true)]
async fn an_async_commit_goes_out_before_a_dropped_consumer_leaves() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 3).await.len(), 3);
    consumer.handle().commit_async();
    drop(consumer);
    eventually("the member leaves", || world.members() == 0).await;
    assert_eq!(taken(&world), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_waited_for_is_tried_again() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut consumer = world.member().build().await.unwrap();
    let batch = consumer.poll(LONG).await.unwrap();
    let refused = on(ApiKey::OFFSET_COMMIT).first(3).error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    world.broker.add_fault(refused);
    batch.commit().await.unwrap();
    assert_eq!(taken(&world), [3]);
}

#[tokio::test(start_paused = true)]
async fn an_offset_is_stored_with_epoch_and_text_and_sought_by_them() {
    let world = World::with_partitions(1).await;
    world.fill(0..5).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 5).await.len(), 5);
    let epoch = milena::LeaderEpoch::from_wire(0).unwrap();
    let wanted = CommittedOffset::new(offset(3)).with_leader_epoch(epoch).with_metadata("run 7");
    consumer.commit_offsets([(("t", 0), wanted.clone())]).await.unwrap();
    let committed = consumer.handle().committed([("t", 0)]).await.unwrap();
    assert_eq!(committed.into_values().collect::<Vec<_>>(), std::slice::from_ref(&wanted));
    consumer.seek(("t", 0), wanted).await.unwrap();
    assert_eq!(read(&mut consumer, 2).await, numbers(3..5));
}

/// The tutorials' consumer: brokers, a group, a topic.
#[tokio::test(start_paused = true)]
async fn a_consumer_without_a_setting_reads_and_commits_what_is_new() {
    let world = World::with_partitions(3).await;
    world.fill(0..5).await;
    let mut consumer = world.kafka.consumer("g").subscribe(["t"]).build().await.unwrap();
    while consumer.handle().positions().values().flatten().count() < 3 {
        assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().is_empty(), "latest");
    }
    world.fill(5..10).await;
    assert_eq!(read(&mut consumer, 5).await, numbers(5..10));
    consumer.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(10));
    assert_eq!(world.members(), 0);
}
