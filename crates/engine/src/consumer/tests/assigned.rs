//! Reading partitions that the user named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_types::{LeaderEpoch, Timestamp};
use milena_wire::Request;

use crate::consumer::tests::world::{Fault, SECOND, World, offset, tp};
use crate::consumer::{
    Event, IsolationLevel, OffsetReset, OffsetSpec, Position, Query, Reply, Settings,
};
use crate::error::ErrorKind;

/// Settings of a consumer without a group.
fn alone() -> Settings {
    let mut settings = World::settings();
    settings.group = None;
    settings
}

#[test]
fn everything_is_read_once_and_in_order() {
    let mut world = World::new(1, 4);
    for partition in 0..4 {
        for _ in 0..20 {
            world.produce(partition, 5);
        }
    }
    let client = world.assigned(alone(), &[0, 1, 2, 3]);
    world.run_for(5 * SECOND);
    for partition in 0..4 {
        assert_eq!(world.clients[client].offsets(partition), (0..100).collect::<Vec<_>>());
    }
    world.produce(2, 3);
    world.run_for(2 * SECOND);
    assert_eq!(world.clients[client].offsets(2).len(), 103);
    assert_eq!(world.stub.full_fetches, 2, "one session a broker");
}

#[test]
fn a_poll_hands_out_no_more_than_its_limit() {
    let mut world = World::new(1, 1);
    world.produce(0, 100);
    let mut settings = alone();
    settings.max_poll_records = 30;
    let client = world.assigned(settings, &[0]);
    world.clients[client].asleep = true;
    world.run_for(SECOND);
    for expected in [30, 60, 90, 100, 100] {
        let now = world.now;
        world.clients[client].poll(now);
        assert_eq!(world.clients[client].got.len(), expected);
    }
}

#[test]
fn an_evicted_session_costs_nothing_but_a_full_fetch() {
    let mut world = World::new(1, 2);
    let client = world.assigned(alone(), &[0, 1]);
    for round in 1..5 {
        world.produce(0, 5);
        world.produce(1, 5);
        world.run_for(SECOND);
        assert_eq!(world.clients[client].got.len(), round * 10);
        world.stub.evict_sessions();
    }
    assert!(world.clients[client].errors.is_empty());
}

/// R13: nothing is answered for half a minute; then all goes on by itself.
#[test]
fn reading_goes_on_after_an_outage() {
    let mut world = World::new(1, 2);
    world.produce(0, 5);
    let client = world.assigned(World::settings(), &[0, 1]);
    world.run_for(SECOND);
    world.fault = Some(Box::new(|_, _, _| Some(Fault::LoseRequest)));
    world.run_for(30 * SECOND);
    world.fault = None;
    world.produce(0, 5);
    world.produce(1, 5);
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].got.len(), 15);
}

/// R20: a partition whose topic no snapshot names yet is waited for, not stranded.
#[test]
fn a_partition_that_metadata_does_not_know_yet_is_read_once_it_does() {
    let mut world = World::new(1, 0);
    let client = world.assigned(alone(), &[0]);
    world.run_for(5 * SECOND);
    let log = crate::consumer::tests::world::log_of(1);
    world.stub.logs.insert(tp(0), log);
    world.produce(0, 5);
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].offsets(0), [0, 1, 2, 3, 4]);
}

#[test]
fn a_seek_takes_effect_at_once() {
    let mut world = World::new(1, 1);
    for _ in 0..10 {
        world.produce(0, 10);
    }
    let client = world.assigned(alone(), &[0]);
    world.run_for(Duration::from_millis(60));
    let now = world.now;
    let consumer = &mut world.clients[client].consumer;
    consumer.seek(now, &tp(0), Position::new(offset(95), None)).unwrap();
    world.clients[client].forget_expected(0, Some(95));
    world.clients[client].got.clear();
    world.run_for(SECOND);
    assert_eq!(world.clients[client].offsets(0), [95, 96, 97, 98, 99]);
    let refused =
        world.clients[client].consumer.seek(world.now, &tp(7), Position::new(offset(0), None));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misuse);
}

