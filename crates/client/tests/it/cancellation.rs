//! Every public future is dropped after each of its polls: what its documentation promises still holds then, and a
//! fresh call works.

use std::time::Duration;

use milena::{ErrorCode, Kafka, Offset, Record};
use milena_broker::Broker;

use crate::world::{
    GRACE, LONG, STEPS_MAX, World, client_of, drop_after, eventually, numbers, read, text,
};

/// Runs `call` with the steps 0, 1, 2 … of [`drop_after`] until it comes to its end, which it must.
pub(crate) async fn at_each_poll(mut call: impl AsyncFnMut(usize) -> bool) {
    for step in 0..STEPS_MAX {
        if call(step).await {
            assert!(step > 0, "nothing can be ready before it is polled");
            return;
        }
    }
    panic!("not done after {STEPS_MAX} steps");
}

/// No value may be there twice.
fn assert_each_once(values: &[String]) {
    let mut sorted = values.to_vec();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), values.len(), "stored twice: {values:?}");
}

#[tokio::test(start_paused = true)]
async fn connect_leaves_nothing_open() {
    let broker = Broker::builder().nodes(3).topic("t", 1).start_in_memory().await.unwrap();
    let open = || broker.with(|cluster, _| cluster.connection_count());
    at_each_poll(async |step| {
        let kafka = drop_after(step, client_of(&broker).connect()).await;
        let is_done = kafka.map(|connected| drop(connected.unwrap())).is_some();
        eventually("what it opened is closed", || open() == 0).await;
        is_done
    })
    .await;
    let kafka = client_of(&broker).connect().await.unwrap();
    assert_eq!(kafka.partitions_for("t").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn building_leaves_the_handle_usable() {
    let world = World::with_partitions(1).await;
    at_each_poll(async |step| drop_after(step, world.kafka.producer().build()).await.is_some())
        .await;
    at_each_poll(async |step| drop_after(step, world.member().build()).await.is_some()).await;
    eventually("members leave", || world.members() == 0).await;
    world.fill(0..3).await;
    assert_eq!(read(&mut world.member().build().await.unwrap(), 3).await, numbers(0..3));
}

/// Each producer is fresh, so that the topic's metadata must be waited for.
#[tokio::test(start_paused = true)]
async fn send_stores_at_most_once() {
    let world = World::with_partitions(1).await;
    let mut acknowledged = Vec::new();
    at_each_poll(async |step| {
        let producer = world.producer().await;
        let value = format!("at {step}");
        let sending = producer.send(Record::to("t").value(&value)).into_future();
        let done = drop_after(step, sending).await;
        acknowledged.extend(done.iter().map(|stored| {
            assert!(stored.is_ok());
            value.clone()
        }));
        let fresh = format!("after {step}");
        producer.send(Record::to("t").value(&fresh)).await.unwrap();
        acknowledged.push(fresh);
        producer.close(GRACE).await.unwrap();
        done.is_some()
    })
    .await;
    let stored = world.values(0);
    assert_each_once(&stored);
    assert!(
        acknowledged.iter().all(|value| stored.contains(value)),
        "{acknowledged:?}: {stored:?}"
    );
    assert!(!stored.contains(&"at 0".to_owned()), "nothing is sent before the first poll");
}

/// Admission is the line: before it nothing is sent, after it the record goes.
#[tokio::test(start_paused = true)]
async fn enqueue_stores_exactly_what_was_admitted() {
    let world = World::with_partitions(1).await;
    let mut admitted = Vec::new();
    at_each_poll(async |step| {
        let producer = world.producer().await;
        let value = step.to_string();
        let enqueue = producer.send(Record::to("t").value(&value)).enqueue();
        let done = drop_after(step, enqueue).await;
        if let Some(delivery) = &done {
            assert!(delivery.is_ok());
            admitted.push(value.clone());
        }
        producer.close(GRACE).await.unwrap();
        done.is_some()
    })
    .await;
    assert_eq!(world.values(0), admitted);
}

/// A dropped wait for room must give back the room that it was granted.
#[tokio::test(start_paused = true)]
async fn enqueue_into_a_full_buffer_leaks_no_room() {
    let world = World::with_partitions(1).await;
    let node = milena::NodeId::new(1);
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(3000);
    let producer = producer.build().await.unwrap();
    producer.send(Record::to("t").value("first")).await.unwrap();
    let value = "x".repeat(900);
    let mut admitted = 1;
    at_each_poll(async |step| {
        world.broker.pause_node(node);
        while producer.try_enqueue(Record::to("t").value(&value)).is_ok() {
            admitted += 1;
        }
        let enqueue = producer.send(Record::to("t").value(&value)).enqueue();
        let (done, ()) = tokio::join!(drop_after(step, enqueue), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.broker.resume_node(node);
        });
        admitted += usize::from(matches!(done, Some(Ok(_))));
        producer.flush().await.unwrap();
        done.is_some()
    })
    .await;
    // All of the buffer is free again.
    for _ in 0..2 {
        drop(producer.try_enqueue(Record::to("t").value(&value)).unwrap());
        admitted += 1;
    }
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0).len(), admitted);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_does_not_take_its_record_back() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let mut count = 0;
    at_each_poll(async |step| {
        let record = Record::to("t").value(step.to_string());
        let delivery = producer.send(record).enqueue().await.unwrap();
        count += 1;
        drop_after(step, delivery).await.is_some()
    })
    .await;
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..count));
}

