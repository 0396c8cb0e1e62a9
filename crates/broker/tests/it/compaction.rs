//! What compaction takes away, and what readers see of it.

use std::time::Duration;

use milena_broker::{NewRecord, TopicSettings};
use milena_records::RecordSet;
use milena_types::{ErrorCode, TopicPartition};
use milena_wire::Records;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::producer::{Producer, V1, V2};
use crate::world::{
    World, batch_of, fetch, fetched, node, offset, offsets, ok, produce, produced, tp,
};

/// The topic `t`, compacted every 15 seconds, with a segment for each batch.
fn compacting(config: &[(&str, &str)]) -> World {
    World::with(|settings| {
        settings.failover = Duration::ZERO;
        let mut topic = TopicSettings::new("t", 1);
        let always = [("cleanup.policy", "compact"), ("internal.segment.bytes", "1")];
        let set =
            always.iter().chain(config).map(|(name, value)| (name.to_string(), value.to_string()));
        topic.config.extend(set);
        settings.topics = vec![topic];
    })
}

fn put(world: &mut World, records: &[(&str, Option<&str>)]) {
    let records = records.iter().map(|(key, value)| match value {
        Some(value) => NewRecord::new(value.to_string()).key(key.to_string()),
        None => NewRecord::tombstone(key.to_string()),
    });
    world.cluster.append(world.now, &tp(), records.collect::<Vec<_>>()).expect("taken");
    world.drain();
}

/// Offsets, keys and values; a tombstone is `-`.
fn stored(world: &World) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let records = world.cluster.records(&tp()).into_iter();
    let lines = records.map(|record| {
        let value = record.value.map_or_else(|| "-".to_owned(), |value| text(&value));
        format!("{} {}={value}", record.offset.get(), text(&record.key.unwrap_or_default()))
    });
    lines.collect()
}

fn clean(world: &mut World) {
    world.pass(Duration::from_secs(16));
}

#[test]
fn the_newest_record_of_each_key_stays_at_its_offset() {
    let mut world = compacting(&[("min.cleanable.dirty.ratio", "0")]);
    put(&mut world, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    put(&mut world, &[("c", Some("1")), ("b", Some("2"))]);
    put(&mut world, &[("a", Some("3"))]);
    clean(&mut world);
    // The last batch is the active segment: what it says of `a` does not count yet.
    assert_eq!(stored(&world), ["2 a=2", "3 c=1", "4 b=2", "5 a=3"]);
    put(&mut world, &[("d", Some("1"))]);
    put(&mut world, &[("d", Some("2"))]);
    clean(&mut world);
    assert_eq!(stored(&world), ["3 c=1", "4 b=2", "5 a=3", "6 d=1", "7 d=2"]);
    let partition = world.cluster.partition(&tp()).expect("there");
    assert_eq!((partition.log_start_offset, partition.log_end_offset), (offset(0), offset(8)));
}

/// A batch that is left with a gap keeps its last offset, or a reader would ask for the gap for ever.
#[test]
fn a_reader_passes_over_the_gaps() {
    let mut world = compacting(&[]);
    put(&mut world, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("b", Some("2"))]);
    put(&mut world, &[("b", Some("3")), ("c", Some("1"))]);
    put(&mut world, &[("z", Some("1"))]);
    clean(&mut world);
    let first = &world.cluster.batches(&tp())[0];
    assert_eq!((first.base_offset, first.last_offset, first.records), (offset(0), offset(3), 1));
    let connection = world.connect_leader();
    let mut next = 0;
    let mut read = Vec::new();
    while next < 7 {
        let mut request = fetch(next, 1, 0);
        // A batch at a time.
        request.topics[0].partitions[0].partition_max_bytes = 1;
        let data = fetched(world.ask(connection, 11, request));
        assert_eq!(data.error_code, ErrorCode::NONE);
        read.extend(offsets(&data));
        let bytes = data.records.map(Records::into_bytes).expect("a batch");
        let last = RecordSet::new(bytes).last().expect("a batch").expect("whole").last_offset();
        assert!(last.get() >= next, "no progress at {next}");
        next = last.get() + 1;
    }
    assert_eq!(read, [2, 4, 5, 6]);
}

#[test]
fn a_tombstone_goes_once_readers_had_their_time_to_see_it() {
    let mut world = compacting(&[("delete.retention.ms", "60000")]);
    put(&mut world, &[("a", Some("1"))]);
    put(&mut world, &[("a", None)]);
    put(&mut world, &[("z", Some("1"))]);
    clean(&mut world);
    assert_eq!(stored(&world), ["1 a=-", "2 z=1"]);
    world.pass(Duration::from_secs(50));
    assert_eq!(stored(&world), ["1 a=-", "2 z=1"]);
    world.pass(Duration::from_secs(30));
    assert_eq!(stored(&world), ["2 z=1"]);
}