/// R10: the reply to a lookup that was under way when the user sought must not undo the seek, at whatever moment.
#[test]
fn a_seek_is_not_undone_by_a_lookup_under_way() {
    for committed in [None, Some((3, -1))] {
        let mut overtaken = 0;
        for step in 0..40 {
            let mut world = World::new(step, 1);
            world.produce(0, 50);
            world.stub.committed.extend(committed.map(|at| (tp(0), at)));
            world.delay_max = Duration::from_millis(100);
            let client = world.assigned(World::settings(), &[0]);
            world.run_for(Duration::from_millis(10 * step));
            if !world.clients[client].got.is_empty() {
                continue;
            }
            let asked = |api| world.stub.requests.contains(&api);
            let (first, second) = match committed {
                Some(_) => (milena_types::ApiKey::OFFSET_FETCH, milena_types::ApiKey::FETCH),
                None => (milena_types::ApiKey::LIST_OFFSETS, milena_types::ApiKey::FETCH),
            };
            overtaken += u32::from(asked(first) && !asked(second));
            let now = world.now;
            let at = Position::new(offset(40), None);
            world.clients[client].consumer.seek(now, &tp(0), at).unwrap();
            world.clients[client].forget_expected(0, Some(40));
            world.run_for(2 * SECOND);
            assert_eq!(world.clients[client].offsets(0), (40..50).collect::<Vec<_>>());
        }
        assert!(overtaken > 0, "no seek came between a question and its answer");
    }
}

/// A session tells the end of an unchanged log once: an answer that the seek overtakes may be the only one.
#[test]
fn the_end_of_a_log_is_known_whenever_the_user_seeks() {
    for step in 0..40 {
        let mut world = World::new(step, 1);
        world.delay_max = Duration::from_millis(100);
        let client = world.assigned(alone(), &[0]);
        world.run_for(Duration::from_millis(10 * step));
        let at = Position::new(offset(0), None);
        let now = world.now;
        world.clients[client].consumer.seek(now, &tp(0), at).unwrap();
        world.run_for(2 * SECOND);
        let buffer = world.clients[client].consumer.buffer();
        let end = buffer.ends(&tp(0)).and_then(|ends| ends.high_watermark);
        assert_eq!(end, Some(offset(0)), "sought after {} ms", 10 * step);
    }
}

#[test]
fn a_seek_to_the_end_skips_what_is_there() {
    let mut world = World::new(1, 1);
    world.produce(0, 20);
    let client = world.assigned(alone(), &[0]);
    world.clients[client].asleep = true;
    world.run_for(SECOND);
    let now = world.now;
    let partitions = BTreeSet::from([tp(0)]);
    world.clients[client].consumer.seek_by(now, &partitions, OffsetReset::Latest).unwrap();
    world.clients[client].asleep = false;
    world.run_for(SECOND);
    world.produce(0, 2);
    world.run_for(SECOND);
    assert_eq!(world.clients[client].offsets(0), [20, 21]);
    let now = world.now;
    world.clients[client].consumer.seek_by(now, &partitions, OffsetReset::Earliest).unwrap();
    world.clients[client].forget_expected(0, Some(0));
    world.run_for(SECOND);
    assert_eq!(world.clients[client].offsets(0).len(), 24);
}

#[test]
fn each_reset_policy_starts_where_it_says() {
    let cases = [
        (OffsetReset::Earliest, vec![5, 6, 7, 8, 9, 10]),
        (OffsetReset::Latest, vec![10]),
        // The stub's records carry their offset as the time; the wall clock stands at 0 when the world begins.
        (OffsetReset::ByDuration(Duration::from_secs(3600)), vec![5, 6, 7, 8, 9, 10]),
        (OffsetReset::None, vec![]),
    ];
    for (reset, expected) in cases {
        let mut world = World::new(1, 1);
        world.produce(0, 10);
        world.stub.logs.get_mut(&tp(0)).unwrap().start = 5;
        let mut settings = World::settings();
        settings.auto_offset_reset = reset;
        let client = world.assigned(settings, &[0]);
        world.run_for(SECOND);
        world.produce(0, 1);
        world.run_for(SECOND);
        let got = world.clients[client].offsets(0);
        let got: Vec<_> = got.into_iter().filter(|offset| *offset >= 5).collect();
        assert_eq!(got, expected, "{reset:?}");
        let kinds: Vec<_> = world.clients[client].errors.iter().map(|e| e.kind()).collect();
        let none = if reset == OffsetReset::None { vec![ErrorKind::NoOffset] } else { vec![] };
        assert_eq!(kinds, none, "{reset:?}");
    }
}

