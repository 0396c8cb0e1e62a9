//! A member of a group, from its first question to its farewell.

use std::time::Duration;

use milena::{Consumer, Error, Offset};
use milena_types::ApiKey;
use tokio::time::Instant;

use super::{Stage, asked, read_up_to};
use crate::matrix::outcome::{Calls, Outcome};
use crate::world::{GRACE, World, eventually, numbers};

pub(super) async fn group(stage: Stage, protocol: &str) -> Outcome {
    let world = World::start(stage.broker.clone().topic("t", 1)).await;
    world.fill(0..10).await;
    let before = asked(&world, stage.api);
    stage.lay(&world.broker);
    let (mut calls, mut seen) = (Calls::new(&world.broker), Vec::new());
    let member = world.member().set("group.protocol", protocol).unwrap();
    let mut member = member.build().await.unwrap();
    let is_well = async {
        calls.make(async || read_up_to(&mut member, &mut seen, 10).await).await?;
        // What comes a second time after a rebalance was not committed.
        calls.make(async || stay(&mut member).await).await?;
        world.fill(10..12).await;
        calls.make(async || read_up_to(&mut member, &mut seen, 12).await).await?;
        let mut is_again = false;
        let commit = calls.make(async || {
            if std::mem::replace(&mut is_again, true) {
                // Who was put out comes back before he commits.
                member.poll(GRACE).await?;
            }
            member.commit().await
        });
        commit.await?;
        // Who came back without having read has nothing to commit.
        let at = member.handle().positions().into_values().flatten().next();
        assert_eq!(world.committed(0).unwrap_or(0), at.map_or(0, Offset::get), "was committed");
        Some(())
    };
    let is_well = is_well.await.is_some();
    seen.sort_by_key(|value| value.parse::<usize>().unwrap());
    assert_eq!(seen, numbers(0..seen.len()), "a gap");
    if let Err(error) = member.close(GRACE).await
        && is_well
    {
        calls.failed(error);
    }
    world.broker.clear_faults();
    eventually("the member is gone", || {
        let members = world.broker.consumer_group("g").map_or(0, |group| group.members.len());
        world.members() + members == 0
    })
    .await;
    if calls.outcome() == Outcome::Recovers && stage.api != ApiKey::HEARTBEAT {
        assert_eq!(world.committed(0), Some(12));
    }
    stage.has_struck(&world.broker, before);
    calls.outcome()
}

/// Goes on polling for longer than a few heartbeats.
async fn stay(member: &mut Consumer) -> Result<(), Error> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        member.poll(end - Instant::now()).await?;
    }
    Ok(())
}
