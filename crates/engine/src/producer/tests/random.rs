//! Random worlds: whatever fails, what callers are told is true.

use std::time::Duration;

use super::world::{MS, World, settings};
use crate::producer::{Acks, Settings};

/// Runs one world through random sends, flushes, faults, leader moves and waits, then lets it heal, and checks it.
fn run(seed: u64, settings: Settings) {
    let is_idempotent = settings.is_idempotent;
    let mut world = World::new(seed, 4, settings);
    world.chance = [0.0, 0.1, 0.3, 0.6][world.rng.usize(..4)];
    world.brokers.gives_hints = world.rng.bool();
    if world.rng.bool() {
        world.brokers.topic_id = None;
    }
    if world.rng.u8(..4) == 0 {
        world.brokers.partitions[1].batch_bytes_max = world.rng.usize(150..300);
    }
    if world.rng.u8(..4) == 0 {
        world.first_epoch = i16::MAX - 1;
        // A request that is read after its producer got a new id is beyond what any broker can fence.
        world.may_read_late = false;
    }
    world.accumulator.topic("t");
    world.run(20 * MS);
    for _ in 0..world.rng.usize(20..60) {
        match world.rng.u8(..20) {
            0..=9 => {
                let (partition, count) = (world.rng.i32(0..4), world.rng.usize(1..20));
                for _ in 0..count {
                    let bytes = world.rng.usize(8..120);
                    if world.try_send(partition, bytes).is_err() {
                        break;
                    }
                }
                world.settle_outputs();
            }
            10 => {
                let (partition, leader) = (world.rng.usize(..4), world.rng.i32(0..3));
                world.move_leader(partition, leader);
            }
            11 => {
                world.flush();
            }
            12 => {
                let is_missing = world.rng.bool();
                world.topic_is_missing = is_missing;
            }
            _ => {
                let wait = Duration::from_micros(world.rng.u64(100..40_000));
                world.run(wait);
            }
        }
    }
    world.chance = 0.0;
    world.topic_is_missing = false;
    let flush = world.flush();
    let is_hasty = world.rng.u8(..4) == 0;
    if is_hasty {
        let within = Duration::from_millis(world.rng.u64(..20));
        world.close(within);
        world.run(within);
        assert!(world.is_closed, "closing takes no longer than it may");
    }
    world.run(Duration::from_secs(20));
    assert!(world.flushed.iter().any(|&(id, _)| id == flush), "the flush never ended");
    world.check(is_idempotent);
    assert!(world.in_flight_seen <= 5);
    if !is_hasty {
        // Whoever sends now, sends to a producer that works.
        let before = world.sent.len();
        for partition in 0..4 {
            world.send(partition, 3);
        }
        world.run(Duration::from_secs(5));
        for index in before..world.sent.len() {
            world.result(index).unwrap_or_else(|error| panic!("{error} in a healed world"));
        }
        world.check(is_idempotent);
        world.close(Duration::from_secs(1));
        assert!(world.is_closed);
    }
}

fn run_all(seeds: std::ops::Range<u64>, settings: &Settings) {
    for seed in seeds {
        let result = std::panic::catch_unwind(|| run(seed, settings.clone()));
        assert!(result.is_ok(), "seed {seed} failed");
    }
}

#[test]
fn an_idempotent_producer_stores_each_record_once_and_in_order() {
    run_all(0..300, &settings());
}

#[test]
fn short_deadlines_change_what_fails_and_not_what_is_true() {
    let short = Settings { delivery_timeout: 30 * MS, linger: 2 * MS, ..settings() };
    run_all(1000..1300, &short);
}

#[test]
fn a_small_buffer_changes_nothing_either() {
    let small = Settings { buffer_bytes: 2000, linger: 5 * MS, ..settings() };
    run_all(2000..2200, &small);
}

#[test]
fn a_producer_without_idempotence_loses_nothing_that_is_acknowledged() {
    run_all(3000..3200, &Settings { is_idempotent: false, ..settings() });
}

#[test]
fn a_producer_without_acknowledgements_settles_everything() {
    // What is said of records that nobody acknowledges is not held against the log.
    for seed in 4000..4050 {
        let settings = Settings { is_idempotent: false, acks: Acks::None, ..settings() };
        let mut world = World::ready(seed, 4, settings);
        world.chance = 0.3;
        for _ in 0..30 {
            let partition = world.rng.i32(0..4);
            world.send(partition, 5);
            world.run(2 * MS);
        }
        world.run(Duration::from_secs(10));
        assert!(world.sent.iter().all(|record| record.delivery.result().is_some()));
        assert_eq!(world.accumulator.bytes_used(), 0);
    }
}