#[tokio::test(start_paused = true)]
async fn flush_stops_waiting_and_nothing_else() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().linger(Duration::from_secs(1)).build().await.unwrap();
    let mut count = 0;
    at_each_poll(async |step| {
        for _ in 0..10 {
            let record = Record::to("t").value(count.to_string());
            let _delivery = producer.send(record).enqueue().await.unwrap();
            count += 1;
        }
        drop_after(step, producer.flush()).await.is_some()
    })
    .await;
    producer.flush().await.unwrap();
    assert_eq!(world.values(0), numbers(0..count));
}

#[tokio::test(start_paused = true)]
async fn a_producers_close_goes_on_without_its_caller() {
    let world = World::with_partitions(1).await;
    let mut count = 0;
    at_each_poll(async |step| {
        let producer =
            world.kafka.producer().linger(Duration::from_secs(20)).build().await.unwrap();
        for _ in 0..10 {
            let record = Record::to("t").value(count.to_string());
            let _delivery = producer.send(record).enqueue().await.unwrap();
            count += 1;
        }
        let done = drop_after(step, producer.close(GRACE)).await;
        if step > 0 {
            // Well before `linger.ms`: it is the close that sends.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let late = producer.send(Record::to("t").value("late")).await.unwrap_err();
            assert_eq!(late.kind(), milena::ErrorKind::Closed);
        }
        drop(producer);
        eventually("all is stored", || world.values(0).len() == count).await;
        done.is_some()
    })
    .await;
    assert_eq!(world.values(0), numbers(0..count));
}

/// Each consumer is fresh, so that joining, positions and fetching happen under the dropped polls.
#[tokio::test(start_paused = true)]
async fn poll_loses_nothing() {
    let world = World::with_partitions(1).await;
    world.fill(0..30).await;
    at_each_poll(async |step| {
        let mut consumer = world.member().max_poll_records(7).build().await.unwrap();
        let mut values = Vec::new();
        let done = drop_after(step, consumer.poll(LONG)).await;
        let is_done = done.is_some();
        if let Some(batch) = done {
            values.extend(batch.unwrap().iter().map(|message| text(message.value())));
        }
        // Again while the buffer is full, and again when the log is at its end.
        while values.len() < 30 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if let Some(batch) = drop_after(step.clamp(1, 3), consumer.poll(LONG)).await {
                values.extend(batch.unwrap().iter().map(|message| text(message.value())));
            }
        }
        assert_eq!(values, numbers(0..30), "at step {step}");
        consumer.close(GRACE).await.unwrap();
        is_done
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn try_next_loses_nothing() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    at_each_poll(async |step| {
        let mut consumer = world.member().build().await.unwrap();
        let first = drop_after(step, consumer.try_next()).await;
        let mut values: Vec<_> =
            first.iter().map(|m| text(m.as_ref().unwrap().as_ref().unwrap().value())).collect();
        values.extend(read(&mut consumer, 10 - values.len()).await);
        assert_eq!(values, numbers(0..10), "at step {step}");
        consumer.close(GRACE).await.unwrap();
        first.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn commits_go_on_and_never_go_back() {
    let world = World::with_partitions(1).await;
    world.fill(0..50).await;
    let mut consumer = world.member().max_poll_records(1).build().await.unwrap();
    let mut position = 0;
    at_each_poll(async |step| {
        assert_eq!(consumer.poll(LONG).await.unwrap().len(), 1);
        position += 1;
        drop_after(step, consumer.commit()).await.is_some()
    })
    .await;
    assert_eq!(world.committed(0), Some(position));
    at_each_poll(async |step| {
        let batch = consumer.poll(LONG).await.unwrap();
        position += 1;
        drop_after(step, batch.commit()).await.is_some()
    })
    .await;
    assert_eq!(world.committed(0), Some(position));
    at_each_poll(async |step| {
        position += 1;
        let offsets = [(("t", 0), Offset::new(position).unwrap())];
        drop_after(step, consumer.commit_offsets(offsets)).await.is_some()
    })
    .await;
    assert_eq!(world.committed(0), Some(position));
    let journal = world.broker.journal();
    let taken: Vec<_> = journal.commits().map(|commit| commit.committed.offset.get()).collect();
    assert!(taken.is_sorted(), "{taken:?}");
    consumer.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn seeks_and_pauses_are_done_whole_or_not_at_all() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut consumer = world.reader().await;
    assert_eq!(read(&mut consumer, 10).await.len(), 10);
    let handle = consumer.handle();
    let zero = Offset::new(0).unwrap();
    at_each_poll(async |step| drop_after(step, consumer.seek(("t", 0), zero)).await.is_some())
        .await;
    assert_eq!(read(&mut consumer, 10).await, numbers(0..10));
    at_each_poll(async |step| drop_after(step, handle.pause([("t", 0)])).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.resume([("t", 0)])).await.is_some()).await;
    at_each_poll(async |step| {
        drop_after(step, handle.seek_to_beginning([("t", 0)])).await.is_some()
    })
    .await;
    assert_eq!(read(&mut consumer, 10).await, numbers(0..10));
    at_each_poll(async |step| drop_after(step, handle.seek_to_end([("t", 0)])).await.is_some())
        .await;
    assert!(consumer.poll(Duration::from_secs(5)).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn questions_of_a_consumer_can_be_asked_again() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 10).await.len(), 10);
    consumer.commit().await.unwrap();
    let handle = consumer.handle();
    let tp = [("t", 0)];
    at_each_poll(async |step| drop_after(step, handle.assignment()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.paused()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.member_state()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.committed(tp)).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.beginning_offsets(tp)).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.end_offsets(tp)).await.is_some()).await;
    let ends = handle.end_offsets(tp).await.unwrap();
    assert_eq!(ends.values().map(|end| end.get()).collect::<Vec<_>>(), [10]);
    let committed = handle.committed(tp).await.unwrap();
    assert_eq!(committed.values().map(|c| c.offset.get()).collect::<Vec<_>>(), [10]);
}

