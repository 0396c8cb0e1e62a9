//! Seeded scripts: random loads, faults and members; then calm, in which all must heal.
//!
//! The world asserts while it runs that offsets of one stay follow each other, that nothing of another's partition is
//! handed out, and that nothing is committed that the user does not have.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::consumer::tests::world::{Fault, LEAVE, SECOND, World, tp};
use crate::consumer::{AssignmentStrategy, Change, CommitMode, Event};

const PARTITIONS: i32 = 4;

/// Enough for a run with every build; the simulation has its thousands.
const SEEDS: u64 = 12;

/// Assigned by hand: each record exactly once, whatever the network and the brokers do.
#[test]
fn an_assigned_consumer_reads_each_record_exactly_once() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, PARTITIONS);
        world.delay_max = Duration::from_millis(world.rng.u64(1..80));
        let mut settings = World::settings();
        settings.max_poll_records = world.rng.usize(1..40);
        settings.buffer_bytes = 1 << world.rng.u32(10..20);
        let client = world.assigned(settings, &[0, 1, 2, 3]);
        faults(&mut world, seed);
        for _ in 0..30 {
            disturb(&mut world);
            let wait = world.rng.u64(1..2_000);
            world.run_for(Duration::from_millis(wait));
        }
        world.fault = None;
        world.run_for(30 * SECOND);
        for partition in 0..PARTITIONS {
            let end = world.stub.logs[&tp(partition)].end();
            let all: Vec<_> = (0..end).collect();
            assert_eq!(world.clients[client].offsets(partition), all, "seed {seed}");
        }
        assert!(world.clients[client].errors.is_empty(), "seed {seed}");
    }
}

/// A group: each record at least once, one owner a partition in the end, every commit ended.
#[test]
fn a_group_reads_everything_and_comes_to_rest() {
    for seed in 100..100 + SEEDS {
        let mut world = World::new(seed, PARTITIONS);
        world.delay_max = Duration::from_millis(world.rng.u64(1..60));
        for _ in 0..world.rng.usize(1..4) {
            join(&mut world, seed);
        }
        faults(&mut world, seed);
        for _ in 0..30 {
            disturb(&mut world);
            match world.rng.u32(0..12) {
                0 if world.clients.len() < 6 => join(&mut world, seed),
                1 => {
                    let client = world.rng.usize(0..world.clients.len());
                    let now = world.now;
                    world.clients[client].consumer.close(now, 2 * SECOND, LEAVE);
                }
                2 => {
                    let client = world.rng.usize(0..world.clients.len());
                    world.clients[client].crashed = true;
                }
                3 | 4 => {
                    let client = world.rng.usize(0..world.clients.len());
                    let asleep = world.clients[client].asleep;
                    world.clients[client].asleep = !asleep;
                }
                5..=8 => {
                    let client = world.rng.usize(0..world.clients.len());
                    let now = world.now;
                    let mode = if world.rng.bool() { CommitMode::Retry } else { CommitMode::Once };
                    if !world.clients[client].crashed {
                        world.clients[client].consumer.commit(now, None, mode);
                    }
                }
                _ => {}
            }
            let wait = world.rng.u64(1..3_000);
            world.run_for(Duration::from_millis(wait));
        }
        world.fault = None;
        for client in &mut world.clients {
            client.asleep = false;
        }
        join(&mut world, seed);
        world.run_for(60 * SECOND);
        world.clients.iter_mut().for_each(|client| client.timeouts = 0);
        world.run_for(30 * SECOND);
        let alive: Vec<_> =
            world.clients.iter().filter(|client| !client.crashed && !client.closed).collect();
        let mut owned = Vec::new();
        for client in &alive {
            // P20: a heartbeat a second, a commit every 100 ms, and not much more.
            assert!(client.timeouts < 30 * 20, "seed {seed}: woken {} times", client.timeouts);
            owned.extend(client.owned.iter().cloned());
            assert_eq!(
                client.consumer.assignment(),
                client.owned,
                "seed {seed}: the user and the machine disagree"
            );
        }
        owned.sort();
        let all: Vec<_> = (0..PARTITIONS).map(tp).collect();
        assert_eq!(owned, all, "seed {seed}: one owner a partition");
        for partition in 0..PARTITIONS {
            let end = world.stub.logs[&tp(partition)].end();
            let read: BTreeSet<i64> =
                world.clients.iter().flat_map(|client| client.offsets(partition)).collect();
            let missing: Vec<_> = (0..end).filter(|offset| !read.contains(offset)).collect();
            assert!(missing.is_empty(), "seed {seed}: {partition} lacks {missing:?}");
        }
    }
}

