//! What stands between a consumer and its records: followers, topics made anew, brokers that refuse or are silent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use milena_records::Limits;
use milena_types::{ApiKey, ErrorCode, NodeId};
use milena_wire::Request;

use crate::consumer::tests::world::{Fault, SECOND, World, log_of, offset, tp};
use crate::consumer::{
    Claimed, Ends, Event, IsolationLevel, OffsetReset, Polled, Reader, Settings,
};
use crate::metadata::{Broker, Cluster, TopicMetadata};

fn alone() -> Settings {
    let mut settings = World::settings();
    settings.group = None;
    settings
}

/// A consumer that says where it is; node 2 follows node 1 and answers `code`.
fn near(world: &mut World, code: ErrorCode) -> usize {
    world.stub.logs.get_mut(&tp(0)).unwrap().follower = Some((2, code));
    let mut settings = alone();
    settings.client_rack = Some("near".into());
    settings.metadata_max_age = 60 * SECOND;
    world.assigned(settings, &[0])
}

fn fetches(world: &World) -> usize {
    world.stub.requests.iter().filter(|api| **api == ApiKey::FETCH).count()
}

/// KIP-392: the leader names a replica; it is read from until the lease is over, and then the leader is asked again.
#[test]
fn a_near_replica_is_read_from_for_as_long_as_its_lease() {
    let mut world = World::new(1, 1);
    world.produce(0, 20);
    let client = near(&mut world, ErrorCode::NONE);
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].offsets(0), (0..20).collect::<Vec<_>>());
    assert!(*world.stub.follower_reads.borrow() > 0, "the leader gives no records itself");
    // The leader names nobody any more; that is noticed when the lease ends.
    world.stub.logs.get_mut(&tp(0)).unwrap().follower = None;
    world.produce(0, 5);
    world.run_for(70 * SECOND);
    assert_eq!(world.clients[client].offsets(0), (0..25).collect::<Vec<_>>());
    assert!(world.clients[client].errors.is_empty());
}

/// Trap 31: whatever a follower refuses, the leader is asked before anything is concluded; and the two must not send the
/// consumer to and fro as fast as the network goes.
#[test]
fn a_follower_that_refuses_costs_neither_the_position_nor_a_storm() {
    for code in [
        ErrorCode::OFFSET_OUT_OF_RANGE,
        ErrorCode::OFFSET_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::UNKNOWN_LEADER_EPOCH,
        ErrorCode::KAFKA_STORAGE_ERROR,
    ] {
        let mut world = World::new(1, 1);
        world.produce(0, 20);
        let client = near(&mut world, code);
        world.run_for(20 * SECOND);
        assert!(world.clients[client].got.is_empty());
        assert!(fetches(&world) < 100, "{code}: {} fetches in 20 s", fetches(&world));
        let lookups = world.stub.requests.iter().filter(|api| **api == ApiKey::LIST_OFFSETS);
        assert_eq!(lookups.count(), 1, "{code}: the start, and nothing after that");
        world.stub.logs.get_mut(&tp(0)).unwrap().follower = Some((2, ErrorCode::NONE));
        world.run_for(5 * SECOND);
        assert_eq!(world.clients[client].offsets(0), (0..20).collect::<Vec<_>>(), "{code}");
        assert!(world.clients[client].errors.is_empty(), "{code}");
    }
}