#[test]
fn what_is_young_or_little_is_left_alone() {
    for config in [("min.compaction.lag.ms", "3600000"), ("internal.segment.bytes", "1000000")] {
        let mut world = compacting(&[config]);
        for value in ["1", "2", "3"] {
            put(&mut world, &[("a", Some(value))]);
        }
        clean(&mut world);
        assert_eq!(stored(&world).len(), 3, "{config:?}");
    }
    let mut world = compacting(&[("min.cleanable.dirty.ratio", "0.5")]);
    for key in 0..8 {
        put(&mut world, &[(&key.to_string(), Some("1"))]);
    }
    clean(&mut world);
    // Two new batches to seven that were looked at.
    put(&mut world, &[("0", Some("2"))]);
    put(&mut world, &[("0", Some("3"))]);
    clean(&mut world);
    assert_eq!(stored(&world).len(), 10);
    for key in 0..8 {
        put(&mut world, &[(&key.to_string(), Some("4"))]);
    }
    clean(&mut world);
    assert_eq!(stored(&world).len(), 9);
}

/// What an open transaction wrote is not decided; what an aborted one wrote never counts, though it is newer.
#[test]
fn transactions_are_compacted_once_they_are_decided() {
    let mut world = compacting(&[("delete.retention.ms", "0")]);
    let mut producer = Producer::begin(&mut world, V2);
    put(&mut world, &[("a", Some("1"))]);
    put(&mut world, &[("a", Some("2"))]);
    producer.write_record(&mut world, (Some("b"), "open"));
    put(&mut world, &[("a", Some("3"))]);
    put(&mut world, &[("a", Some("4"))]);
    clean(&mut world);
    assert_eq!(stored(&world), ["1 a=2", "2 b=open", "3 a=3", "4 a=4"]);
    assert_eq!(producer.end(&mut world, false), ErrorCode::NONE);
    put(&mut world, &[("z", Some("1"))]);
    clean(&mut world);
    assert_eq!(stored(&world), ["4 a=4", "6 z=1"]);
    world.pass(Duration::from_secs(60));
    assert!(
        world.cluster.batches(&tp()).iter().all(|batch| !batch.is_control),
        "the marker goes last"
    );
}

/// A reader that is told of an aborted transaction skips what its producer wrote, up to the marker: without one to the end.
#[test]
fn an_aborted_transaction_whose_marker_is_gone_hides_no_committed_one() {
    let stay: fn(&mut World) = |_| ();
    for restart in [stay, World::restart, World::restart_compacted] {
        let mut world = compacting(&[("delete.retention.ms", "0")]);
        let mut producer = Producer::begin(&mut world, V1);
        producer.write_record(&mut world, (Some("a"), "aborted"));
        assert_eq!(producer.end(&mut world, false), ErrorCode::NONE);
        put(&mut world, &[("z", Some("1"))]);
        world.pass(Duration::from_secs(60));
        assert_eq!(world.cluster.batches(&tp()).len(), 1, "neither records nor marker are left");
        producer.write_record(&mut world, (Some("b"), "committed"));
        assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
        restart(&mut world);
        let connection = world.connect_leader();
        let mut request = fetch(0, 1, 0);
        request.isolation_level = 1;
        let data = fetched(world.ask(connection, 11, request));
        assert_eq!(data.aborted_transactions.iter().flatten().count(), 0, "{data:?}");
        assert_eq!(offsets(&data), [2, 3, 4]);
    }
}

#[test]
fn a_compacted_log_is_the_same_after_a_restart() {
    let mut world = compacting(&[]);
    put(&mut world, &[("a", Some("1")), ("b", Some("1"))]);
    put(&mut world, &[("a", Some("2"))]);
    put(&mut world, &[("z", Some("1"))]);
    clean(&mut world);
    let before = world.cluster.batches(&tp());
    world.restart();
    assert_eq!(world.cluster.batches(&tp()), before);
    world.restart_compacted();
    assert_eq!(world.cluster.batches(&tp()), before);
    put(&mut world, &[("z", Some("2"))]);
    assert_eq!(stored(&world), ["1 b=1", "2 a=2", "3 z=1", "4 z=2"]);
}

/// What partitions remember of producers is read anew where an unclean election cuts a log off.
#[test]
fn a_compacted_batch_keeps_its_sequences() {
    let mut world = compacting(&[("unclean.leader.election.enable", "true")]);
    let replicas = world.cluster.partition(&tp()).expect("there").replicas;
    let connection = world.connect_leader();
    let records = [(Some("a"), "1"), (Some("a"), "2"), (Some("b"), "1")];
    let send = |world: &mut World, connection, sequence| {
        let records = batch_of(&records, Some((7, 0, sequence)), false);
        produced(world.ask(connection, 9, produce(-1, records)))
    };
    ok(&send(&mut world, connection, 0));
    put(&mut world, &[("z", Some("1"))]);
    clean(&mut world);
    assert_eq!(stored(&world), ["1 a=2", "2 b=1", "3 z=1"]);
    for other in &replicas[1..] {
        world.cluster.crash_node(world.now, *other);
    }
    put(&mut world, &[("z", Some("lost"))]);
    world.cluster.crash_node(world.now, replicas[0]);
    world.cluster.restart_node(world.now, replicas[1]);
    assert_eq!(stored(&world), ["1 a=2", "2 b=1", "3 z=1"]);
    let connection = world.connect_leader();
    assert_eq!(ok(&send(&mut world, connection, 3)), 4);
}

