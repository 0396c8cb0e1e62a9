//! Acknowledgements without awaiting: callbacks, detached records, and topics looked up once.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::{ErrorKind, Fate, Record};
use milena_broker::{Broker, on};
use milena_types::{ApiKey, ErrorCode};
use tracing::span;

use crate::world::{GRACE, STEPS_MAX, World, drop_after, eventually, numbers};

/// What callbacks saw, by partition.
type Seen = Arc<Mutex<Vec<Vec<i64>>>>;

/// Wakers and callbacks of one batch are two ways to learn of it; only this one promises an order.
#[tokio::test(start_paused = true)]
async fn callbacks_of_a_partition_come_in_the_order_of_its_offsets() {
    let world = World::of_three(2).await;
    world.broker.add_fault(on(ApiKey::PRODUCE).every(3).error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(5).apply_then_drop());
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(8).error(ErrorCode::MESSAGE_TOO_LARGE));
    let producer = world.kafka.producer().batch_size(200).build().await.unwrap();
    let seen: Seen = Arc::new(Mutex::new(vec![Vec::new(); 2]));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..4 {
        let (producer, seen) = (producer.clone(), Arc::clone(&seen));
        senders.spawn(async move {
            for number in 0..100 {
                let value = format!("{sender}-{number}");
                let record = Record::to("t").partition(number % 2).value(value);
                let seen = Arc::clone(&seen);
                let sent = producer.send(record).on_ack(move |result| {
                    let stored = result.unwrap();
                    let partition = usize::try_from(stored.partition()).unwrap();
                    seen.lock().unwrap()[partition].push(stored.offset().unwrap().get());
                });
                sent.enqueue().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    senders.join_all().await;
    producer.flush().await.unwrap();
    let expected: Vec<i64> = (0..200).collect();
    assert_eq!(*seen.lock().unwrap(), [expected.clone(), expected], "flushed, so all were called");
    assert_eq!(world.values(0).len(), 200);
    assert!(producer.metrics().batch_splits > 0);
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_called_in_transactions_too() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().transactional_id("x").build_transactional().await;
    let mut producer = producer.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    for commits in [true, false] {
        let transaction = producer.begin().await.unwrap();
        for number in 0..3 {
            let told = Arc::clone(&told);
            let sent = transaction.send(Record::to("t").value(number.to_string()));
            let sent = sent.on_ack(move |result| {
                told.lock().unwrap().push(result.map(|stored| stored.to_string()).ok());
            });
            sent.enqueue().await.unwrap();
        }
        if commits {
            transaction.commit().await.unwrap();
            let stored = ["t-0@0", "t-0@1", "t-0@2"].map(|place| Some(place.to_owned()));
            assert_eq!(*told.lock().unwrap(), stored);
        } else {
            transaction.abort().await.unwrap();
            assert_eq!(told.lock().unwrap()[3..], [None, None, None], "dropped by the abort");
        }
    }
}

/// As Java's `serializedKeySize` and `serializedValueSize`, but for -1.
#[tokio::test(start_paused = true)]
async fn the_sizes_of_a_record_come_with_its_place() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let sizes = |stored: milena::RecordMetadata| {
        (stored.serialized_key_size(), stored.serialized_value_size())
    };
    let whole = Record::to("t").key("key").value("a value");
    assert_eq!(sizes(producer.send(whole.clone()).await.unwrap()), (Some(3), Some(7)));
    assert_eq!(sizes(producer.send(Record::to("t").value("")).await.unwrap()), (None, Some(0)));
    let tombstone = Record::to("t").key("key");
    assert_eq!(sizes(producer.send(tombstone).await.unwrap()), (Some(3), None));
    let (told, hears) = tokio::sync::oneshot::channel();
    let tell = move |stored: milena::Result<_>| told.send(sizes(stored.unwrap())).unwrap();
    producer.send(whole.clone()).on_ack(tell).detach();
    assert_eq!(hears.await.unwrap(), (Some(3), Some(7)));
    let outcomes = producer.enqueue_all([whole]).await.await;
    assert_eq!(sizes(outcomes.iter().next().unwrap().unwrap()), (None, None));
    producer.close(GRACE).await.unwrap();
}

/// Noted behind the append's lock, a callback could be overtaken by one of the next record's sender.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callbacks_keep_their_order_on_many_threads() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().linger(Duration::ZERO).build().await.unwrap();
    producer.send(Record::to("t").value("0")).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (producer, seen) = (producer.clone(), Arc::clone(&seen));
        senders.spawn(async move {
            for _ in 0..1000 {
                let seen = Arc::clone(&seen);
                producer
                    .send(Record::to("t").value("v"))
                    .on_ack(move |result| {
                        seen.lock().unwrap().push(result.unwrap().offset().unwrap().get());
                    })
                    .detach();
            }
        });
    }
    senders.join_all().await;
    producer.close(GRACE).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), (1..4001).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_harms_nobody() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let called = Arc::new(AtomicUsize::new(0));
    for number in 0..10 {
        let called = Arc::clone(&called);
        let sent = producer.send(Record::to("t").value(number.to_string())).on_ack(move |_| {
            called.fetch_add(1, SeqCst);
            assert!(number % 3 != 0, "a callback's own fault");
        });
        sent.enqueue().await.unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(called.load(SeqCst), 10);
    producer.send(Record::to("t").value("10")).await.unwrap();
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..11));
}