/// Where a partition's own reader goes in the middle of a validation, its position goes back; unless that is validated in its
/// turn, the end of a log that was cut is only out of range.
#[test]
fn what_is_given_back_during_a_validation_is_validated_still() {
    let mut world = World::new(1, 1);
    world.produce(0, 3);
    world.produce(0, 7);
    let client = world.assigned(alone(), &[0]);
    world.clients[client].asleep = true;
    let buffer = Arc::clone(world.clients[client].consumer.buffer());
    let claim = buffer.claim(|_| true).unwrap();
    world.run_for(SECOND);
    let mut reader =
        Reader::of_claimed(Arc::clone(&buffer), claim.clone(), 7, true, Limits::default());
    let mut polled = Polled::new();
    reader.poll(&mut polled).unwrap();
    assert_eq!(polled.len(), 7);
    buffer.return_claimed(&claim.0, claim.1);
    reader.poll(&mut polled).unwrap();
    assert_eq!(buffer.position(&tp(0)).unwrap().offset, offset(10));

    world.stub.logs.get_mut(&tp(0)).unwrap().elect(2, 3);
    let (now, cluster) = (world.now, world.stub.cluster());
    world.clients[client].consumer.handle_cluster(now, cluster);
    drop(reader);
    buffer.unclaim(&claim.0, claim.1);
    world.clients[client].consumer.handle_buffer(now);
    world.run_for(5 * SECOND);
    let claim = buffer.claim(|_| true).unwrap();
    let event = buffer.poll_claimed(&mut Context::from_waker(Waker::noop()), &claim.0, claim.1);
    let Poll::Ready(Claimed::Event(Event::Truncated { position, diverged_at, .. })) = event else {
        panic!("{event:?}")
    };
    let diverged_at = diverged_at.unwrap();
    assert_eq!((position.offset, diverged_at.offset), (offset(7), offset(3)));
    assert_eq!(buffer.position(&tp(0)), Some(diverged_at), "it is not started anew");
}

/// F26: positions in the old log would skip the first records of the new one.
#[test]
fn a_topic_made_anew_is_read_from_its_start_and_told() {
    for reset in [OffsetReset::Latest, OffsetReset::Earliest, OffsetReset::None] {
        let mut world = World::new(1, 2);
        world.produce(0, 10);
        let client = world.assigned(alone(), &[0, 1]);
        world.run_for(SECOND);
        assert_eq!(world.clients[client].got.len(), 10);
        world.clients[client].consumer.settings.auto_offset_reset = reset;
        world.stub.incarnation += 1;
        world.stub.logs.insert(tp(0), log_of(1));
        world.stub.logs.insert(tp(1), log_of(2));
        world.stub.evict_sessions();
        world.produce(0, 30);
        world.clients[client].got.clear();
        learn_cluster(&mut world, client);
        world.run_for(3 * SECOND);
        assert_eq!(recreated(&world, client), [(0, 10)], "of partition 1 nothing was read");
        let expected: Vec<i64> = match reset {
            OffsetReset::None => vec![],
            _ => (0..30).collect(),
        };
        assert_eq!(world.clients[client].offsets(0), expected, "{reset:?}");
        // A broker that is behind names the old topic once more: that is no third topic.
        world.stub.incarnation -= 1;
        learn_cluster(&mut world, client);
        world.stub.incarnation += 1;
        learn_cluster(&mut world, client);
        world.run_for(3 * SECOND);
        assert_eq!(recreated(&world, client).len(), 1);
        assert_eq!(world.clients[client].offsets(0), expected, "{reset:?}: nothing twice");
    }
}

/// Its id was told before there was an assignment, and never since.
#[test]
fn a_topic_made_anew_is_noticed_by_what_was_read_of_it() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.client(alone());
    learn_cluster(&mut world, client);
    world.stub.no_metadata = true;
    world.clients[client].owned.insert(tp(0));
    let now = world.now;
    world.clients[client].consumer.assign(now, BTreeSet::from([tp(0)])).unwrap();
    world.run_for(SECOND);
    assert_eq!(world.clients[client].got.len(), 10);
    world.stub.incarnation += 1;
    world.stub.logs.insert(tp(0), log_of(1));
    world.stub.evict_sessions();
    world.produce(0, 30);
    world.clients[client].got.clear();
    learn_cluster(&mut world, client);
    world.run_for(SECOND);
    assert_eq!(recreated(&world, client), [(0, 10)]);
    assert_eq!(world.clients[client].offsets(0), (0..30).collect::<Vec<_>>());
}

