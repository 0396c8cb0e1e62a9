//! What a cluster writes down, and what it is after a restart.

use std::time::Duration;

use milena_broker::{Cluster, NewRecord, Settings, TransactionState};
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages as m;

use crate::producer::{ID, Producer, V1, V2};
use crate::world::{World, fetch, fetched, node, offset, ok, tp};

/// Both ways to the same cluster: all that was ever written down, and its short form.
const RESTARTS: [fn(&mut World); 2] = [World::restart, World::restart_compacted];

#[test]
fn records_keep_their_offsets_and_new_ones_go_on_after_them() {
    for restart in RESTARTS {
        let mut world = World::new();
        let connection = world.connect_leader();
        assert_eq!(ok(&world.produce(connection, &["a", "b"], None)), 0);
        let epoch = world.cluster.partition(&tp()).expect("there").leader_epoch;
        restart(&mut world);
        restart(&mut world);
        assert_eq!(world.values(), ["a", "b"]);
        let connection = world.connect_leader();
        assert_eq!(ok(&world.produce(connection, &["c"], None)), 2);
        let partition = world.cluster.partition(&tp()).expect("there");
        assert!(partition.leader_epoch >= epoch);
        assert_eq!((partition.high_watermark, partition.isr.len()), (offset(3), 3));
    }
}

/// Both happen before anything is written down: told the other way round, the new leader would have written it.
#[test]
fn what_an_older_leader_wrote_keeps_its_epoch() {
    for restart in RESTARTS {
        let mut world = World::new();
        let append = |world: &mut World, value: &'static str| {
            world.cluster.append(world.now, &tp(), [NewRecord::new(value)]).expect("taken");
        };
        append(&mut world, "a");
        let leader = world.leader();
        let other = (1..=3).map(node).find(|node| *node != leader).expect("three nodes");
        assert!(world.cluster.move_leader(world.now, &tp(), other));
        append(&mut world, "b");
        restart(&mut world);
        let asked = m::offset_for_leader_epoch_request::OffsetForLeaderPartition {
            partition: 0,
            current_leader_epoch: -1,
            leader_epoch: 0,
        };
        let topic = m::offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![asked],
        };
        let request = m::OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] };
        let connection = world.connect_leader();
        let Response::OffsetForLeaderEpoch(answer) = world.ask(connection, 4, request) else {
            panic!()
        };
        let end = &answer.topics[0].partitions[0];
        assert_eq!((end.leader_epoch, end.end_offset), (0, 1));
    }
}