/// F30: records that were fetched before retention took the rest are handed out before the reset.
#[test]
fn an_offset_out_of_range_resets_only_once_what_waits_is_read() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.assigned(alone(), &[0]);
    world.clients[client].asleep = true;
    world.clients[client].gaps = true;
    world.run_for(SECOND);
    let log = world.stub.logs.get_mut(&tp(0)).unwrap();
    log.append(10, None);
    log.append(10, None);
    log.start = 20;
    log.batches.retain(|batch| batch.base >= 20);
    world.run_for(SECOND);
    world.clients[client].asleep = false;
    world.run_for(5 * SECOND);
    let got = world.clients[client].offsets(0);
    assert_eq!(got[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(got[got.len() - 10..], (20..30).collect::<Vec<_>>());
}

#[test]
fn without_a_policy_an_offset_out_of_range_is_told_and_waits_for_a_seek() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let mut settings = alone();
    settings.auto_offset_reset = OffsetReset::None;
    let client = world.assigned(settings, &[0]);
    world.run_for(SECOND);
    let now = world.now;
    let seek = |world: &mut World, at| {
        let position = Position::new(offset(at), None);
        world.clients[client].consumer.seek(now, &tp(0), position).unwrap();
    };
    seek(&mut world, 99);
    world.run_for(5 * SECOND);
    let kinds: Vec<_> = world.clients[client].errors.iter().map(|e| e.kind()).collect();
    assert_eq!(kinds, [ErrorKind::NoOffset, ErrorKind::OffsetOutOfRange]);
    seek(&mut world, 4);
    world.run_for(SECOND);
    assert_eq!(world.clients[client].offsets(0), [4, 5, 6, 7, 8, 9]);
}

/// F23: a new leader with the same log costs neither a record nor a repetition.
#[test]
fn a_moved_leader_is_followed_without_a_gap_or_a_repetition() {
    let mut world = World::new(1, 1);
    world.delay_max = Duration::from_millis(100);
    let client = world.assigned(alone(), &[0]);
    for round in 0..10 {
        world.produce(0, 7);
        world.run_for(Duration::from_millis(80));
        let log = world.stub.logs.get_mut(&tp(0)).unwrap();
        let end = log.end();
        log.elect(1 + round % 2, end);
    }
    world.run_for(10 * SECOND);
    assert_eq!(world.clients[client].offsets(0), (0..70).collect::<Vec<_>>());
    let asked = milena_types::ApiKey::OFFSET_FOR_LEADER_EPOCH;
    assert!(world.stub.requests.contains(&asked), "the position is held against the new leader");
}

/// R21: bytes of the old leader that arrive while the position is held against the new one.
#[test]
fn what_arrives_during_a_validation_is_handed_out_once() {
    // Of some seeds the old leader's bytes come first, of others its successor's word.
    for seed in 0..20 {
        let mut world = World::new(seed, 1);
        world.produce(0, 3);
        let client = world.assigned(alone(), &[0]);
        world.run_for(SECOND);
        world.delay_max = Duration::from_millis(400);
        world.produce(0, 4);
        // Until the answer is under way.
        world.run_for(Duration::from_millis(2));
        let end = world.stub.logs[&tp(0)].end();
        world.stub.logs.get_mut(&tp(0)).unwrap().elect(2, end);
        let (now, cluster) = (world.now, world.stub.cluster());
        world.clients[client].consumer.handle_cluster(now, cluster);
        world.run_for(5 * SECOND);
        assert_eq!(world.clients[client].offsets(0), [0, 1, 2, 3, 4, 5, 6], "seed {seed}");
        let asked = milena_types::ApiKey::OFFSET_FOR_LEADER_EPOCH;
        assert!(world.stub.requests.contains(&asked), "seed {seed}: held against the new leader");
    }
}

