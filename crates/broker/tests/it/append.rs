//! Records that a test stores itself, and what it waits for.

use std::io::ErrorKind;
use std::time::Duration;

use milena_broker::{Broker, NewRecord, TopicSettings};
use milena_types::{ErrorCode, NodeId, Timestamp};

use crate::world::{NOON, World, fetch, fetched, node, tp};

/// Longer than anything takes on a paused clock.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn what_is_appended_is_read_with_key_headers_and_time() {
    let mut world = World::new();
    let early = Timestamp::from_millis(NOON.millis() - 1);
    let records = [
        NewRecord::new("paid").key("order-7").header("source", "test").timestamp(early),
        NewRecord::tombstone("order-7"),
    ];
    assert_eq!(world.cluster.append(world.now, &tp(), records).expect("stored").get(), 0);
    let one = [NewRecord::new("later")];
    assert_eq!(world.cluster.append(world.now, &tp(), one).expect("stored").get(), 2);
    let stored = world.cluster.records(&tp());
    assert_eq!(stored[0].headers, [("source".into(), Some("test".into()))]);
    assert_eq!(
        (stored[0].key.as_deref(), stored[0].timestamp),
        (Some(&b"order-7"[..]), Some(early))
    );
    assert_eq!((stored[1].value.as_deref(), stored[1].timestamp), (None, Some(NOON)));
    // Replicated, so that clients may read it, and noted as any batch.
    assert_eq!(world.cluster.partition(&tp()).expect("there").high_watermark.get(), 3);
    assert_eq!(world.cluster.journal().batches().map(|batch| batch.records).sum::<i32>(), 3);
}

#[test]
fn a_reader_that_waits_is_answered_by_what_is_appended() {
    let mut world = World::new();
    let connection = world.connect_leader();
    world.send(connection, 11, fetch(0, 1, 10_000));
    assert!(world.answer(connection).is_none());
    world.cluster.append(world.now, &tp(), [NewRecord::new("a")]).expect("stored");
    world.drain();
    let answer = world.answer(connection).expect("at once");
    assert!(fetched(answer).records.is_some());
}

#[test]
fn what_a_topic_does_not_take_is_refused() {
    let mut world = World::with(|settings| {
        let mut topic = TopicSettings::new("t", 1);
        topic.config.insert("max.message.bytes".into(), "100".into());
        settings.topics = vec![topic];
    });
    let mut append = |topic: &str, records: Vec<NewRecord>| {
        let refused = world.cluster.append(world.now, &(topic, 0).into(), records);
        refused.expect_err("refused").code
    };
    let unknown = append("none", vec![NewRecord::new("a")]);
    assert_eq!(unknown, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(append("t", vec![NewRecord::new(vec![0; 101])]), ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(append("t", vec![]), ErrorCode::INVALID_RECORD);
    for id in 1..=3 {
        world.cluster.crash_node(world.now, node(id));
    }
    world.pass(LONG);
    let refused = world.cluster.append(world.now, &tp(), [NewRecord::new("a")]);
    assert_eq!(refused.expect_err("refused").code, ErrorCode::LEADER_NOT_AVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_it_holds_and_in_time_where_it_does_not() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().await.expect("starts");
    let is_stored = |cluster: &milena_broker::Cluster| !cluster.records(&tp()).is_empty();
    let in_vain = broker.wait_until(LONG, is_stored).await;
    assert_eq!(in_vain.map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    let append = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        broker.append("t", 0, [NewRecord::new("a")]).expect("stored");
    };
    let begun = tokio::time::Instant::now();
    let (waited, ()) = tokio::join!(broker.wait_until(LONG, is_stored), append);
    waited.expect("it holds");
    assert_eq!(begun.elapsed(), Duration::from_secs(1), "not looked at again and again");
    assert_eq!(broker.partition("t", 0).and_then(|view| view.leader), Some(NodeId::new(1)));
}

#[test]
fn what_goes_in_and_out_is_counted_by_topic_and_anew_for_a_topic_made_anew() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let counted = |world: &World| {
        let topics = world.cluster.journal().topics();
        topics.map(|(name, counted)| (name.to_string(), *counted)).collect::<Vec<_>>()
    };
    assert_eq!(counted(&world), []);
    world.produce(connection, &["a", "b"], None);
    world.produce(connection, &["c"], None);
    let data = fetched(world.ask(connection, 11, fetch(0, 1, 0)));
    let records = data.records.expect("records");
    let [(name, all)] = &counted(&world)[..] else { panic!("one topic") };
    assert_eq!((name.as_str(), all.messages_in), ("t", 3));
    assert_eq!((all.bytes_in, all.bytes_out), (all.bytes_out, records.len() as u64));
    world.cluster.recreate_topic(world.now, "t");
    assert_eq!(counted(&world), []);
}
