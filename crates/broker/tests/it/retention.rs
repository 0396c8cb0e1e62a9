//! What is deleted from the start of a log, and how readers see it.

use std::time::Duration;

use bytes::Bytes;
use milena_broker::{NewRecord, TopicSettings};
use milena_records::{BatchBuilder, Buffer, Compression, Compressor};
use milena_types::{ErrorCode, Timestamp};
use milena_wire::Response;
use milena_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};

use crate::producer::{Producer, V2};
use crate::world::{NOON, World, fetch, fetched, offset, offsets, ok, produce, produced, tp};

/// One batch with a record of each time.
fn timed(times: &[Timestamp]) -> Bytes {
    let mut builder = BatchBuilder::new(Buffer::with_capacity(256));
    for time in times {
        builder.append(*time, Some(b"k"), Some(b"value"), []).expect("fits");
    }
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).expect("has records");
    sealed.stamp(None).to_bytes()
}

fn after_noon(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOON.millis() + 1000 * seconds)
}

/// A batch of each time, stored in a topic of this configuration.
fn storing(config: &[(&str, &str)], times: &[Timestamp]) -> World {
    let mut world = World::with(|settings| {
        let mut topic = TopicSettings::new("t", 1);
        let config = config.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        topic.config.extend(config);
        settings.topics = vec![topic];
    });
    let connection = world.connect_leader();
    for time in times {
        ok(&produced(world.ask(connection, 9, produce(-1, timed(&[*time])))));
    }
    world
}

fn start(world: &World) -> i64 {
    world.cluster.partition(&tp()).expect("there").log_start_offset.get()
}

/// Longer than from one look at all logs to the next.
const LOOK: Duration = Duration::from_secs(301);

/// Compaction keeps the newest record of each key however old it is.
#[test]
fn only_the_policy_delete_deletes_by_age_and_by_size() {
    for retention in [("retention.ms", "60000"), ("retention.bytes", "100")] {
        for (policy, is_deleted) in [("delete", true), ("compact", false), ("compact,delete", true)]
        {
            let mut world = storing(&[("cleanup.policy", policy), retention], &[after_noon(0); 3]);
            assert_eq!(start(&world) > 0, is_deleted && retention.0 == "retention.bytes");
            world.pass(LOOK);
            assert_eq!(start(&world) > 0, is_deleted, "{policy} with {}", retention.0);
        }
    }
}

/// Event times may be of any year. An append that deleted by age would delete what was stored a moment ago.
#[test]
fn old_records_stay_until_the_logs_are_looked_through() {
    let mut world = storing(&[], &[1000, 2000, 3000].map(Timestamp::from_millis));
    let year_2020 = Timestamp::from_millis(1_577_836_800_000);
    for _ in 0..2 {
        let record = NewRecord::new("value").timestamp(year_2020);
        world.cluster.append(world.now, &tp(), [record]).expect("stored");
    }
    assert_eq!((start(&world), world.values().len()), (0, 5));
    let connection = world.connect_leader();
    let data = fetched(world.ask(connection, 11, fetch(0, 1, 0)));
    assert_eq!(offsets(&data), [0, 1, 2, 3, 4]);
    world.pass(LOOK);
    assert_eq!((start(&world), world.values().len()), (5, 0));
}

/// As Kafka deletes files: what is old stays beside what is not.
#[test]
fn a_segment_is_deleted_once_all_of_it_is_old() {
    let times = [after_noon(-1000), after_noon(-990), after_noon(290)];
    for (segment_ms, left_from) in [("604800000", 0), ("60000", 2), ("5000", 2)] {
        let config = [("retention.ms", "60000"), ("segment.ms", segment_ms)];
        let mut world = storing(&config, &times);
        world.pass(LOOK);
        assert_eq!(start(&world), left_from, "segment.ms={segment_ms}");
        world.pass(LOOK);
        assert_eq!(start(&world), 3, "the active segment too");
    }
}

/// Kafka goes by the time of the file then, which is later than any record was stored.
#[test]
fn a_segment_without_times_is_not_old() {
    let mut world = storing(&[("retention.ms", "60000")], &[Timestamp::from_millis(-1); 2]);
    world.pass(LOOK);
    assert_eq!(start(&world), 0);
}

#[test]
fn the_last_stable_offset_never_lies_below_the_start() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    for value in ["a", "b", "c"] {
        producer.write(&mut world, value);
    }
    world.cluster.delete_records(world.now, &tp(), offset(2));
    let connection = world.connect_leader();
    let data = fetched(world.ask(connection, 11, fetch(2, 0, 0)));
    assert_eq!((data.log_start_offset, data.last_stable_offset), (2, 2));
}

/// The first batch that reaches the time holds no record of it any more.
#[test]
fn a_time_is_looked_up_among_the_records_that_are_left() {
    let mut world = World::new();
    let connection = world.connect_leader();
    for times in [[after_noon(5), after_noon(1)], [after_noon(2), after_noon(3)]] {
        ok(&produced(world.ask(connection, 9, produce(-1, timed(&times)))));
    }
    world.cluster.delete_records(world.now, &tp(), offset(1));
    assert_eq!(found_at(&mut world, after_noon(3)), (3, after_noon(3).millis()));
}

/// Kafka looks at batches, of whatever kind.
#[test]
fn a_time_is_looked_up_among_markers_too() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    producer.write(&mut world, "a");
    world.pass(Duration::from_secs(2));
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(found_at(&mut world, after_noon(0)), (0, after_noon(0).millis()));
    assert_eq!(found_at(&mut world, after_noon(1)), (1, after_noon(2).millis()));
    assert_eq!(found_at(&mut world, after_noon(3)), (-1, -1));
}

/// Offset and time of the first record at or after `time`.
fn found_at(world: &mut World, time: Timestamp) -> (i64, i64) {
    let asked = ListOffsetsPartition { timestamp: time.millis(), ..Default::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![asked] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let connection = world.connect_leader();
    let Response::ListOffsets(response) = world.ask(connection, 7, request) else { panic!() };
    let found = &response.topics[0].partitions[0];
    (found.offset, found.timestamp)
}