/// F28: the user read what the new leader never had.
#[test]
fn a_truncated_log_is_reported_with_its_range() {
    for reset in [OffsetReset::Earliest, OffsetReset::None] {
        let mut world = World::new(1, 1);
        world.produce(0, 10);
        let mut settings = alone();
        settings.auto_offset_reset = reset;
        let client = world.assigned(settings, &[0]);
        world.run_for(Duration::from_millis(10));
        let now = world.now;
        let start = Position::new(offset(0), None);
        world.clients[client].consumer.seek(now, &tp(0), start).unwrap();
        world.clients[client].forget_expected(0, Some(0));
        world.clients[client].got.clear();
        world.run_for(SECOND);
        world.produce(0, 10);
        world.run_for(SECOND);
        let log = world.stub.logs.get_mut(&tp(0)).unwrap();
        log.elect(2, 10);
        world.produce(0, 3);
        world.run_for(5 * SECOND);
        let client = &world.clients[client];
        let truncated: Vec<_> = client
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Truncated { position, diverged_at, .. } => Some((
                    position.offset.get(),
                    diverged_at.map(|at| (at.offset.get(), at.leader_epoch)),
                )),
                _ => None,
            })
            .collect();
        assert_eq!(truncated, [(20, Some((10, LeaderEpoch::from_wire(0))))], "{reset:?}");
        let tail: Vec<_> = client.offsets(0)[20..].to_vec();
        match reset {
            OffsetReset::None => assert!(tail.is_empty(), "the user has to say where to go on"),
            _ => assert_eq!(tail, [10, 11, 12]),
        }
    }
}

/// What was cut off and never handed out is no loss to anybody.
#[test]
fn a_truncation_of_what_was_not_read_is_silent() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.assigned(alone(), &[0]);
    world.run_for(SECOND);
    world.clients[client].asleep = true;
    world.run_for(Duration::from_millis(100));
    world.produce(0, 10);
    world.run_for(SECOND);
    world.stub.logs.get_mut(&tp(0)).unwrap().elect(2, 10);
    world.produce(0, 3);
    // The old leader's refusal is what brings the news.
    world.run_for(3 * SECOND);
    world.clients[client].asleep = false;
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[client].offsets(0), (0..13).collect::<Vec<_>>());
    assert!(world.clients[client].events.is_empty());
}

/// R3, R8, R11 and traps 23 to 25: interleaved, aborted without records, list out of order, markers twice.
#[test]
fn read_committed_shows_exactly_what_was_committed() {
    for isolation in [IsolationLevel::ReadCommitted, IsolationLevel::ReadUncommitted] {
        let mut world = World::new(1, 1);
        let log = world.stub.logs.get_mut(&tp(0)).unwrap();
        log.append(2, Some(1)); // 0, 1: producer 1, aborted
        log.append(2, Some(2)); // 2, 3: producer 2, committed
        log.append(1, Some(1)); // 4: producer 1, aborted
        log.end_transaction(1, 0, false); // 5
        log.end_transaction(2, 2, true); // 6
        log.append(2, None); // 7, 8
        log.end_transaction(3, 9, false); // 9: nothing was in it
        log.append(1, Some(3)); // 10: producer 3 again, committed
        log.end_transaction(3, 10, true); // 11
        log.append(1, Some(1)); // 12: aborted
        log.end_transaction(1, 12, false); // 13
        log.end_transaction(1, 12, false); // 14: twice
        log.append(1, Some(1)); // 15: committed
        log.end_transaction(1, 15, true); // 16
        let mut settings = alone();
        settings.isolation_level = isolation;
        let client = world.assigned(settings, &[0]);
        world.clients[client].gaps = true;
        world.run_for(SECOND);
        let expected = match isolation {
            IsolationLevel::ReadCommitted => vec![2, 3, 7, 8, 10, 15],
            IsolationLevel::ReadUncommitted => vec![0, 1, 2, 3, 4, 7, 8, 10, 12, 15],
        };
        assert_eq!(world.clients[client].offsets(0), expected);
        let position = world.clients[client].consumer.buffer().position(&tp(0));
        assert_eq!(position.map(|at| at.offset), Some(offset(17)), "behind the last marker");
    }
}

