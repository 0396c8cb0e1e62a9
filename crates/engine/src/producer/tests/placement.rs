//! Which partitions records without key or partition go to, as brokers come, go and dawdle.

use std::time::Duration;

use super::broker::Fault;
use super::world::{MS, World, settings};
use crate::producer::Settings;
use crate::producer::standing::Standing;

/// Sends a record that is a batch for itself, and tells the partition that it went to.
fn send_anywhere(world: &mut World) -> i32 {
    let delivery = world.append(None, &[0; 300]).expect("room");
    delivery.topic_partition().expect("one batch").partition
}

fn standings(world: &World) -> Vec<Standing> {
    world.accumulator.topic("t").0.queues().map(|queue| queue.standing()).collect()
}

/// Partitions drawn for `count` records that are stored as they come.
fn drawn(world: &mut World, count: usize) -> Vec<i32> {
    let mut drawn = Vec::new();
    for _ in 0..count {
        drawn.push(send_anywhere(world));
        world.run(5 * MS);
    }
    drawn.sort_unstable();
    drawn.dedup();
    drawn
}

/// KIP-1123.
#[test]
fn leaders_in_the_producer_s_rack_are_preferred_while_there_are_any() {
    let rack = Some("a".to_owned());
    let mut world = World::new(1, 6, Settings { rack, ..settings() });
    world.racks = [Some("a"), Some("b"), None];
    world.accumulator.topic("t");
    world.run(20 * MS);
    let led_by_0: Vec<_> = (0..6)
        .filter(|&index| world.brokers.partitions[index as usize].leader.get() == 0)
        .collect();
    assert_eq!(drawn(&mut world, 40), led_by_0);

    for &partition in &led_by_0 {
        world.move_leader(partition as usize, 1);
    }

    let (now, cluster) = (world.now, world.cluster().into());
    world.machine().handle_metadata(now, cluster);
    assert_eq!(standings(&world), [Standing::Far; 6]);
    drawn(&mut world, 10);
    assert_eq!(drawn(&mut world, 80), [0, 1, 2, 3, 4, 5], "no rack is better than another");
}

/// `partitioner.availability.timeout.ms`: broker 0 asks for silence, and what waits for it waits too long.
#[test]
fn a_broker_that_takes_nothing_is_avoided_until_it_does() {
    let availability_timeout = 100 * MS;
    let settings = Settings { availability_timeout, ..settings() };
    let mut world = World::ready(1, 3, settings).fault(1, Fault::Throttle(5000));
    world.send(0, 1);
    world.run(10 * MS);
    world.send(0, 1);
    world.run(95 * MS);
    assert_eq!(standings(&world), [Standing::Near; 3], "not yet");
    world.run(10 * MS);
    let (late, near) = (Standing::LateNear, Standing::Near);
    assert_eq!(standings(&world), [late, near, near]);
    drawn(&mut world, 1);
    assert_eq!(drawn(&mut world, 40), [1, 2]);

    world.run(Duration::from_secs(5));
    assert_eq!(standings(&world), [near; 3], "it took what waited");
    drawn(&mut world, 1);
    assert_eq!(drawn(&mut world, 40), [0, 1, 2]);
    assert_eq!(world.accumulator.bytes_used(), 0);
}

/// What comes meanwhile makes the wait of what came first no shorter.
#[test]
fn a_broker_that_takes_nothing_is_late_however_much_comes() {
    let settings = Settings { availability_timeout: 100 * MS, ..settings() };
    let mut world = World::ready(1, 36, settings).fault(1, Fault::Throttle(5000));
    world.send(0, 1);
    world.run(10 * MS);
    // Each of another partition of broker 0.
    for partition in (0..36).step_by(3) {
        world.send(partition, 1);
        world.run(10 * MS);
    }
    let late = standings(&world).iter().filter(|&&s| s == Standing::LateNear).count();
    assert_eq!(late, 12);
}

/// A time-out below the time of an answer would find every busy broker late.
#[test]
fn a_broker_that_takes_something_now_and_then_is_not_late() {
    let availability_timeout = 100 * MS;
    let settings = Settings { availability_timeout, in_flight_max: 1, ..settings() };
    let mut world = World::ready(1, 3, settings);
    world.latency = 40 * MS;
    for _ in 0..60 {
        world.send(0, 1);
        world.run(10 * MS);
        assert_eq!(standings(&world), [Standing::Near; 3], "a request goes out every 80 ms");
    }
    world.run(Duration::from_secs(1));
    world.latency = 400 * MS;
    world.send(0, 1);
    world.run(600 * MS);
    assert_eq!(standings(&world), [Standing::Near; 3], "nothing waited");
    world.run(Duration::from_secs(1));
    world.check(true);
}

/// As in Java, where the time-out counts for nothing without the adaptive choice.
#[test]
fn no_broker_is_late_where_that_is_switched_off() {
    for (availability_timeout, is_adaptive) in [(Duration::ZERO, true), (100 * MS, false)] {
        let settings = Settings { availability_timeout, is_adaptive, ..settings() };
        let mut world = World::ready(1, 3, settings).fault(1, Fault::Throttle(5000));
        world.send(0, 1);
        world.run(10 * MS);
        world.send(0, 1);
        world.run(Duration::from_secs(2));
        assert_eq!(standings(&world), [Standing::Near; 3]);
    }
}

/// Broker 0 asks for silence; what waits for it goes to the partition's new leader as soon as there is one, and nothing
/// waits for broker 0 any more.
#[test]
fn what_waits_for_a_broker_follows_the_leader() {
    let availability_timeout = 100 * MS;
    let settings = Settings { availability_timeout, ..settings() };
    let mut world = World::ready(1, 6, settings).fault(1, Fault::Throttle(5000));
    assert_eq!(world.brokers.partitions[3].leader, world.brokers.partitions[0].leader);
    world.send(0, 1);
    world.run(10 * MS);
    world.send(3, 1);
    world.run(50 * MS);
    assert_eq!(world.brokers.values(3), [] as [u64; 0]);
    world.move_leader(3, 1);
    let (now, cluster) = (world.now, world.cluster().into());
    world.machine().handle_metadata(now, cluster);
    world.run(20 * MS);
    assert_eq!(world.brokers.values(3), [1]);
    world.run(200 * MS);
    assert_eq!(standings(&world), [Standing::Near; 6]);
}
