//! A consumer without a group.

use milena::NodeId;

use super::{Stage, asked, read_up_to};
use crate::matrix::outcome::{Calls, Outcome};
use crate::world::{GRACE, World, numbers};

pub(super) async fn read(stage: Stage) -> Outcome {
    let world = World::start(stage.broker.clone().topic("t", 1)).await;
    world.fill(0..10).await;
    let before = asked(&world, stage.api);
    stage.lay(&world.broker);
    let mut consumer = world.reader().await;
    let (mut calls, mut seen) = (Calls::new(&world.broker), Vec::new());
    let read = calls.make(async || read_up_to(&mut consumer, &mut seen, 10).await).await;
    world.fill(10..12).await;
    let read_on = match read {
        Some(()) => calls.make(async || read_up_to(&mut consumer, &mut seen, 12).await).await,
        None => None,
    };
    if read_on.is_some() {
        assert_eq!(seen, numbers(0..12));
        consumer.close(GRACE).await.unwrap();
    }
    assert_eq!(seen, numbers(0..seen.len()));
    stage.has_struck(&world.broker, before);
    calls.outcome()
}

pub(super) async fn read_on(stage: Stage) -> Outcome {
    let world = World::start(stage.broker.clone().nodes(2).topic("t", 1)).await;
    world.fill(0..5).await;
    let (mut consumer, mut seen) = (world.reader().await, Vec::new());
    read_up_to(&mut consumer, &mut seen, 5).await.unwrap();
    let before = asked(&world, stage.api);
    stage.lay(&world.broker);
    let leader = world.broker.partition("t", 0).and_then(|partition| partition.leader).unwrap();
    assert!(world.broker.move_leader("t", 0, NodeId::new(3 - leader.get())));
    world.fill(5..10).await;
    let mut calls = Calls::new(&world.broker);
    if calls.make(async || read_up_to(&mut consumer, &mut seen, 10).await).await.is_some() {
        assert_eq!(seen, numbers(0..10));
        consumer.close(GRACE).await.unwrap();
    }
    assert_eq!(seen, numbers(0..seen.len()));
    stage.has_struck(&world.broker, before);
    calls.outcome()
}