/// Compaction could not tell what such a record is newer than.
#[test]
fn records_without_a_key_are_refused() {
    let mut world = compacting(&[]);
    let connection = world.connect_leader();
    let records = [(Some("a"), "1"), (None, "2"), (Some("b"), "3"), (None, "4")];
    let request = produce(-1, batch_of(&records, None, false));
    let answer = produced(world.ask(connection, 9, request));
    assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::INVALID_RECORD, -1));
    let why = "Compacted topic cannot accept message without key in topic partition t-0";
    let errors: Vec<_> = answer.record_errors.iter().map(|one| one.batch_index).collect();
    assert_eq!(errors, [1, 3]);
    assert_eq!(answer.record_errors[0].batch_index_error_message.as_deref(), Some(why));
    let message = format!(
        "One or more records have been rejected due to 2 record errors in total, and only showing the first three errors \
         at most: [RecordError(batchIndex=1, message='{why}'), RecordError(batchIndex=3, message='{why}')]"
    );
    assert_eq!(answer.error_message.as_deref(), Some(&*message));
    assert_eq!(stored(&world), [""; 0]);
    let refused = world.cluster.append(world.now, &tp(), [NewRecord::new("no key")]);
    assert_eq!(refused.map_err(|error| error.code), Err(ErrorCode::INVALID_RECORD));
}

/// Nobody appends, so that nothing but time can delete it.
#[test]
fn retention_by_time_holds_in_a_partition_at_rest() {
    for (policy, is_deleted) in [("delete", true), ("compact,delete", true), ("compact", false)] {
        let mut world = compacting(&[("cleanup.policy", policy), ("retention.ms", "60000")]);
        put(&mut world, &[("a", Some("1"))]);
        world.pass(Duration::from_secs(20));
        assert_eq!(stored(&world).len(), 1);
        world.pass(Duration::from_secs(600));
        assert_eq!(stored(&world).is_empty(), is_deleted, "{policy}");
    }
}

/// After a restart as well: nobody appends, and all else has forgotten when it was to be looked at.
#[test]
fn a_partition_at_rest_is_cleaned_after_a_restart() {
    for restart in [World::restart, World::restart_compacted] {
        for (policy, left) in [("delete", 0), ("compact", 2)] {
            let mut world = compacting(&[("cleanup.policy", policy), ("retention.ms", "60000")]);
            for value in ["1", "2", "3"] {
                put(&mut world, &[("a", Some(value))]);
            }
            restart(&mut world);
            assert_eq!(stored(&world).len(), 3);
            world.pass(Duration::from_secs(600));
            assert_eq!(stored(&world).len(), left, "{policy}");
        }
    }
}

#[test]
fn a_topic_at_rest_is_compacted_once_its_configuration_says_so() {
    let mut world = compacting(&[("cleanup.policy", "delete")]);
    for value in ["1", "2", "3"] {
        put(&mut world, &[("a", Some(value))]);
    }
    clean(&mut world);
    assert_eq!(stored(&world).len(), 3);
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configs: vec![AlterableConfig {
            name: "cleanup.policy".into(),
            config_operation: 0,
            value: Some("compact".into()),
        }],
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let connection = world.connect(node(1));
    world.ask(connection, 1, request);
    clean(&mut world);
    assert_eq!(stored(&world), ["1 a=2", "2 a=3"]);
}

/// All of them together may be more than a piece can hold.
#[test]
fn each_compacted_log_is_told_in_a_piece_of_its_own() {
    let mut world = World::with(|settings| {
        let mut topic = TopicSettings::new("t", 3);
        let config = [("cleanup.policy", "compact"), ("internal.segment.bytes", "1")];
        topic.config.extend(config.map(|(name, value)| (name.to_owned(), value.to_owned())));
        settings.topics = vec![topic];
    });
    for (partition, value) in (0..3).flat_map(|partition| [(partition, "1"), (partition, "2")]) {
        let partition = TopicPartition::new("t", partition);
        for key in ["a", "b"] {
            let record = NewRecord::new(value).key(key);
            world.cluster.append(world.now, &partition, [record]).expect("taken");
        }
    }
    world.drain();
    let before = world.pieces().len();
    clean(&mut world);
    assert_eq!(world.pieces().len() - before, 3);
    let batches = world.cluster.batches(&tp());
    world.restart();
    assert_eq!(world.cluster.batches(&tp()), batches);
}
