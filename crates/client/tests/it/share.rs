//! Share consumers: what is said of a record is what becomes of it, whatever futures are dropped and connections lost.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::Stream;
use milena::config::AcknowledgementMode;
use milena::format::Plain;
use milena::{Acknowledgement, ErrorCode, ErrorKind, Kafka, ShareConsumer, ShareConsumerBuilder};
use milena_broker::on;
use milena_types::ApiKey;
use tokio::time::Instant;

use crate::cancellation::at_each_poll;
use crate::world::{GRACE, LONG, World, drop_after, eventually, numbers, text};

/// Kafka's default.
const LOCK: Duration = Duration::from_secs(30);

fn workers(world: &World) -> ShareConsumerBuilder {
    world.kafka.share_consumer("g").subscribe(["t"])
}

/// A world whose group begins at offset 0: its first member was there before the first record.
async fn stage() -> (World, ShareConsumer) {
    stage_for(workers).await
}

async fn stage_for(first: impl FnOnce(&World) -> ShareConsumerBuilder) -> (World, ShareConsumer) {
    let world = World::with_partitions(1).await;
    let mut first = first(&world).build().await.unwrap();
    assert!(first.poll(Duration::from_secs(10)).await.unwrap().is_empty());
    (world, first)
}

fn by_hand(world: &World) -> ShareConsumerBuilder {
    workers(world).share_acknowledgement_mode(AcknowledgementMode::Explicit)
}

async fn explicit(world: &World) -> ShareConsumer {
    by_hand(world).build().await.unwrap()
}