/// The retry of a batch whose answer the end of the process cut off, even where retention has deleted it since.
#[test]
fn an_idempotent_retry_after_a_restart_is_known() {
    for restart in RESTARTS {
        let mut world = World::new();
        let connection = world.connect_leader();
        assert_eq!(ok(&world.produce(connection, &["a"], Some((7, 0, 0)))), 0);
        assert_eq!(ok(&world.produce(connection, &["b"], Some((7, 0, 1)))), 1);
        world.cluster.delete_records(world.now, &tp(), offset(2));
        restart(&mut world);
        let connection = world.connect_leader();
        assert_eq!(ok(&world.produce(connection, &["b"], Some((7, 0, 1)))), 1);
        assert_eq!(world.values(), [""; 0]);
        let gap = world.produce(connection, &["d"], Some((7, 0, 3))).error_code;
        assert_eq!(gap, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        assert_eq!(ok(&world.produce(connection, &["c"], Some((7, 0, 2)))), 2);
    }
}

#[test]
fn ids_of_producers_are_dealt_once() {
    for restart in RESTARTS {
        let mut world = World::new();
        let deal = |world: &mut World| {
            let connection = world.connect(node(1));
            let request = m::InitProducerIdRequest {
                transactional_id: None,
                producer_id: -1,
                producer_epoch: -1,
                ..Default::default()
            };
            let Response::InitProducerId(answer) = world.ask(connection, 5, request) else {
                panic!()
            };
            answer.producer_id
        };
        let before = deal(&mut world);
        restart(&mut world);
        assert!(deal(&mut world) > before);
    }
}

#[test]
fn an_open_transaction_is_committed_after_the_restart() {
    for (restart, versions) in RESTARTS.into_iter().flat_map(|one| [(one, V1), (one, V2)]) {
        let mut world = World::new();
        let mut producer = Producer::begin(&mut world, versions);
        producer.write(&mut world, "paid");
        restart(&mut world);
        let connection = world.connect_leader();
        let open = fetched(world.ask(connection, 11, fetch(0, 0, 0)));
        assert_eq!(open.last_stable_offset, 0);
        let again = Producer::connect(&mut world, versions);
        (producer.coordinator, producer.leader) = (again.coordinator, again.leader);
        assert_eq!(producer.send(&mut world, "sent"), ErrorCode::NONE);
        assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
        restart(&mut world);
        let view = world.cluster.transaction(ID).expect("known");
        assert_eq!(view.state, TransactionState::CompleteCommit);
        let partition = world.cluster.partition(&tp()).expect("there");
        assert_eq!(partition.last_stable_offset, offset(3));
        assert_eq!(world.values(), ["paid", "sent"]);
    }
}

/// While a journal is read, what it tells next has not happened yet: a broker's setting between the end of a transaction and its
/// markers is no reason to write them, or they would lie before what was stored until then, and a second time where they are told.
#[test]
fn a_broker_s_setting_in_a_journal_writes_no_markers() {
    for markers_are_written in [false, true] {
        let mut world =
            World::with(|settings| settings.transaction_marker_delay = Duration::from_millis(50));
        let mut producer = Producer::begin(&mut world, V2);
        producer.write(&mut world, "paid");
        assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
        crate::configs::set_for_all(&mut world, "log.retention.ms", "3600000");
        let connection = world.connect_leader();
        assert_eq!(ok(&world.produce(connection, &["later"], None)), 1);
        if markers_are_written {
            world.pass(Duration::from_millis(60));
            assert_eq!(ok(&world.produce(connection, &["last"], None)), 3);
        }
        world.restart();
        world.pass(Duration::from_millis(60));
        let batches = world.cluster.batches(&tp());
        let markers: Vec<_> =
            batches.iter().filter(|one| one.is_control).map(|one| one.base_offset).collect();
        assert_eq!(markers, [offset(2)], "written: {markers_are_written}");
        let expected: &[&str] =
            if markers_are_written { &["paid", "later", "last"] } else { &["paid", "later"] };
        assert_eq!(world.values(), expected);
        let partition = world.cluster.partition(&tp()).expect("there");
        assert_eq!(partition.last_stable_offset, partition.high_watermark);
    }
}

/// Its producer died with the process: what it wrote must not stay in the way of readers for ever.
#[test]
fn an_open_transaction_times_out_after_the_restart() {
    for restart in RESTARTS {
        let mut world = World::new();
        let mut producer = Producer::begin(&mut world, V2);
        producer.write(&mut world, "lost");
        restart(&mut world);
        world.pass(Duration::from_secs(61));
        let view = world.cluster.transaction(ID).expect("known");
        assert_eq!(view.state, TransactionState::CompleteAbort);
        let connection = world.connect_leader();
        let mut request = fetch(0, 0, 0);
        request.isolation_level = 1;
        let data = fetched(world.ask(connection, 11, request));
        let aborted: Vec<_> =
            data.aborted_transactions.iter().flatten().map(|one| one.first_offset).collect();
        assert_eq!((aborted, data.last_stable_offset), (vec![0], 2));
    }
}

#[test]
fn topics_keep_their_ids_and_settings_and_deleted_ones_stay_deleted() {
    for restart in RESTARTS {
        let mut world = World::new();
        let mut topic = milena_broker::TopicSettings::new("kept", 2);
        topic.config.insert("retention.ms".to_owned(), "1000".to_owned());
        world.cluster.create_topic(world.now, &topic).expect("legal");
        let gone = milena_broker::TopicSettings::new("gone", 1);
        world.cluster.create_topic(world.now, &gone).expect("legal");
        world.cluster.delete_topic(world.now, "gone");
        let id = world.cluster.topic_id("kept").expect("there");
        restart(&mut world);
        assert_eq!(world.cluster.topic_id("kept"), Some(id));
        assert_eq!(world.cluster.topic_id("gone"), None);
        // Ids are drawn by the seed, and must not be drawn twice.
        world.cluster.create_topic(world.now, &gone).expect("legal");
        let other = world.cluster.topic_id("gone").expect("there");
        assert!(other != id && world.cluster.topic_id("t") != Some(other));
        // Older than it may be by the time that logs are looked through.
        let kept = milena_types::TopicPartition::new("kept", 1);
        world.cluster.append(world.now, &kept, [NewRecord::new("old")]).expect("taken");
        world.pass(Duration::from_secs(301));
        assert_eq!(world.cluster.records(&kept).len(), 0);
    }
}

#[test]
fn what_a_share_group_is_done_with_is_not_delivered_again() {
    for restart in RESTARTS {
        let (mut world, mut member) = crate::share::group();
        let connection = world.connect_leader();
        world.produce(connection, &["a", "b", "c"], None);
        assert_eq!(member.fetch(&mut world), [(0, 2, 1)]);
        assert_eq!(member.say(&mut world, 1, 1, 1), ErrorCode::NONE);
        restart(&mut world);
        let mut member = crate::share::Member::join(&mut world, "again");
        assert_eq!(member.fetch(&mut world), [(0, 0, 1), (2, 2, 1)]);
    }
}

#[test]
fn a_cluster_with_fewer_nodes_is_refused() {
    let mut world = World::new();
    world.drain();
    let one = Settings::with_nodes(1);
    let refused = Cluster::restore(one, world.now, world.pieces().iter().cloned());
    let why = refused.expect_err("two nodes are missing");
    assert!(why.contains("3 nodes"), "{why}");
}

/// Bytes that anybody may have changed: an error, never a panic.
#[test]
fn harmed_pieces_are_refused_or_read_but_never_panic() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    producer.write(&mut world, "a");
    producer.end(&mut world, true);
    world.drain();
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let mut pieces = world.pieces().to_vec();
        let at = rng.usize(..pieces.len());
        let mut harmed = pieces[at].to_vec();
        let byte = rng.usize(..harmed.len());
        harmed[byte] ^= rng.u8(1..);
        pieces[at] = harmed.into();
        let _ = Cluster::restore(Settings::with_nodes(3), world.now, pieces);
    }
}
