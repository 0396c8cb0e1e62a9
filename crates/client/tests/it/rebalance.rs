//! What listeners hear, and when a consumer has nothing more to say.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::Stream;
use milena::{Consumer, ConsumerHandle, ErrorKind, RebalanceListener, Stall, TopicPartition};
use milena_broker::on;
use milena_types::{ApiKey, ErrorCode};
use tokio::time::{Instant, timeout};

use crate::world::{GRACE, LONG, World, eventually};

/// What happened, and to which partitions.
type Heard = (&'static str, Vec<i32>);

/// Writes down what it hears; before it answers that partitions are revoked it commits, and takes its time.
#[derive(Clone, Default)]
struct Listener {
    heard: Arc<Mutex<Vec<Heard>>>,
    takes: Duration,
}

impl Listener {
    fn note(&self, what: &'static str, partitions: &[TopicPartition]) {
        let partitions = partitions.iter().map(|one| one.partition).collect();
        self.heard.lock().unwrap().push((what, partitions));
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

impl RebalanceListener for Listener {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.note("assigned", partitions);
    }

    async fn revoked(&self, handle: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.note("revoked", partitions);
        tokio::time::sleep(self.takes).await;
        let _ = handle.commit_marked().await;
    }

    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.note("lost", partitions);
    }

    async fn stalled(&self, _: &ConsumerHandle, stall: &Stall) {
        assert!(stall.position.is_none() && stall.waited >= Duration::from_secs(60));
        self.note("stalled", std::slice::from_ref(&stall.partition));
    }

    async fn poll_interval_exceeded(&self, limit: Duration) {
        self.heard.lock().unwrap().push(("late", vec![i32::try_from(limit.as_secs()).unwrap()]));
    }
}

async fn member(world: &World, listener: &Listener) -> Consumer {
    world.fill(0..10).await;
    let mut member = world.member().on_rebalance(listener.clone()).build().await.unwrap();
    for message in &member.poll(LONG).await.unwrap() {
        member.mark(message);
    }
    member
}

/// Where else would a user commit what he has worked off?
#[tokio::test(start_paused = true)]
async fn close_tells_that_the_partitions_are_revoked() {
    let world = World::with_partitions(2).await;
    let listener = Listener::default();
    let member = member(&world, &listener).await;
    member.close(GRACE).await.unwrap();
    assert_eq!(listener.heard(), [("assigned", vec![0, 1]), ("revoked", vec![0, 1])]);
    assert_eq!(world.committed(0), Some(10), "the group was there to commit to");
    assert_eq!(world.members(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_takes_too_long_does_not_hold_up_close() {
    let world = World::with_partitions(1).await;
    let listener = Listener { takes: LONG, ..Listener::default() };
    let member = member(&world, &listener).await;
    let begun = Instant::now();
    member.close(Duration::from_secs(3)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(3050), "{:?}", begun.elapsed());
    assert_eq!(listener.heard().len(), 2);
    eventually("it leaves all the same", || world.members() == 0).await;
}

/// The call takes the event out of the queue; dropped half-way it does not leave, and others wait for an answer.
#[tokio::test(start_paused = true)]
async fn polling_after_a_dropped_unsubscribe_answers_the_rebalance() {
    let world = World::with_partitions(2).await;
    let listener = Listener { takes: Duration::from_secs(1), ..Listener::default() };
    let mut first = member(&world, &listener).await;
    let other = Listener::default();
    let mut second = world.member().on_rebalance(other.clone()).build().await.unwrap();
    let second = tokio::spawn(async move { second.poll(LONG).await.map(|_| second) });
    // The first hears by a heartbeat that the second wants to join.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(timeout(Duration::from_millis(500), first.unsubscribe()).await.is_err(), "dropped");
    assert_eq!(listener.heard().last(), Some(&("revoked", vec![0, 1])));
    let begun = Instant::now();
    while other.heard().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody answers");
        first.poll(Duration::from_secs(1)).await.unwrap();
    }
    assert_eq!(listener.heard().last().unwrap().0, "assigned");
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn neither_drop_nor_a_handle_calls_the_listener() {
    let world = World::with_partitions(1).await;
    let (dropped, closed) = (Listener::default(), Listener::default());
    drop(member(&world, &dropped).await);
    eventually("it leaves", || world.members() == 0).await;
    let by_handle = member(&world, &closed).await;
    by_handle.handle().close(GRACE).await.unwrap();
    by_handle.close(GRACE).await.unwrap();
    assert_eq!((dropped.heard().len(), closed.heard().len()), (1, 1));
}

/// Everything looks healthy and no record comes: whoever waits must hear of it, however he reads.
#[tokio::test(start_paused = true)]
async fn a_partition_that_stands_still_is_told() {
    for by_streams in [false, true] {
        let world = World::with_partitions(1).await;
        world.fill(0..10).await;
        world.broker.add_fault(on(ApiKey::LIST_OFFSETS).hang());
        let listener = Listener::default();
        let mut member = world.member().on_rebalance(listener.clone()).build().await.unwrap();
        let mut streams = Vec::new();
        if by_streams {
            streams.push(member.next_partition().await.unwrap().unwrap());
            let _ = timeout(LONG, member.next_partition()).await;
        } else {
            assert!(member.poll(LONG).await.unwrap().is_empty());
        }
        assert_eq!(listener.heard(), [("assigned", vec![0]), ("stalled", vec![0])]);
        assert_eq!(member.metrics().stalls, 1);
        member.close(Duration::ZERO).await.unwrap();
    }
}

/// A consumer that failed for good and is polled on would wait in silence for ever.
#[tokio::test(start_paused = true)]
async fn a_fatal_error_is_told_by_every_poll_and_ends_a_stream() {
    let world = World::with_partitions(1).await;
    let listener = Listener::default();
    let mut member = member(&world, &listener).await;
    let fenced = on(ApiKey::HEARTBEAT).error(ErrorCode::FENCED_INSTANCE_ID);
    world.broker.add_fault(fenced);
    let error = loop {
        if let Err(error) = member.poll(LONG).await {
            break error;
        }
    };
    assert!(error.is_fatal(), "{error:?}");
    assert_eq!(listener.heard().last(), Some(&("lost", vec![0])));
    for _ in 0..2 {
        let again = member.poll(LONG).await.unwrap_err();
        assert_eq!((again.kind(), again.code()), (error.kind(), error.code()));
    }
    let next = poll_fn(|cx| Pin::new(&mut member).poll_next(cx)).await;
    assert!(next.unwrap().unwrap_err().is_fatal());
    assert!(poll_fn(|cx| Pin::new(&mut member).poll_next(cx)).await.is_none());
    member.close(GRACE).await.unwrap();
    assert_eq!(listener.heard().len(), 2, "nothing is left to be revoked");
}

/// A time that does not fit the clock is as good as none.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_given_all_the_time_there_is_takes_it() {
    let world = World::with_partitions(1).await;
    world.fill(0..1).await;
    let mut member = world.member().build().await.unwrap();
    assert_eq!(member.poll(Duration::MAX).await.unwrap().len(), 1);
    member.close(Duration::MAX).await.unwrap();
    assert_eq!(world.members(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_nothing_answers_questions_and_refuses_to_wait() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut consumer = world.kafka.consumer("g").build().await.unwrap();
    let ends = consumer.handle().end_offsets([("t", 0)]).await.unwrap();
    assert_eq!(ends.into_values().map(milena::Offset::get).collect::<Vec<_>>(), [3]);
    assert_eq!(consumer.poll(LONG).await.unwrap_err().kind(), ErrorKind::Misuse);
    consumer.close(GRACE).await.unwrap();
}

/// A line in a log is read by nobody who looks for lost partitions in his program.
#[tokio::test(start_paused = true)]
async fn who_polls_too_late_hears_why_he_lost_his_partitions() {
    let world = World::with_partitions(1).await;
    let listener = Listener::default();
    world.fill(0..10).await;
    let member = world.member().max_poll_interval(Duration::from_secs(60));
    let mut member = member.on_rebalance(listener.clone()).build().await.unwrap();
    assert_eq!(member.poll(LONG).await.unwrap().len(), 10);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(member.poll(LONG).await.unwrap().len(), 10, "nothing was committed");
    let heard =
        [("assigned", vec![0]), ("late", vec![60]), ("lost", vec![0]), ("assigned", vec![0])];
    assert_eq!(listener.heard(), heard);
}

/// Its consumer beats and polls, and nobody would ever read its partitions.
#[tokio::test(start_paused = true)]
async fn a_listener_that_hangs_costs_the_membership() {
    #[derive(Default)]
    struct Hangs(AtomicBool);

    impl RebalanceListener for Hangs {
        async fn assigned(&self, _: &ConsumerHandle, _: &[TopicPartition]) {
            if !self.0.swap(true, Relaxed) {
                tokio::time::sleep(Duration::from_secs(100)).await;
            }
        }
    }

    for protocol in ["classic", "consumer"] {
        let world = World::with_partitions(2).await;
        let member = || world.member().set("group.protocol", protocol).unwrap();
        let mut other = member().build().await.unwrap();
        let second = Duration::from_secs(1);
        for _ in 0..10 {
            other.poll(second).await.unwrap();
        }
        let hanging =
            member().max_poll_interval(Duration::from_secs(60)).on_rebalance(Hangs::default());
        let mut hanging = hanging.build().await.unwrap();
        for (seconds, owned) in [(50, 1), (40, 2), (60, 1)] {
            for _ in 0..seconds {
                let (polled, _) = tokio::join!(hanging.poll(second), other.poll(second));
                assert!(polled.unwrap().is_empty());
            }
            let assignment = other.handle().assignment().await.unwrap();
            assert_eq!(assignment.len(), owned, "{protocol}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_can_be_changed() {
    let cluster = milena_broker::Broker::builder().topic("t", 2).topic("u", 1);
    let world = World::start(cluster).await;
    let producer = world.producer().await;
    for (topic, value) in [("t", "1"), ("u", "2")] {
        producer.send(milena::Record::to(topic).partition(0).value(value)).await.unwrap();
    }
    let listener = Listener::default();
    let mut member = world.member().on_rebalance(listener.clone()).build().await.unwrap();
    assert_eq!(crate::world::read(&mut member, 1).await, ["1"]);
    member.subscribe(["u"]).await.unwrap();
    assert_eq!(member.handle().subscription().await.unwrap().len(), 1);
    assert_eq!(crate::world::read(&mut member, 1).await, ["2"]);
    let misuse = member.assign([("t", 0)]).await.unwrap_err();
    assert_eq!(misuse.kind(), ErrorKind::Misuse);
    member.unsubscribe().await.unwrap();
    assert_eq!(listener.heard().last(), Some(&("revoked", vec![0])));
    assert_eq!(member.poll(LONG).await.unwrap_err().kind(), ErrorKind::Misuse);
    eventually("it leaves", || world.members() == 0).await;
    member.assign([("t", 0)]).await.unwrap();
    assert_eq!(crate::world::read(&mut member, 1).await, ["1"]);
    assert!(member.handle().subscription().await.unwrap().is_empty());
    member.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pattern_is_something_to_read() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let member = world.kafka.consumer("g").auto_offset_reset(milena::config::OffsetReset::Earliest);
    let mut member = member.subscribe_pattern("t|nothing").unwrap().build().await.unwrap();
    assert_eq!(member.poll(LONG).await.unwrap().len(), 3);
    let topics = member.handle().subscription().await.unwrap();
    assert_eq!(topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>(), ["t"]);
}