/// A lock held around the call would never be got again.
#[tokio::test(start_paused = true)]
async fn a_callback_may_send() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let again = producer.clone();
    let first = producer.send(Record::to("t").value("0")).on_ack(move |_| {
        drop(again.try_enqueue(Record::to("t").value("1")).unwrap());
        let third = again.clone();
        let second = again.send(Record::to("t").value("2")).on_ack(move |result| {
            assert_eq!(result.unwrap().offset().unwrap().get(), 2);
            third.send(Record::to("t").value("3")).detach();
        });
        second.detach();
    });
    first.enqueue().await.unwrap();
    eventually("all four are stored", || world.values(0).len() == 4).await;
    assert_eq!(world.values(0), numbers(0..4));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_admitted_calls_its_callback_once() {
    let cluster = Broker::builder().topic("t", 1).configure(|s| s.auto_create_topics = false);
    let world = World::start(cluster).await;
    let producer = world.kafka.producer().max_block(Duration::from_secs(2)).build().await.unwrap();
    let fates = Arc::new(Mutex::new(Vec::new()));
    let note = |fates: &Arc<Mutex<Vec<Fate>>>| {
        let fates = Arc::clone(fates);
        move |result: milena::Result<milena::RecordMetadata>| {
            fates.lock().unwrap().push(result.unwrap_err().fate());
        }
    };
    let missing = || Record::to("missing").value("v");
    let error = producer.send(missing()).on_ack(note(&fates)).enqueue().await.unwrap_err();
    assert_eq!(error.fate(), Fate::NotStored);
    assert_eq!(fates.lock().unwrap().len(), 1);
    assert!(producer.send(missing()).on_ack(note(&fates)).await.is_err());
    assert_eq!(fates.lock().unwrap().len(), 2);
    producer.send(missing()).on_ack(note(&fates)).detach();
    eventually("the detached one is told", || fates.lock().unwrap().len() == 3).await;
    producer.send(Record::to("t").value("v")).await.unwrap();
    let large = Record::to("t").partition(0).value(vec![0; 2 << 20]);
    producer.send(large).on_ack(note(&fates)).detach();
    producer.close(GRACE).await.unwrap();
    producer.send(Record::to("t").value("late")).on_ack(note(&fates)).detach();
    assert_eq!(*fates.lock().unwrap(), [Fate::NotStored; 5]);
    // The callbacks were told: nothing is left to count as nobody's.
    assert_eq!(producer.metrics().detached_errors, 0);
    // A record that is given back is nobody's business but the caller's.
    assert!(producer.send(Record::to("t")).on_ack(|_| panic!("called")).try_enqueue().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_send_dropped_before_admission_calls_nothing_and_afterwards_once() {
    let world = World::with_partitions(1).await;
    let called = Arc::new(AtomicUsize::new(0));
    let mut admitted = 0;
    for step in 0..STEPS_MAX {
        let producer = world.producer().await;
        let counter = Arc::clone(&called);
        let sent = producer.send(Record::to("t").value(admitted.to_string())).on_ack(move |r| {
            r.unwrap();
            counter.fetch_add(1, SeqCst);
        });
        let done = drop_after(step, sent.enqueue()).await.is_some();
        admitted += usize::from(done);
        producer.close(GRACE).await.unwrap();
        assert_eq!(called.load(SeqCst), admitted, "at step {step}");
        if done {
            break;
        }
    }
    assert_eq!(world.values(0), numbers(0..1));
}

/// What is given up is given up in order, too, and each record is told once.
#[tokio::test(start_paused = true)]
async fn a_close_that_gives_up_calls_every_callback() {
    let world = World::of_three(1).await;
    let producer = world.kafka.producer().batch_size(200).build().await.unwrap();
    producer.send(Record::to("t").value("0")).await.unwrap();
    world.broker.add_fault(on(ApiKey::PRODUCE).hang());
    let told = Arc::new(Mutex::new(Vec::new()));
    for number in 0..300 {
        let told = Arc::clone(&told);
        let sent = producer.send(Record::to("t").value(number.to_string())).on_ack(move |result| {
            told.lock().unwrap().push((number, result.unwrap_err().fate()));
        });
        sent.enqueue().await.unwrap();
    }
    assert!(producer.close(Duration::from_secs(1)).await.is_err());
    let told = told.lock().unwrap();
    let order: Vec<_> = told.iter().map(|&(number, _)| number).collect();
    assert_eq!(order, (0..300).collect::<Vec<_>>());
    // What a broker has may be stored; what waited behind it is not.
    let fates: Vec<_> = told.iter().map(|&(_, fate)| fate).collect();
    assert_eq!((fates[0], fates[299]), (Fate::Unknown, Fate::NotStored));
    assert!(fates.is_sorted_by_key(|&fate| fate == Fate::NotStored));
}

/// A program that only detaches must not lose what it sent first, while the topic was not known.
#[tokio::test(start_paused = true)]
async fn flush_and_close_wait_for_detached_records() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    for number in 0..50 {
        producer.send(Record::to("t").value(number.to_string())).detach();
    }
    producer.flush().await.unwrap();
    assert_eq!(world.values(0), numbers(0..50));
    let producer = world.producer().await;
    for number in 50..100 {
        producer.send(Record::to("t").value(number.to_string())).detach();
    }
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..100));
    assert_eq!(producer.metrics().detached_errors, 0);
}