#[test]
fn damaged_bytes_are_told_and_a_seek_gets_behind_them() {
    let mut world = World::new(1, 1);
    for _ in 0..3 {
        world.produce(0, 5);
    }
    let batch = &mut world.stub.logs.get_mut(&tp(0)).unwrap().batches[1];
    let mut bytes = batch.bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    batch.bytes = bytes.into();
    let client = world.assigned(alone(), &[0]);
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[client].offsets(0), [0, 1, 2, 3, 4], "nothing behind the damage");
    let error = &world.clients[client].errors[0];
    assert_eq!(error.topic_partition(), Some(tp(0)));
    assert!(world.clients[client].errors.len() < 40, "told at the pace of the back-off");
    let now = world.now;
    let behind = Position::new(offset(10), None);
    world.clients[client].consumer.seek(now, &tp(0), behind).unwrap();
    world.clients[client].forget_expected(0, Some(10));
    world.run_for(SECOND);
    assert_eq!(world.clients[client].offsets(0)[5..], [10, 11, 12, 13, 14]);
}

/// A peer asked for the same bytes for ever, with healthy heartbeats.
#[test]
fn bytes_without_progress_are_told_and_not_spun_on() {
    let mut world = World::new(1, 2);
    world.produce(0, 5);
    world.produce(1, 5);
    let batch = &mut world.stub.logs.get_mut(&tp(0)).unwrap().batches[0];
    batch.bytes = batch.bytes.slice(..40);
    let client = world.assigned(alone(), &[0, 1]);
    world.run_for(10 * SECOND);
    assert_eq!(world.clients[client].errors[0].kind(), ErrorKind::Protocol);
    assert_eq!(world.clients[client].offsets(1).len(), 5, "the others go on");
    let fetches = world.stub.requests.iter().filter(|api| **api == milena_types::ApiKey::FETCH);
    assert!(fetches.count() < 100);
}

/// P21: however long the user takes, no more than the budget waits for him.
#[test]
fn a_slow_user_is_not_flooded() {
    let mut world = World::new(1, 4);
    for _ in 0..200 {
        for partition in 0..4 {
            world.produce(partition, 20);
        }
    }
    let mut settings = alone();
    settings.buffer_bytes = 256 << 10;
    settings.max_poll_records = 10;
    let client = world.assigned(settings, &[0, 1, 2, 3]);
    for _ in 0..50 {
        world.run_for(Duration::from_millis(20));
        let buffer = world.clients[client].consumer.buffer();
        let waiting: usize = [1, 2]
            .map(|node| buffer.held(milena_types::NodeId::new(node)).bytes())
            .into_iter()
            .sum();
        assert!(waiting <= 256 << 10, "{waiting}");
    }
    let settings = world.clients[client].consumer.settings();
    assert_eq!(settings.buffer_bytes, 256 << 10);
}

/// Bytes of a paused partition must not keep the others from being fetched.
#[test]
fn a_paused_partition_does_not_starve_its_neighbours() {
    let mut world = World::new(1, 3);
    for _ in 0..100 {
        world.produce(0, 50);
    }
    let mut settings = alone();
    settings.buffer_bytes = 64 << 10;
    settings.max_poll_records = 100;
    // Partitions 0 and 2 are on one broker.
    let client = world.assigned(settings, &[0, 2]);
    world.clients[client].asleep = true;
    world.run_for(SECOND);
    let now = world.now;
    let zero = BTreeSet::from([tp(0)]);
    world.clients[client].consumer.pause(now, &zero).unwrap();
    world.clients[client].asleep = false;
    world.produce(2, 500);
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[client].offsets(2).len(), 500);
    assert!(world.clients[client].offsets(0).is_empty());
    let now = world.now;
    world.clients[client].consumer.resume(now, &zero).unwrap();
    world.run_for(10 * SECOND);
    assert_eq!(world.clients[client].offsets(0), (0..5000).collect::<Vec<_>>());
}

