//! A member of a share group.

use std::time::Duration;

use milena::{Error, ErrorKind, ShareConsumer};
use tokio::time::Instant;

use super::{PATIENCE, Stage, asked};
use crate::matrix::outcome::{Calls, Outcome};
use crate::matrix::strike::Strike;
use crate::world::{GRACE, LONG, World, text};

pub(super) async fn share_group(stage: Stage) -> Outcome {
    let world = World::start(stage.broker.clone().topic("t", 1)).await;
    // The group begins where its first member finds the end of the log, which has to be told before he goes.
    let mut first = member(&world).await;
    assert!(first.poll(Duration::from_secs(10)).await.unwrap().is_empty());
    world.fill(0..1).await;
    assert_eq!(first.poll(LONG).await.unwrap().len(), 1);
    first.close(GRACE).await.unwrap();
    world.fill(1..4).await;
    let before = asked(&world, stage.api);
    stage.lay(&world.broker);
    let (mut calls, mut seen) = (Calls::new(&world.broker), Vec::new());
    let mut member = member(&world).await;
    let is_well = async {
        calls.make(async || read_up_to(&mut member, &mut seen, 3).await).await?;
        calls.make(async || member.commit().await).await
    };
    let is_well = is_well.await.is_some();
    if let Err(error) = member.close(GRACE).await
        && is_well
    {
        calls.failed(error);
    }
    stage.has_struck(&world.broker, before);
    world.broker.clear_faults();
    // A cluster without share groups, or an answer that said of other records that they were handed out.
    if matches!(stage.strike, Strike::VersionWithdrawn | Strike::Corrupt) {
        return calls.outcome();
    }
    let left = left(&world).await;
    if calls.outcome() == Outcome::Recovers {
        assert!(left.is_empty(), "accepted and handed out again: {left:?}");
    }
    for value in ["1", "2", "3"] {
        let has_it = |values: &[String]| values.iter().any(|one| one == value);
        assert!(has_it(&seen) || has_it(&left), "{value} was handed to nobody");
    }
    calls.outcome()
}

async fn member(world: &World) -> ShareConsumer {
    world.kafka.share_consumer("g").subscribe(["t"]).build().await.unwrap()
}

/// Polls until there are as many values as wanted; whatever is handed out is accepted.
async fn read_up_to(
    member: &mut ShareConsumer,
    seen: &mut Vec<String>,
    wanted: usize,
) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < wanted {
        let messages = member.poll(deadline - Instant::now()).await?;
        if messages.is_empty() && Instant::now() >= deadline {
            return Err(Error::new(ErrorKind::Timeout));
        }
        for message in messages {
            let value = text(message.value());
            message.accept();
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }
    Ok(())
}

/// What a new member is handed, once every lock has run out.
async fn left(world: &World) -> Vec<String> {
    let (mut next, mut left) = (member(world).await, Vec::new());
    loop {
        let messages = next.poll(Duration::from_secs(40)).await.unwrap();
        if messages.is_empty() {
            next.close(GRACE).await.unwrap();
            return left;
        }
        left.extend(messages.iter().map(|message| text(message.value())));
    }
}
