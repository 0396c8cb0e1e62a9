//! Calls that block: in threads without a runtime they wait, in others they say so. On the machine's clock, since the
//! threads are real.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use milena::blocking::{self, Kafka};
use milena::config::{AcknowledgementMode, OffsetReset};
use milena::{ErrorKind, Record};
use milena_broker::Broker;

use crate::world::{GRACE, client_of, eventually, numbers, text};

/// A cluster in a runtime of its own, and a client that has another.
struct World {
    kafka: Kafka,
    broker: Broker,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let broker = Broker::builder().topic("t", 1);
        let broker = runtime.block_on(broker.start_in_memory()).unwrap();
        let kafka = Kafka::connect(client_of(&broker)).unwrap();
        Self { kafka, broker, runtime }
    }

    fn values(&self) -> Vec<String> {
        let records = self.broker.records("t", 0).into_iter();
        records.map(|record| text(record.value.as_deref())).collect()
    }
}

fn record(number: usize) -> Record<'static> {
    Record::to("t").value(number.to_string())
}

#[test]
fn every_way_of_sending_works_without_a_runtime() {
    let world = World::start();
    let producer = world.kafka.build_producer(world.kafka.producer()).unwrap();
    assert_eq!(producer.send(record(0)).unwrap().offset().unwrap().get(), 0);
    let delivery = producer.enqueue(record(1)).unwrap();
    assert_eq!(delivery.topic_partition().unwrap().partition, 0);
    assert_eq!(delivery.wait().unwrap().offset().unwrap().get(), 1);
    let (told, tell) = mpsc::channel();
    producer.send_with(record(2), move |result| told.send(result).unwrap()).unwrap();
    assert_eq!(tell.recv().unwrap().unwrap().offset().unwrap().get(), 2);
    let delivery = producer.try_enqueue(record(3)).unwrap();
    assert_eq!(delivery.wait_for(GRACE).unwrap().unwrap().offset().unwrap().get(), 3);
    let outcomes = producer.send_all((4..20).map(record)).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.is_ok()));
    producer.detach(record(20));
    producer.flush().unwrap();
    assert_eq!(world.values(), numbers(0..21));
    assert_eq!(producer.metrics().records_sent, 21);
    let other = producer.topic("other");
    let missing = producer.try_enqueue(Record::to(&other)).unwrap_err();
    assert!(missing.is_unknown_topic());

    producer.close(GRACE).unwrap();
    assert_eq!(producer.send(record(21)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(producer.close(GRACE).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn threads_share_a_producer_and_a_consumer_reads_what_they_sent() {
    let world = World::start();
    let producer = world.kafka.build_producer(world.kafka.producer()).unwrap();
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let producer = producer.clone();
            scope.spawn(move || {
                for number in 0..50 {
                    producer.detach(record(50 * sender + number));
                }
            });
        }
    });
    producer.close(GRACE).unwrap();
    let builder = world.kafka.consumer("g").auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = world.kafka.build_consumer(builder.subscribe(["t"])).unwrap();
    let first = consumer.try_next().unwrap().unwrap();
    let mut values = vec![text(first.value())];
    while values.len() < 200 {
        let batch = consumer.poll(GRACE).unwrap();
        assert!(!batch.is_empty(), "{} of 200", values.len());
        values.extend(batch.iter().map(|message| text(message.value())));
    }
    consumer.commit().unwrap();
    consumer.close(GRACE).unwrap();
    assert_eq!(world.broker.committed("g").values().next().unwrap().offset.get(), 200);
    let mut expected = numbers(0..200);
    expected.sort();
    values.sort();
    assert_eq!(values, expected);
}

