//! What interceptors see of a consumer, and what it counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::{CommittedOffset, ConsumerInterceptor, MessageRef, TopicPartition};
use milena_broker::on;
use milena_types::{ApiKey, ErrorCode};

use crate::world::{GRACE, LONG, World, eventually, read, text};

#[derive(Clone, Default)]
struct Scribe {
    log: Arc<Mutex<Vec<String>>>,
    name: &'static str,
    panics: bool,
}

impl Scribe {
    fn note(&self, line: String) {
        self.log.lock().unwrap().push(format!("{} {line}", self.name));
        assert!(!self.panics, "{}", self.name);
    }
}

impl ConsumerInterceptor for Scribe {
    fn on_consume(&self, message: MessageRef<'_>) {
        self.note(format!("read {}", text(message.value())));
    }

    fn on_commit(&self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        let ends = offsets.values().map(|committed| committed.offset.get());
        self.note(format!("stored {:?}", ends.collect::<Vec<_>>()));
    }

    fn close(&self) {
        self.note("close".to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn interceptors_see_every_record_and_commit_in_order_and_may_panic() {
    let world = World::with_partitions(1).await;
    world.fill(0..4).await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let scribe = |name, panics| Scribe { log: Arc::clone(&log), name, panics };
    let member = world.member().enable_auto_commit(true).max_poll_records(2);
    let member = member.interceptor(scribe("a", true)).interceptor(scribe("b", false));
    let mut member = member.build().await.unwrap();
    assert_eq!(member.poll(LONG).await.unwrap().len(), 2);
    member.commit().await.unwrap();
    for expected in ["2", "3"] {
        let message = member.try_next().await.unwrap().unwrap();
        assert_eq!(text(message.value()), expected);
    }
    member.close(GRACE).await.unwrap();
    let lines = ["read 0", "read 1", "stored [2]", "read 2", "read 3", "stored [4]", "close"];
    let of = |name: &str| {
        let log = log.lock().unwrap();
        let own = log
            .iter()
            .filter_map(|line| line.strip_prefix(name))
            .map(|line| line.trim_start().to_owned());
        own.collect::<Vec<_>>()
    };
    assert_eq!(
        (of("a"), of("b")),
        (lines.map(str::to_owned).to_vec(), lines.map(str::to_owned).to_vec())
    );
    assert_eq!(log.lock().unwrap()[..2], ["a read 0", "b read 0"]);
}

#[tokio::test(start_paused = true)]
async fn streams_of_partitions_are_seen_too() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let scribe = Scribe::default();
    let member = world.member().interceptor(scribe.clone()).build().await;
    let mut member = member.unwrap();
    let mut stream = member.next_partition().await.unwrap().unwrap();
    stream.try_next().await.unwrap().unwrap();
    assert_eq!(stream.next_batch().await.unwrap().unwrap().len(), 2);
    assert_eq!(*scribe.log.lock().unwrap(), [" read 0", " read 1", " read 2"]);
    assert_eq!(member.metrics().records_consumed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_counts_what_it_does() {
    let world = World::with_partitions(2).await;
    world.fill(0..10).await;
    let member = world.member().max_poll_records(4).max_poll_interval(Duration::from_secs(60));
    let mut member = member.build().await.unwrap();
    assert_eq!(read(&mut member, 4).await.len(), 4);
    for _ in 0..3 {
        member.try_next().await.unwrap().unwrap();
    }
    let metrics = member.metrics();
    assert_eq!((metrics.records_consumed, metrics.records_lag_max), (7, Some(3)));
    assert_eq!((metrics.partitions_assigned, metrics.rebalances, metrics.losses), (2, 1, 0));
    assert!(metrics.fetch.count > 0 && metrics.fetch.bytes > 70, "{metrics:?}");
    assert!(metrics.fetch.latency_max <= metrics.fetch.latency_total, "{metrics:?}");

    let late = on(ApiKey::OFFSET_COMMIT).delay_answer(Duration::from_secs(2));
    let fault = world.broker.add_fault(late);
    member.commit().await.unwrap();
    world.broker.remove_fault(fault);
    let refused = on(ApiKey::OFFSET_COMMIT).error(ErrorCode::GROUP_AUTHORIZATION_FAILED);
    let fault = world.broker.add_fault(refused);
    member.commit().await.unwrap_err();
    world.broker.remove_fault(fault);
    let metrics = member.metrics();
    assert_eq!((metrics.commits, metrics.commit_errors), (1, 1));
    assert_eq!(metrics.commit_latency_max.as_secs(), 2);

    let idle = metrics.poll_idle_total;
    assert!(member.poll(LONG).await.unwrap().len() == 3);
    assert!(member.poll(Duration::from_secs(30)).await.unwrap().is_empty());
    let waited = member.metrics().poll_idle_total - idle;
    assert!((30..40).contains(&waited.as_secs()), "{waited:?}");
    tokio::time::sleep(Duration::from_secs(90)).await;
    member.poll(Duration::from_secs(5)).await.unwrap();
    let metrics = member.metrics();
    assert_eq!((metrics.poll_intervals_exceeded, metrics.losses, metrics.rebalances), (1, 1, 2));
    let handle = member.handle();
    member.close(GRACE).await.unwrap();
    eventually("nothing is assigned", || handle.metrics().partitions_assigned == 0).await;
}
