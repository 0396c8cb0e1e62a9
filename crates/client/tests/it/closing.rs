//! Ends: bounded, told, and nothing left running.

use std::time::Duration;

use milena::{ErrorKind, NodeId, Record};
use milena_broker::on;
use milena_types::ApiKey;
use tokio::time::Instant;

use crate::world::{GRACE, LONG, World, client_of, eventually, numbers, read};

const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn close_sends_what_is_in_the_buffer_and_refuses_more() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().linger(Duration::from_secs(60)).build().await.unwrap();
    for number in 0..50 {
        let _delivery =
            producer.send(Record::to("t").value(number.to_string())).enqueue().await.unwrap();
    }
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..50));
    let late = producer.send(Record::to("t").value("late")).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed);
    assert_eq!(producer.flush().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(producer.close(GRACE).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(world.values(0).len(), 50);
}

async fn close_is_bounded_while(trouble: impl Fn(&World)) {
    let world = World::of_three(1).await;
    let producer = world.producer().await;
    producer.send(Record::to("t").value("0")).await.unwrap();
    trouble(&world);
    let mut deliveries = Vec::new();
    for number in 1..50 {
        let record = Record::to("t").value(number.to_string());
        deliveries.push(producer.send(record).enqueue().await.unwrap());
    }
    let before = Instant::now();
    let error = producer.close(PATIENCE).await.unwrap_err();
    assert!(before.elapsed() <= PATIENCE + Duration::from_millis(50), "{:?}", before.elapsed());
    assert_eq!(error.kind(), ErrorKind::Timeout);
    for delivery in deliveries {
        assert!(delivery.await.is_err(), "given up, not acknowledged");
    }
    // No task is left that would send them later.
    world.broker.clear_faults();
    let stored = world.values(0);
    tokio::time::sleep(LONG).await;
    assert_eq!(world.values(0), stored);
}

#[tokio::test(start_paused = true)]
async fn close_is_bounded_while_answers_hang() {
    close_is_bounded_while(|world| {
        world.broker.add_fault(on(ApiKey::PRODUCE).hang());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn close_is_bounded_while_every_node_stands_still() {
    close_is_bounded_while(|world| {
        for node in 1..=3 {
            world.broker.pause_node(NodeId::new(node));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn close_is_bounded_while_every_node_is_down() {
    close_is_bounded_while(|world| {
        for node in 1..=3 {
            world.broker.crash_node(NodeId::new(node));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_closes_in_time_while_every_node_stands_still() {
    let world = World::of_three(1).await;
    world.fill(0..10).await;
    let mut consumer = world.member().enable_auto_commit(true).build().await.unwrap();
    assert_eq!(read(&mut consumer, 10).await.len(), 10);
    for node in 1..=3 {
        world.broker.pause_node(NodeId::new(node));
    }
    let before = Instant::now();
    let closed = consumer.close(PATIENCE).await;
    assert!(before.elapsed() <= PATIENCE + Duration::from_millis(50), "{:?}", before.elapsed());
    // Its last commit was lost with the cluster, and it says so.
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(world.committed(0), None);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_ends_when_a_handle_closes_the_consumer() {
    let world = World::with_partitions(1).await;
    let mut consumer = world.member().build().await.unwrap();
    let handle = consumer.handle();
    let (polled, closed) = tokio::join!(consumer.poll(LONG), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        handle.close(GRACE).await
    });
    closed.unwrap();
    assert_eq!(polled.unwrap_err().kind(), ErrorKind::Closed);
    assert!(consumer.try_next().await.unwrap().is_none());
    assert_eq!(world.members(), 0);
}

/// A task that waits for a signal closes, and the loop that ends with it drops the consumer.
#[tokio::test(start_paused = true)]
async fn a_dropped_consumer_leaves_a_close_under_way_its_time() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut consumer = world.member().enable_auto_commit(true).build().await.unwrap();
    assert_eq!(read(&mut consumer, 10).await.len(), 10);
    // What was read is done with.
    assert!(consumer.poll(Duration::from_millis(10)).await.unwrap().is_empty());
    world.broker.add_fault(on(ApiKey::OFFSET_COMMIT).delay_answer(Duration::from_secs(8)));
    let handle = consumer.handle();
    let closing = tokio::spawn(async move { handle.close(LONG).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    drop(consumer);
    closing.await.unwrap().unwrap();
    assert!(begun.elapsed() < LONG / 2, "commits by the interval do not hold it up");
    assert_eq!((world.committed(0), world.members()), (Some(10), 0));
}

/// A `drop` that blocked would stand still for ever: nothing else runs in this thread.
#[tokio::test(start_paused = true)]
async fn dropping_everything_ends_every_connection() {
    let world = World::of_three(3).await;
    world.fill(0..10).await;
    let producer = world.producer().await;
    producer.send(Record::to("t").value("more")).await.unwrap();
    let mut consumer = world.member().build().await.unwrap();
    assert!(!consumer.poll(LONG).await.unwrap().is_empty());
    assert!(world.connections() > 3);
    let World { broker, kafka } = world;
    drop((producer, consumer, kafka));
    let open = || broker.with(|cluster, _| cluster.connection_count());
    eventually("connections close", || open() == 0).await;
    assert_eq!(broker.group("g").map_or(0, |group| group.members.len()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_producer_sends_what_it_holds() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().linger(Duration::from_secs(5)).build().await.unwrap();
    for number in 0..50 {
        let _delivery =
            producer.send(Record::to("t").value(number.to_string())).enqueue().await.unwrap();
    }
    drop(producer);
    eventually("the buffer is sent", || world.values(0).len() == 50).await;
    assert_eq!(world.values(0), numbers(0..50));
}

#[tokio::test(start_paused = true)]
async fn closing_the_handle_ends_its_connections_in_time() {
    let world = World::of_three(1).await;
    let other = client_of(&world.broker).connect().await.unwrap();
    assert_eq!(other.admin().list_topics().await.unwrap().len(), 1);
    eventually("only the other is connected", || world.connections() == 1).await;
    assert_eq!(world.kafka.admin().list_topics().await.unwrap().len(), 1);
    assert_eq!(world.connections(), 2);
    let begun = Instant::now();
    world.kafka.close(PATIENCE).await;
    assert!(begun.elapsed() <= PATIENCE + Duration::from_millis(50), "{:?}", begun.elapsed());
    eventually("its connections close", || world.connections() == 1).await;
    let refused = world.kafka.admin().list_topics().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    assert_eq!(other.admin().list_topics().await.unwrap().len(), 1);
}

/// Late is who has given something up, not who had no time.
#[tokio::test(start_paused = true)]
async fn a_close_without_time_is_late_only_with_something_to_send() {
    let world = World::with_partitions(1).await;
    for grace in [Duration::ZERO, Duration::MAX] {
        let idle = world.producer().await;
        idle.send(Record::to("t").value("sent")).await.unwrap();
        idle.close(grace).await.unwrap();
    }
    let busy = world.producer().await;
    let delivery = busy.send(Record::to("t").value("given up")).enqueue().await.unwrap();
    assert_eq!(busy.close(Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Timeout);
    let error = delivery.await.unwrap_err();
    // It left in the same breath, and nobody stayed to hear of it.
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Closed, milena::Fate::Unknown));
}

/// Calls that wait for a connection which nobody will open have the whole time-out ahead of them.
#[tokio::test(start_paused = true)]
async fn what_was_made_from_a_closed_handle_says_so_at_once() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let producer = world.producer().await;
    producer.send(Record::to("t").value("before")).await.unwrap();
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 11).await.len(), 11);
    world.kafka.close(GRACE).await;
    assert_eq!(world.connections(), 0, "the consumer's too");

    let begun = Instant::now();
    let closed = |error: milena::Error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    closed(producer.send(Record::to("t").value("after")).await.unwrap_err());
    closed(producer.send(Record::to("unknown").value("after")).await.unwrap_err());
    closed(world.kafka.partitions_for("unknown").await.unwrap_err());
    closed(consumer.poll(LONG).await.unwrap_err());
    closed(consumer.commit().await.unwrap_err());
    let mut late = world.member().build().await.unwrap();
    closed(late.poll(LONG).await.unwrap_err());
    consumer.close(GRACE).await.unwrap();
    drop(producer.close(GRACE).await);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