/// What is left for a new member, with delivery counts.
async fn left(world: &World) -> Vec<(String, u16)> {
    let mut next = explicit(world).await;
    let mut all = Vec::new();
    loop {
        let messages = next.poll(Duration::from_secs(10)).await.unwrap();
        if messages.is_empty() {
            next.close(GRACE).await.unwrap();
            return all;
        }
        for message in messages {
            all.push((text(message.value()), message.delivery_count()));
            message.accept();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_released_comes_again_and_nothing_else_does() {
    let (world, mut consumer) = stage_for(by_hand).await;
    world.fill(0..6).await;
    let messages = consumer.poll(LONG).await.unwrap();
    assert_eq!(messages.len(), 6);
    for (place, message) in messages.into_iter().enumerate() {
        assert_eq!(message.delivery_count(), 1);
        match place % 3 {
            0 => message.accept(),
            1 => message.release(),
            _ => message.reject(),
        }
    }
    consumer.close(GRACE).await.unwrap();
    assert_eq!(left(&world).await, [("1".to_owned(), 2), ("4".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn asking_for_more_accepts_what_was_handed_out() {
    let (world, mut consumer) = stage().await;
    world.fill(0..4).await;
    for number in 0..3 {
        let message = consumer.try_next().await.unwrap().unwrap();
        assert_eq!(text(message.value()), number.to_string());
    }
    let last = consumer.try_next().await.unwrap().unwrap();
    last.release();
    consumer.close(GRACE).await.unwrap();
    assert_eq!(left(&world).await, [("3".to_owned(), 2)]);
}

/// Neither lost nor handed out unseen: every record comes once, however often asking for it was given up.
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_hands_out_nothing() {
    let (world, mut consumer) = stage().await;
    let (mut written, mut seen) = (0, Vec::new());
    at_each_poll(async |step| {
        world.fill(written..written + 1).await;
        written += 1;
        let waited = drop_after(step, consumer.try_next()).await;
        let is_done = waited.is_some();
        seen.extend(waited.map(|message| text(message.unwrap().unwrap().value())));
        let waited = drop_after(step, consumer.poll(LONG)).await;
        if let Some(messages) = waited {
            seen.extend(messages.unwrap().iter().map(|message| text(message.value())));
        }
        is_done
    })
    .await;
    while seen.len() < written {
        let messages = consumer.poll(LONG).await.unwrap();
        assert!(!messages.is_empty(), "{seen:?}");
        seen.extend(messages.iter().map(|message| text(message.value())));
    }
    assert_eq!(seen, numbers(0..written));
    consumer.close(GRACE).await.unwrap();
    assert_eq!(left(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_of_the_handle_leave_the_consumer_whole() {
    let (world, mut consumer) = stage_for(by_hand).await;
    let handle = consumer.handle();
    let mut written = 0;
    at_each_poll(async |step| {
        world.fill(written..written + 1).await;
        written += 1;
        consumer.try_next().await.unwrap().unwrap().accept();
        let one = drop_after(step, consumer.commit()).await.map(|result| result.unwrap());
        let done = drop_after(step, handle.commit()).await.map(|result| result.unwrap());
        one.and(done).is_some()
    })
    .await;
    at_each_poll(async |step| {
        drop_after(step, handle.subscribe(["t"])).await.map(|result| result.unwrap()).is_some()
    })
    .await;
    at_each_poll(async |step| {
        drop_after(step, handle.assignment()).await.map(|result| result.unwrap()).is_some()
    })
    .await;
    at_each_poll(async |step| drop_after(step, handle.member_state()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.member_id()).await.is_some()).await;
    at_each_poll(async |step| drop_after(step, handle.lock_timeout()).await.is_some()).await;
    assert_eq!(handle.lock_timeout().await.unwrap(), Some(LOCK));
    let members = || world.broker.share_group("g").unwrap().members;
    assert!(members().contains_key(&handle.member_id().await.unwrap()));
    at_each_poll(async |step| drop_after(step, by_hand(&world).build()).await.is_some()).await;
    eventually("what was built and dropped leaves", || members().len() == 1).await;
    handle.commit().await.unwrap();
    consumer.close(GRACE).await.unwrap();
    assert_eq!(left(&world).await, []);
}

/// What was said stands, and what was not said of comes again, long before its lock runs out.
#[tokio::test(start_paused = true)]
async fn a_close_goes_on_without_its_caller() {
    for by_handle in [false, true] {
        at_each_poll(async |step| {
            let (world, mut consumer) = stage_for(by_hand).await;
            world.fill(0..2).await;
            consumer.try_next().await.unwrap().unwrap().accept();
            let held = consumer.try_next().await.unwrap().unwrap();
            let (handle, begun) = (consumer.handle(), Instant::now());
            let done = match by_handle {
                true => drop_after(step, handle.close(GRACE)).await,
                false => drop_after(step, consumer.close(GRACE)).await,
            };
            if by_handle && step == 0 {
                handle.close(GRACE).await.unwrap();
            }
            assert_eq!(left(&world).await, [(text(held.value()), 2)], "at step {step}");
            assert!(begun.elapsed() < LOCK, "{:?}", begun.elapsed());
            done.map(|closed| closed.unwrap()).is_some()
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_consumer_lets_go_long_before_its_locks_run_out() {
    let (world, mut consumer) = stage_for(by_hand).await;
    world.fill(0..2).await;
    let held = consumer.poll(LONG).await.unwrap();
    let start = Instant::now();
    drop(consumer);
    let mut other = explicit(&world).await;
    let again = other.poll(LONG).await.unwrap();
    assert_eq!((held.len(), again.len()), (2, 2));
    assert!(start.elapsed() < LOCK / 2, "{:?}", start.elapsed());
    other.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_consumer_leaves_a_close_under_way_its_time() {
    let (world, mut consumer) = stage_for(by_hand).await;
    world.fill(0..2).await;
    for message in consumer.poll(LONG).await.unwrap() {
        message.accept();
    }
    let slow = on(ApiKey::SHARE_ACKNOWLEDGE).delay_answer(Duration::from_secs(8));
    world.broker.add_fault(slow);
    let handle = consumer.handle();
    let closing = tokio::spawn(async move { handle.close(LONG).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(consumer);
    closing.await.unwrap().unwrap();
    world.broker.clear_faults();
    assert_eq!(left(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_ran_out_is_told_and_the_record_is_anothers() {
    let told: Arc<Mutex<Vec<Acknowledgement>>> = Arc::default();
    let hear = Arc::clone(&told);
    let hearing = |world: &World| {
        by_hand(world).on_acknowledged(move |news| hear.lock().unwrap().push(news.clone()))
    };
    let (world, mut slow) = stage_for(hearing).await;
    world.fill(0..2).await;
    let mut held = slow.poll(LONG).await.unwrap().into_iter();
    assert_eq!(slow.handle().lock_timeout().await.unwrap(), Some(LOCK));
    tokio::time::sleep(LOCK / 2).await;
    let (late, renewed) = (held.next().unwrap(), held.next().unwrap());
    renewed.renew();
    slow.commit().await.unwrap();
    tokio::time::sleep(LOCK / 2 + Duration::from_secs(1)).await;
    late.accept();
    renewed.accept();
    // There is nothing to wait for, but to hear of.
    let error = slow.commit().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INVALID_RECORD_STATE), "{error}");
    slow.close(GRACE).await.unwrap();
    assert_eq!(left(&world).await, [("0".to_owned(), 2)]);
    let told = told.lock().unwrap();
    let failed: Vec<_> = told.iter().filter_map(|told| told.result.as_ref().err()).collect();
    assert_eq!(failed.len(), 1, "{told:?}");
    assert_eq!(failed[0].code(), Some(ErrorCode::INVALID_RECORD_STATE));
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_was_handed_out_and_what_became_of_it() {
    let (world, mut consumer) = stage_for(by_hand).await;
    world.fill(0..3).await;
    let mut held = Vec::new();
    while held.len() < 3 {
        held.extend(consumer.poll(LONG).await.unwrap());
    }
    let late = held.pop().unwrap();
    assert_eq!(late.value_as::<String>(&Plain).unwrap().as_deref(), Some("2"));
    held.into_iter().for_each(|message| message.accept());
    consumer.commit().await.unwrap();
    let metrics = consumer.metrics();
    assert_eq!((metrics.records_consumed, metrics.acknowledgements), (3, 2));
    assert_eq!(metrics.acknowledgement_errors, 0);
    assert!(metrics.fetch.count > 0 && metrics.fetch.bytes > 0, "{metrics:?}");
    tokio::time::sleep(LOCK + Duration::from_secs(1)).await;
    late.accept();
    consumer.commit().await.unwrap_err();
    assert_eq!(consumer.metrics().acknowledgement_errors, 1);
}

/// The broker lets go of what was handed out over a connection when that ends.
#[tokio::test(start_paused = true)]
async fn a_commit_whose_connection_breaks_fails_and_the_records_come_again() {
    let (world, mut consumer) = stage_for(by_hand).await;
    world.fill(0..1).await;
    let message = consumer.try_next().await.unwrap().unwrap();
    let fault = world.broker.add_fault(on(ApiKey::SHARE_ACKNOWLEDGE).drop_request());
    message.accept();
    let error = consumer.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    world.broker.remove_fault(fault);
    let again = consumer.try_next().await.unwrap().unwrap();
    assert_eq!((text(again.value()), again.delivery_count()), ("0".to_owned(), 2));
    again.accept();
    consumer.close(GRACE).await.unwrap();
    assert_eq!(left(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_break_are_opened_again() {
    for code in [ErrorCode::SHARE_SESSION_NOT_FOUND, ErrorCode::UNKNOWN_SERVER_ERROR] {
        let (world, mut consumer) = stage().await;
        let mut seen = BTreeSet::new();
        for round in 0..10 {
            world.fill(round..round + 1).await;
            world.broker.add_fault(on(ApiKey::SHARE_FETCH).first(2).error(code));
            let message = consumer.try_next().await.unwrap().unwrap();
            seen.insert(text(message.value()));
        }
        assert_eq!(seen.len(), 10);
        consumer.close(GRACE).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn closing_is_bounded_whatever_hangs() {
    for api in [ApiKey::SHARE_ACKNOWLEDGE, ApiKey::SHARE_GROUP_HEARTBEAT, ApiKey::SHARE_FETCH] {
        let (world, mut consumer) = stage().await;
        world.fill(0..3).await;
        assert_eq!(consumer.poll(LONG).await.unwrap().len(), 3);
        world.broker.add_fault(on(api).hang());
        drop_after(5, consumer.poll(LONG)).await;
        let start = Instant::now();
        let _ = consumer.close(GRACE).await;
        assert!(start.elapsed() <= GRACE + Duration::from_secs(1), "{api}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_consumer_is_closed_by_the_handle() {
    let (world, mut consumer) = stage().await;
    let handle = consumer.handle();
    world.fill(0..1).await;
    let mut stream = Pin::new(&mut consumer);
    let first = poll_fn(|cx| stream.as_mut().poll_next(cx)).await.unwrap().unwrap();
    first.accept();
    let (ended, closed) =
        tokio::join!(poll_fn(|cx| stream.as_mut().poll_next(cx)), handle.close(GRACE));
    closed.unwrap();
    assert!(ended.is_none());
    assert_eq!(handle.commit().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(left(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_java_refuses_for_share_consumers_is_refused() {
    let world = World::with_partitions(1).await;
    for key in [
        "auto.offset.reset",
        "enable.auto.commit",
        "group.instance.id",
        "isolation.level",
        "partition.assignment.strategy",
        "interceptor.classes",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "group.protocol",
        "group.remote.assignor",
    ] {
        let error = workers(&world).set(key, "1").map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{key}: {error}");
    }
    // In a file for all they are a consumer's.
    let all = Kafka::builder().set("auto.offset.reset", "earliest").unwrap();
    assert!(all.set("share.acquire.mode", "record_limit").is_ok());
    let refused = world.kafka.consumer("g").set("share.acquire.mode", "record_limit");
    assert!(refused.is_err());
    let error = world.kafka.share_consumer("g").build().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
}