/// Without faults nobody owns what another owns, at any moment, eager or cooperative.
#[test]
fn no_partition_has_two_owners() {
    for seed in 200..200 + SEEDS {
        let mut world = World::new(seed, PARTITIONS);
        for _ in 0..8 {
            if world.rng.bool() && world.clients.len() < 4 {
                join(&mut world, seed);
            } else if !world.clients.is_empty() {
                let client = world.rng.usize(0..world.clients.len());
                let now = world.now;
                world.clients[client].consumer.close(now, 2 * SECOND, LEAVE);
                // As the client crate does: the listener runs before the machine closes.
                world.clients[client].owned.clear();
            }
            for _ in 0..40 {
                let wait = world.rng.u64(1..100);
                world.run_for(Duration::from_millis(wait));
                let owned = world.clients.iter().flat_map(|client| client.owned.iter());
                let mut seen = BTreeSet::new();
                for tp in owned {
                    assert!(seen.insert(tp.clone()), "seed {seed}: {tp} has two owners");
                }
            }
            let lost =
                world.clients.iter().flat_map(|client| &client.events).any(
                    |event| matches!(event, Event::Rebalance(one) if one.change == Change::Lost),
                );
            assert!(!lost, "seed {seed}: nobody loses what was taken in order");
        }
    }
}

fn join(world: &mut World, seed: u64) {
    let mut settings = World::settings();
    // What the members of one group have in common; in the last, eager and cooperative members mix (KIP-429).
    let eager = world.rng.bool();
    let strategies = match seed % 5 {
        0 => vec![AssignmentStrategy::Range, AssignmentStrategy::CooperativeSticky],
        1 | 2 => vec![AssignmentStrategy::CooperativeSticky],
        3 => vec![AssignmentStrategy::Sticky, AssignmentStrategy::RoundRobin],
        _ if eager => vec![AssignmentStrategy::CooperativeSticky, AssignmentStrategy::Range],
        _ => vec![AssignmentStrategy::CooperativeSticky],
    };
    settings.group.as_mut().unwrap().assignment_strategies = strategies;
    settings.max_poll_records = world.rng.usize(1..40);
    if world.rng.bool() {
        settings.auto_commit_interval = Some(Duration::from_millis(world.rng.u64(100..3_000)));
    }
    world.member(settings);
}

/// Loses a share of requests and of answers.
fn faults(world: &mut World, seed: u64) {
    let percent = u32::try_from(seed % 25).unwrap();
    world.fault = Some(Box::new(move |rng, _, _| {
        let hit = rng.u32(0..100) < percent;
        hit.then(|| if rng.bool() { Fault::LoseRequest } else { Fault::LoseAnswer })
    }));
}

/// Produces, moves leaders, evicts sessions.
fn disturb(world: &mut World) {
    for _ in 0..world.rng.u32(0..4) {
        let partition = world.rng.i32(0..PARTITIONS);
        let count = world.rng.i64(1..30);
        world.produce(partition, count);
    }
    match world.rng.u32(0..8) {
        0 => world.stub.evict_sessions(),
        1 | 2 => {
            let partition = world.rng.i32(0..PARTITIONS);
            let leader = world.rng.i32(1..3);
            let log = world.stub.logs.get_mut(&tp(partition)).unwrap();
            let end = log.end();
            log.elect(leader, end);
        }
        _ => {}
    }
}