#[tokio::test(start_paused = true)]
async fn a_consumers_close_goes_on_without_its_caller() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    at_each_poll(async |step| {
        let mut consumer = world.member().build().await.unwrap();
        assert_eq!(read(&mut consumer, 10).await.len(), 10);
        let done = drop_after(step, consumer.close(GRACE)).await;
        let before = tokio::time::Instant::now();
        eventually("the member leaves", || world.members() == 0).await;
        // Not by the end of its session.
        assert!(before.elapsed() < Duration::from_secs(5));
        done.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handles_close_can_be_dropped() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().await.unwrap();
    let open = || broker.with(|cluster, _| cluster.connection_count());
    at_each_poll(async |step| {
        let kafka: Kafka = client_of(&broker).connect().await.unwrap();
        let done = drop_after(step, kafka.close(GRACE)).await;
        drop(kafka);
        eventually("connections close", || open() == 0).await;
        done.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn admin_calls_can_be_made_again() {
    let world = World::of_three(2).await;
    world.fill(0..10).await;
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 10).await.len(), 10);
    consumer.commit().await.unwrap();
    let (admin, kafka) = (world.kafka.admin(), &world.kafka);
    at_each_poll(async |step| {
        let name = format!("new-{step}");
        let create = || admin.create_topic(name.as_str()).partitions(1).into_future();
        let done = drop_after(step, create()).await;
        match create().await {
            Ok(()) => assert!(done.is_none()),
            Err(error) => assert_eq!(error.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS)),
        }
        let delete = || admin.delete_topics([name.as_str()]);
        let deleted = drop_after(step, delete()).await;
        let again = delete().await.unwrap();
        assert!(again[0].1.is_ok() || again[0].1.as_ref().unwrap_err().code().is_some());
        done.is_some() && deleted.is_some()
    })
    .await;
    at_each_poll(async |step| drop_after(step, admin.list_topics()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, admin.describe_topics(["t"])).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, admin.list_groups()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, admin.describe_group("g")).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, admin.group_offsets("g")).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, kafka.partitions_for("t")).await.is_some()).await;
    let topics = admin.list_topics().await.unwrap();
    let names: Vec<_> = topics.iter().filter(|t| !t.is_internal()).map(|t| t.name()).collect();
    assert_eq!(names, ["t"]);
    let offsets = admin.group_offsets("g").await.unwrap();
    let ours = offsets.iter().find(|row| row.partition().partition == 0).unwrap();
    assert_eq!((ours.committed().map(|o| o.get()), ours.lag()), (Some(10), Some(0)));
}
