//! What is deleted from the start of a log, and how readers see it.

use bytes::Bytes;
use milena_broker::TopicSettings;
use milena_records::{BatchBuilder, Buffer, Compression, Compressor};
use milena_types::Timestamp;
use milena_wire::Response;
use milena_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};

use crate::producer::{Producer, V2};
use crate::world::{NOON, World, fetch, fetched, offset, ok, produce, produced, tp};

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

/// Where the log starts once batches of these times were stored in a topic that keeps a minute, or 100 bytes.
fn start_of(cleanup_policy: &str, retention: (&str, &str), times: &[Timestamp]) -> i64 {
    let mut world = World::with(|settings| {
        let mut topic = TopicSettings::new("t", 1);
        topic.config.insert("cleanup.policy".into(), cleanup_policy.into());
        topic.config.insert(retention.0.into(), retention.1.into());
        settings.topics = vec![topic];
    });
    let connection = world.connect_leader();
    for time in times {
        ok(&produced(world.ask(connection, 9, produce(-1, timed(&[*time])))));
    }
    world.cluster.partition(&tp()).expect("there").log_start_offset.get()
}

/// Compaction keeps the newest record of each key however old it is.
#[test]
fn only_the_policy_delete_deletes_by_age_and_by_size() {
    let (old, new) = (after_noon(-61), after_noon(0));
    for (retention, times) in
        [(("retention.ms", "60000"), [old, new, new]), (("retention.bytes", "100"), [new; 3])]
    {
        for (policy, is_deleted) in [("delete", true), ("compact", false), ("compact,delete", true)]
        {
            let start = start_of(policy, retention, &times);
            assert_eq!(start > 0, is_deleted, "{policy} with {}", retention.0);
        }
    }
}

/// Kafka goes by the time of the file then, which is later than any record was stored.
#[test]
fn a_batch_without_times_is_not_old() {
    let times = [Timestamp::from_millis(-1), after_noon(0), after_noon(0)];
    assert_eq!(start_of("delete", ("retention.ms", "60000"), &times), 0);
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
    let asked = ListOffsetsPartition { timestamp: after_noon(3).millis(), ..Default::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![asked] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let Response::ListOffsets(response) = world.ask(connection, 7, request) else { panic!() };
    assert_eq!(response.topics[0].partitions[0].offset, 3);
}