/// On many threads tasks of their own would be woken in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn detached_records_are_admitted_in_their_order() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(5000);
    let producer = producer.build().await.unwrap();
    for number in 0..900 {
        producer.send(Record::to("t").value(number.to_string())).detach();
    }
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..900));
    assert_eq!(producer.metrics().detached_errors, 0);
}

/// A detached record to a topic that is nowhere would hold a close for `max.block.ms`.
#[tokio::test(start_paused = true)]
async fn close_does_not_wait_for_detached_records_beyond_its_time() {
    let cluster = Broker::builder().topic("t", 1).configure(|s| s.auto_create_topics = false);
    let world = World::start(cluster).await;
    let producer = world.kafka.producer().linger(Duration::from_secs(20)).build().await.unwrap();
    drop(producer.send(Record::to("t").value("0")).enqueue().await.unwrap());
    producer.send(Record::to("missing").value("v")).detach();
    producer.send(Record::to("t").value("1")).detach();
    let before = tokio::time::Instant::now();
    let (closed, ()) = tokio::join!(producer.close(Duration::from_secs(3)), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            world.values(0),
            numbers(0..2),
            "what is admitted does not wait for what is not"
        );
        let late = producer.send(Record::to("t").value("late")).await.unwrap_err();
        let tried = producer.try_enqueue(Record::to("t").value("late")).unwrap_err();
        let many = producer.enqueue_all([Record::to("t").value("late")]).await.await;
        assert!(many.iter().all(|outcome| outcome.is_err()));
        assert_eq!((late.kind(), tried.error().kind()), (ErrorKind::Closed, ErrorKind::Closed));
    });
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(before.elapsed().as_secs(), 3);
    assert_eq!(world.values(0), numbers(0..2));
    eventually("the other fails", || producer.metrics().detached_errors == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_looked_up_once_is_the_same_topic() {
    let world = World::with_partitions(3).await;
    let (producer, other) = (world.producer().await, world.producer().await);
    let topic = producer.topic("t");
    assert_eq!((topic.name().as_str(), topic.partition_count()), ("t", None));
    eventually("its metadata is fetched unasked", || topic.partition_count() == Some(3)).await;
    producer.send(Record::to(&topic).key("k").value("0")).await.unwrap();
    producer.try_enqueue(Record::to(topic.clone()).key("k").value("1")).unwrap().await.unwrap();
    producer.send(Record::to("t").key("k").value("2")).await.unwrap();
    other.send(Record::to(&topic).key("k").value("3").into_owned()).await.unwrap();
    let stored: Vec<_> = (0..3).map(|partition| world.values(partition)).collect();
    assert_eq!(stored.concat(), numbers(0..4), "one key, one partition, in order");
}

/// Counts the lines of a level; everything else is nobody's here.
struct Lines(Arc<AtomicUsize>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN && metadata.target().contains("detached")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A line a record would fill a disk just when something is wrong already.
#[tokio::test(start_paused = true)]
async fn detached_failures_are_counted_each_and_logged_now_and_then() {
    let lines = Arc::new(AtomicUsize::new(0));
    let _guard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(200).build().await.unwrap();
    producer.send(Record::to("t").value("0")).await.unwrap();
    let fault = on(ApiKey::PRODUCE).error(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let fault = world.broker.add_fault(fault);
    for _ in 0..500 {
        producer.send(Record::to("t").value("refused")).detach();
    }
    producer.flush().await.unwrap();
    let large = || Record::to("t").partition(0).value(vec![0; 2 << 20]);
    producer.send(large()).detach();
    let metrics = producer.metrics();
    assert_eq!((metrics.detached_errors, metrics.record_errors), (501, 500));
    assert_eq!(lines.load(SeqCst), 1);
    // The rest is not lost: it comes when its time has come, with nothing else to do.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(lines.load(SeqCst), 2);

    world.broker.remove_fault(fault);
    producer.close(GRACE).await.unwrap();
    producer.send(Record::to("t").value("late")).detach();
    assert_eq!(lines.load(SeqCst), 3);
    assert_eq!(producer.metrics().detached_errors, 502);
    assert_eq!(world.values(0), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_what_was_sent_again_split_and_muted() {
    let world = World::with_partitions(1).await;
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(1).error(ErrorCode::NOT_ENOUGH_REPLICAS));
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(3).error(ErrorCode::MESSAGE_TOO_LARGE));
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(4).throttle(Duration::from_millis(80)));
    let producer = world.producer().await;
    for number in 0..3 {
        producer.send(Record::to("t").value(number.to_string())).detach();
    }
    producer.flush().await.unwrap();
    let once = producer.metrics();
    assert_eq!((once.records_sent, once.record_retries, once.batches_sent), (3, 3, 2));
    assert!(once.bytes_sent > 2 * 61 && once.buffer_bytes_max == 32 << 20);
    for number in 3..6 {
        producer.send(Record::to("t").value(number.to_string())).detach();
    }
    assert!(producer.metrics().buffer_bytes_used > 0);
    producer.flush().await.unwrap();
    let twice = producer.metrics();
    assert_eq!((twice.records_sent, twice.record_errors, twice.batch_splits), (6, 0, 1));
    assert_eq!((twice.throttles, twice.throttle_max), (1, Duration::from_millis(80)));
    assert_eq!((twice.buffer_bytes_used, twice.detached_errors), (0, 0));
    assert_eq!(world.values(0), numbers(0..6));
}

/// A broker stands still: what is on its way and what waits behind it is given up at one moment.
#[tokio::test(start_paused = true)]
async fn what_expires_is_told_in_order() {
    let world = World::of_three(1).await;
    let producer = world.kafka.producer().batch_size(200).build().await.unwrap();
    producer.send(Record::to("t").value("0")).await.unwrap();
    world.broker.add_fault(on(ApiKey::PRODUCE).hang());
    let told = Arc::new(Mutex::new(Vec::new()));
    for number in 0..300 {
        let told = Arc::clone(&told);
        let sent = producer.send(Record::to("t").value(number.to_string())).on_ack(move |result| {
            told.lock().unwrap().push((number, result.unwrap_err().kind()));
        });
        sent.enqueue().await.unwrap();
    }
    producer.flush().await.unwrap();
    let expected: Vec<_> = (0..300).map(|number| (number, ErrorKind::Timeout)).collect();
    assert_eq!(*told.lock().unwrap(), expected);
}