#[test]
fn a_partition_that_stays_in_an_assignment_keeps_its_position() {
    let mut world = World::new(1, 2);
    world.produce(0, 10);
    world.produce(1, 10);
    let client = world.assigned(alone(), &[0]);
    world.run_for(SECOND);
    let now = world.now;
    let both = BTreeSet::from([tp(0), tp(1)]);
    world.clients[client].owned.clone_from(&both);
    world.clients[client].consumer.assign(now, both).unwrap();
    world.run_for(SECOND);
    assert_eq!(world.clients[client].got.len(), 20);
    let now = world.now;
    world.clients[client].owned.remove(&tp(0));
    world.clients[client].consumer.assign(now, BTreeSet::from([tp(1)])).unwrap();
    world.produce(0, 5);
    world.run_for(2 * SECOND);
    assert_eq!(world.clients[client].got.len(), 20);
}

#[test]
fn questions_about_offsets_are_answered() {
    let mut world = World::new(1, 2);
    world.produce(0, 10);
    world.produce(1, 4);
    world.stub.committed.insert(tp(1), (3, 0));
    let client = world.client(World::settings());
    let now = world.now;
    let consumer = &mut world.clients[client].consumer;
    let ends = consumer.query(
        now,
        Query::Offsets(BTreeMap::from([
            (tp(0), OffsetSpec::Latest),
            (tp(1), OffsetSpec::At(Timestamp::from_millis(99))),
        ])),
    );
    let committed = consumer.query(now, Query::Committed(BTreeSet::from([tp(0), tp(1)])));
    let never = consumer
        .query(now, Query::Offsets(BTreeMap::from([(crate_tp("nowhere"), OffsetSpec::Latest)])));
    world.run_for(5 * SECOND);
    let answered = &world.clients[client].answered;
    let Ok(Reply::Offsets(found)) = &answered[&ends] else { panic!() };
    let found: Vec<_> = found.iter().map(|(tp, at)| (tp.clone(), at.offset.get())).collect();
    assert_eq!(found, [(tp(0), 10)], "no record is that young");
    let Ok(Reply::Committed(found)) = &answered[&committed] else { panic!() };
    let found: Vec<_> = found.iter().map(|(tp, at)| (tp.clone(), at.offset.get())).collect();
    assert_eq!(found, [(tp(1), 3)]);
    assert!(!answered.contains_key(&never));
    world.run_for(60 * SECOND);
    let error = world.clients[client].answered[&never].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn limits_are_sent_as_they_are_set() {
    let mut world = World::new(1, 1);
    let mut settings = alone();
    settings.fetch_min_bytes = 1024;
    settings.fetch_max_wait = Duration::from_millis(700);
    settings.max_partition_fetch_bytes = 2_097_152;
    settings.isolation_level = IsolationLevel::ReadCommitted;
    world.fault = Some(Box::new(|_, _, request| {
        if let Request::Fetch(fetch) = request {
            assert_eq!((fetch.min_bytes, fetch.max_wait_ms), (1024, 700));
            assert_eq!(fetch.isolation_level, 1);
            assert!(fetch.max_bytes <= 50 << 20);
            for topic in &fetch.topics {
                assert_eq!(topic.partitions[0].partition_max_bytes, 2_097_152);
            }
        }
        None
    }));
    let _ = world.assigned(settings, &[0]);
    world.run_for(2 * SECOND);
    assert!(world.stub.requests.contains(&milena_types::ApiKey::FETCH));
}

fn crate_tp(topic: &str) -> milena_types::TopicPartition {
    milena_types::TopicPartition::new(topic, 0)
}