/// Brokers that know no ids tell of the new topic first; that it is another shows in one partition.
#[test]
fn a_topic_made_anew_is_read_once_though_its_id_comes_late() {
    let mut world = World::new(1, 2);
    world.stub.logs.get_mut(&tp(0)).unwrap().epoch = 5;
    for partition in [0, 1] {
        world.produce(partition, 10);
    }
    let client = world.assigned(alone(), &[0, 1]);
    world.run_for(SECOND);
    let former = world.stub.topic_id(&tp(0).topic);
    world.stub.incarnation += 1;
    for partition in [0, 1] {
        world.stub.logs.insert(tp(partition), log_of(1));
        world.produce(partition, 30);
    }
    world.stub.evict_sessions();
    world.clients[client].got.clear();
    let cluster = world.stub.cluster();
    let nameless = cluster.topics().map(|topic| TopicMetadata {
        id: None,
        former: vec![former],
        ..TopicMetadata::clone(topic)
    });
    let nameless = Cluster::new([Broker::new(NodeId::new(1), "stub", 9092)], nameless);
    let now = world.now;
    world.clients[client].consumer.handle_cluster(now, Arc::new(nameless));
    world.run_for(SECOND);
    for partition in [0, 1] {
        let read = world.clients[client].offsets(partition);
        assert_eq!(read, (0..30).collect::<Vec<_>>(), "{partition}");
    }
    learn_cluster(&mut world, client);
    world.run_for(SECOND);
    assert_eq!(world.clients[client].got.len(), 60, "nothing twice");
    assert_eq!(recreated(&world, client), [(0, 10), (1, 10)]);
}

fn learn_cluster(world: &mut World, client: usize) {
    let (now, cluster) = (world.now, world.stub.cluster());
    world.clients[client].consumer.handle_cluster(now, cluster);
}

fn recreated(world: &World, client: usize) -> Vec<(i32, i64)> {
    let events = world.clients[client].events.iter();
    let told = events.filter_map(|event| match event {
        Event::Recreated { partition, position } => {
            Some((partition.partition, position.offset.get()))
        }
        _ => None,
    });
    told.collect()
}

/// What a broker cannot read from its remote storage is told, at the pace of the back-off, and read once it can.
#[test]
fn an_error_of_tiered_storage_is_told_and_outlived() {
    let mut world = World::new(1, 2);
    world.produce(0, 5);
    world.produce(1, 5);
    let refusal = Some(ErrorCode::OFFSET_MOVED_TO_TIERED_STORAGE);
    world.stub.logs.get_mut(&tp(0)).unwrap().refusal = refusal;
    let client = world.assigned(alone(), &[0, 1]);
    world.run_for(10 * SECOND);
    assert_eq!(world.clients[client].offsets(1).len(), 5, "the others go on");
    let errors = &world.clients[client].errors;
    assert_eq!(errors[0].code(), refusal);
    assert_eq!(errors[0].topic_partition(), Some(tp(0)));
    assert!(errors.len() < 40 && fetches(&world) < 100, "{} {}", errors.len(), fetches(&world));
    world.stub.logs.get_mut(&tp(0)).unwrap().refusal = None;
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].offsets(0), [0, 1, 2, 3, 4]);
}

/// F8 and F18: what one broker does not answer is no matter of the other's.
#[test]
fn a_silent_broker_holds_up_no_other() {
    let mut world = World::new(1, 2);
    world.produce(0, 5);
    world.produce(1, 5);
    let client = world.assigned(alone(), &[0, 1]);
    world.run_for(SECOND);
    world.stub.silent = Some(1);
    for _ in 0..20 {
        world.produce(0, 5);
        world.produce(1, 5);
        world.run_for(SECOND);
    }
    // The fetch that it had taken in before is answered yet.
    assert!(world.clients[client].offsets(0).len() <= 10);
    assert_eq!(world.clients[client].offsets(1).len(), 105);
}

/// While the user works on what he has, what comes next is on its way already.
#[test]
fn the_next_fetch_is_on_the_wire_while_records_wait() {
    let mut world = World::new(1, 1);
    for _ in 0..10 {
        world.produce(0, 50);
    }
    let mut settings = alone();
    settings.buffer_bytes = 1 << 20;
    let client = world.assigned(settings, &[0]);
    world.clients[client].asleep = true;
    world.run_for(SECOND);
    let before = fetches(&world);
    world.produce(0, 50);
    world.run_for(SECOND);
    assert!(fetches(&world) > before, "nobody has polled, and there is room");
    world.clients[client].asleep = false;
    world.run_for(10 * SECOND);
    assert_eq!(world.clients[client].offsets(0), (0..550).collect::<Vec<_>>());
}