/// Blocking there would stop the runtime that is to do the work, and tokio's own guard against it is a panic.
#[test]
fn a_share_consumer_accepts_what_it_read_and_gives_back_what_it_dropped() {
    let world = World::start();
    let workers = |mode| {
        let builder = world.kafka.share_consumer("workers").subscribe(["t"]);
        world.kafka.build_share_consumer(builder.share_acknowledgement_mode(mode)).unwrap()
    };
    let mut first = workers(AcknowledgementMode::Implicit);
    // A group begins at the end of its topics.
    let begins = || world.broker.share_partition("workers", "t", 0);
    let mut polls = 0;
    while begins().is_none_or(|partition| partition.start.is_none()) {
        polls += 1;
        assert!(polls < 1000, "the group does not begin");
        assert!(first.poll(Duration::from_millis(100)).unwrap().is_empty());
    }
    let producer = world.kafka.build_producer(world.kafka.producer()).unwrap();
    producer.send(record(0)).unwrap();
    let message = first.try_next().unwrap().unwrap();
    assert_eq!(text(message.value()), "0");
    first.commit().unwrap();
    producer.send(record(1)).unwrap();
    assert_eq!(first.try_next().unwrap().unwrap().offset().get(), 1);
    drop(first);
    let mut second = workers(AcknowledgementMode::Explicit);
    let again = second.try_next().unwrap().unwrap();
    assert_eq!((text(again.value()), again.delivery_count()), ("1".to_owned(), 2));
    again.accept();
    second.close(GRACE).unwrap();
}

#[test]
fn in_a_thread_of_a_runtime_blocking_calls_fail_and_the_others_work() {
    let world = World::start();
    let producer = world.kafka.build_producer(world.kafka.producer()).unwrap();
    producer.send(record(0)).unwrap();
    let misuse = |error: milena::Error| assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    let delivery = world.runtime.block_on(async {
        misuse(producer.send(record(9)).unwrap_err());
        misuse(producer.send_with(record(9), drop).unwrap_err());
        misuse(producer.flush().unwrap_err());
        misuse(producer.close(GRACE).unwrap_err());
        misuse(world.kafka.build_producer(world.kafka.producer()).unwrap_err());
        misuse(blocking::connect("localhost:1").unwrap_err());
        let delivery = producer.try_enqueue(record(1)).unwrap();
        producer.detach(record(2));
        misuse(delivery.wait().unwrap_err());
        misuse(producer.enqueue(record(9)).unwrap_err());
        producer.try_enqueue(record(3)).unwrap()
    });
    delivery.wait().unwrap();
    // A callback runs in the producer's own runtime.
    let (told, tell) = mpsc::channel();
    let again = producer.clone();
    let callback = move |_| told.send(again.send(record(9)).unwrap_err()).unwrap();
    producer.send_with(record(4), callback).unwrap();
    misuse(tell.recv().unwrap());
    producer.close(GRACE).unwrap();
    assert_eq!(world.values(), numbers(0..5));
}

/// Wherever it is dropped: in a thread, in a runtime, in its own runtime.
#[test]
fn a_drop_neither_blocks_nor_loses_what_is_in_the_buffer() {
    let world = World::start();
    let World { kafka, broker, runtime } = world;
    let linger = Duration::from_millis(50);
    let build = || kafka.build_producer(kafka.producer().linger(linger)).unwrap();
    let first = build();
    first.detach(record(0));
    drop(first);
    let second = build();
    runtime.block_on(async {
        second.detach(record(1));
        drop(second);
    });
    let third = Arc::new(std::sync::Mutex::new(Some(build())));
    let (told, tell) = mpsc::channel();
    let own = Arc::clone(&third);
    let sender = third.lock().unwrap().clone().unwrap();
    let callback = move |_: milena::Result<_>| {
        drop(own.lock().unwrap().take());
        told.send(()).unwrap();
    };
    sender.send_with(record(2), callback).unwrap();
    drop((sender, kafka));
    tell.recv().unwrap();
    runtime.block_on(async {
        eventually("all are stored", || broker.records("t", 0).len() == 3).await;
        let open = || broker.with(|cluster, _| cluster.connection_count());
        eventually("its runtime ends", || open() == 0).await;
    });
}
