//! Members share partitions, and hand them over.

use std::collections::BTreeSet;
use std::time::Duration;

use milena::{Consumer, ConsumerHandle, ErrorKind, Record, TopicPartition};
use milena_types::ErrorCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::world::{GRACE, LONG, World, numbers, read, text};

/// A member that polls in a task until its handle closes it, and tells what it reads.
pub(crate) fn run(mut member: Consumer, read: mpsc::UnboundedSender<String>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(message) = member.try_next().await.unwrap() {
            read.send(text(message.value())).unwrap();
        }
    })
}

/// Waits until the members have `shares` partitions each, every one of six once; how long it took.
pub(crate) async fn settle(members: &[ConsumerHandle], shares: &[usize]) -> Duration {
    let begun = Instant::now();
    loop {
        let mut all = BTreeSet::new();
        let mut sizes = Vec::new();
        for member in members {
            let assignment: BTreeSet<TopicPartition> = member.assignment().await.unwrap();
            sizes.push(assignment.len());
            all.extend(assignment);
        }
        sizes.sort_unstable();
        if sizes == shares && all.len() == 6 {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{sizes:?} of {all:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_two_three_members_share_the_partitions_and_close_hands_over() {
    let world = World::of_three(6).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let (mut members, mut tasks) = (Vec::new(), Vec::new());
    for shares in [&[6][..], &[3, 3], &[2, 2, 2]] {
        let member = world.member().enable_auto_commit(true).build().await.unwrap();
        members.push(member.handle());
        tasks.push(run(member, told.clone()));
        settle(&members, shares).await;
        assert_eq!(world.members(), members.len());
    }

    let producer = world.producer().await;
    for number in 0..60 {
        let record = Record::to("t").partition(number % 6).value(number.to_string());
        let _delivery = producer.send(record).enqueue().await.unwrap();
    }
    producer.flush().await.unwrap();
    let mut values = BTreeSet::new();
    for _ in 0..60 {
        assert!(values.insert(heard.recv().await.unwrap()), "read twice");
    }

    // Without LeaveGroup the others would wait for the session to end, 45 s; with it, for a heartbeat, 3 s.
    for shares in [&[3, 3][..], &[6]] {
        members.pop().unwrap().close(GRACE).await.unwrap();
        tasks.pop().unwrap().await.unwrap();
        assert_eq!(world.members(), members.len());
        let took = settle(&members, shares).await;
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    // What was read was committed on the way: nothing comes again, nothing is left out.
    for number in 60..120 {
        let record = Record::to("t").partition(number % 6).value(number.to_string());
        let _delivery = producer.send(record).enqueue().await.unwrap();
    }
    producer.flush().await.unwrap();
    for _ in 0..60 {
        let value = heard.recv().await.unwrap();
        assert!(values.insert(value.clone()), "{value} read twice");
    }
    members.pop().unwrap().close(GRACE).await.unwrap();
    let committed: i64 = (0..6).filter_map(|partition| world.committed(partition)).sum();
    assert_eq!(committed, 120);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_crashes_is_replaced_once_its_session_ends() {
    let world = World::with_partitions(6).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let member = |world: &World| world.member().session_timeout(Duration::from_secs(6));
    let first = member(&world).build().await.unwrap();
    let second = member(&world).build().await.unwrap();
    let handles = [first.handle(), second.handle()];
    let tasks = [run(first, told.clone()), run(second, told)];
    settle(&handles, &[3, 3]).await;
    // It stops polling and is never dropped in an orderly way: only its own session can tell.
    tasks[0].abort();
    settle(&handles[1..], &[6]).await;
    let producer = world.producer().await;
    for number in 0..6 {
        let record = Record::to("t").partition(number).value(number.to_string());
        producer.send(record).await.unwrap();
    }
    let mut values = BTreeSet::new();
    for _ in 0..6 {
        values.insert(heard.recv().await.unwrap());
    }
    assert_eq!(values.len(), 6);
}

/// F55: of two members with one `group.instance.id` the newer one has what belongs to the name. The older one is told, and
/// can no longer commit.
#[tokio::test(start_paused = true)]
async fn of_two_members_of_one_name_the_newer_one_reads_on() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let member = || world.member().group_instance_id("one").build();
    let mut older = member().await.unwrap();
    assert_eq!(read(&mut older, 10).await, numbers(0..10));
    let mut newer = member().await.unwrap();
    assert_eq!(read(&mut newer, 10).await, numbers(0..10));
    let told = older.try_next().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Fenced, "{told}");
    assert!(older.handle().commit().await.is_err(), "the name is another's");
    newer.handle().commit().await.unwrap();
    assert_eq!((world.members(), world.committed(0)), (1, Some(10)));
}

/// F55 in KIP-848: the name stays with the member that has it, and the second one is told whose it is not.
#[tokio::test(start_paused = true)]
async fn of_two_members_of_one_name_the_older_one_reads_on_in_the_consumer_protocol() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let member = || {
        let member = world.member().set("group.protocol", "consumer").unwrap();
        member.group_instance_id("one").build()
    };
    let mut older = member().await.unwrap();
    assert_eq!(read(&mut older, 10).await, numbers(0..10));
    let mut newer = member().await.unwrap();
    let told = newer.poll(LONG).await.unwrap_err();
    let code = Some(ErrorCode::UNRELEASED_INSTANCE_ID);
    assert_eq!((told.kind(), told.code(), told.is_fatal()), (ErrorKind::Fenced, code, true));
    newer.close(GRACE).await.unwrap();
    world.fill(10..20).await;
    assert_eq!(read(&mut older, 10).await, numbers(10..20));
    older.handle().commit().await.unwrap();
    let group = world.broker.consumer_group("g").unwrap();
    assert_eq!((group.members.len(), world.committed(0)), (1, Some(20)));
}