/// KIP-74: a batch larger than every limit comes whole if it is the first.
#[test]
fn a_batch_above_all_limits_is_read() {
    let mut world = World::new(1, 2);
    world.produce(0, 30_000);
    world.produce(1, 10);
    world.produce(0, 5);
    let mut settings = alone();
    settings.buffer_bytes = 1;
    settings.fetch_max_bytes = 1;
    settings.max_partition_fetch_bytes = 1;
    settings.max_poll_records = 1000;
    let client = world.assigned(settings, &[0, 1]);
    world.run_for(20 * SECOND);
    assert_eq!(world.clients[client].offsets(0).len(), 30_005);
    assert_eq!(world.clients[client].offsets(1).len(), 10);
    assert!(world.clients[client].errors.is_empty());
}

fn stalls(world: &World, client: usize) -> Vec<(i32, Option<i64>, Option<i64>)> {
    let events = world.clients[client].events.iter();
    let stalls = events.filter_map(|event| match event {
        Event::Stalled { partition, position, end, .. } => Some((
            partition.partition,
            position.map(|position| position.offset.get()),
            end.map(milena_types::Offset::get),
        )),
        _ => None,
    });
    stalls.collect()
}

/// Healthy heartbeats and no records: the worst that a consumer can do is to keep quiet about it.
#[test]
fn a_partition_that_is_behind_and_stands_still_is_told_once() {
    let mut world = World::new(1, 3);
    for partition in 0..3 {
        world.produce(partition, 5);
    }
    let mut settings = alone();
    settings.request_timeout = 5 * SECOND;
    let client = world.assigned(settings, &[0, 1, 2]);
    world.run_for(SECOND);
    assert_eq!(world.clients[client].got.len(), 15);
    for end in [10, 15] {
        // It is known that there is more, and the leader refuses it without a word that the user would hear.
        let log = world.stub.logs.get_mut(&tp(0)).unwrap();
        log.refusal = Some(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        world.produce(0, 5);
        let ends = Ends { high_watermark: Some(offset(end)), ..Default::default() };
        world.clients[client].consumer.buffer().learn(&tp(0), ends);
        world.run_for(60 * SECOND);
        let last = (0, Some(end - 5), Some(end));
        assert_eq!(stalls(&world, client).last(), Some(&last));
        world.stub.logs.get_mut(&tp(0)).unwrap().refusal = None;
        world.run_for(5 * SECOND);
        let read = i64::try_from(world.clients[client].offsets(0).len()).unwrap();
        assert_eq!(read, end);
    }
    assert_eq!(stalls(&world, client).len(), 2, "once each time, and no other partition");
}

/// A partition whose position nobody tells stands still as well.
#[test]
fn a_partition_without_a_position_is_told() {
    let mut world = World::new(1, 1);
    let mut settings = alone();
    settings.request_timeout = 5 * SECOND;
    world.fault = Some(Box::new(|_, _, request| {
        matches!(request, Request::ListOffsets(_)).then_some(Fault::LoseAnswer)
    }));
    let client = world.assigned(settings, &[0]);
    world.run_for(30 * SECOND);
    assert_eq!(stalls(&world, client), [(0, None, None)]);
}

#[test]
fn whoever_is_paused_at_the_end_or_slow_is_not_told_of_a_stall() {
    for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
        let mut world = World::new(1, 3);
        for _ in 0..50 {
            world.produce(0, 100);
            world.produce(1, 100);
        }
        let mut settings = alone();
        settings.request_timeout = 5 * SECOND;
        settings.isolation_level = isolation;
        settings.buffer_bytes = 1;
        let client = world.assigned(settings, &[0, 1, 2]);
        let now = world.now;
        world.clients[client].consumer.pause(now, &BTreeSet::from([tp(1)])).unwrap();
        world.clients[client].asleep = true;
        world.run_for(300 * SECOND);
        world.clients[client].asleep = false;
        world.run_for(Duration::from_millis(100));
        assert!(stalls(&world, client).is_empty());
    }
}
