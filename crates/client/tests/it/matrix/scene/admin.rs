//! What the administrator asks.

use milena::{Error, Topic};

use super::{Stage, asked};
use crate::matrix::outcome::{Calls, Outcome};
use crate::world::{GRACE, World};

pub(super) async fn admin(stage: Stage) -> Outcome {
    let broker = stage.broker.clone().topic("t", 1).topic("old1", 1).topic("old2", 1);
    let world = World::start(broker).await;
    let admin = world.kafka.admin();
    // Each try has a topic of its own: the first may have done its work.
    let (mut created, mut deleted) = (0, 0);
    let before = asked(&world, stage.api);
    let has_topic = |name: &str| world.broker.partition(name, 0).is_some();
    let mut member = world.member().build().await.unwrap();
    assert!(member.poll(GRACE).await.unwrap().is_empty());
    stage.lay(&world.broker);
    let mut calls = Calls::new(&world.broker);
    let _ends = async {
        let name = calls.make(async || {
            created += 1;
            let name = format!("new{created}");
            admin.create_topic(name.clone()).partitions(1).await.map(|()| name)
        });
        let name = name.await?;
        assert!(has_topic(&name), "{name} was said to be made");
        let name = calls.make(async || {
            deleted += 1;
            let name = format!("old{deleted}");
            only(admin.delete_topics([name.clone()]).await?)?;
            Ok(name)
        });
        let name = name.await?;
        assert!(!has_topic(&name), "{name} was said to be gone");
        calls.make(async || only(admin.describe_topics(["t"]).await?)).await?;
        let groups = calls.make(async || admin.list_groups().await).await?;
        assert!(groups.iter().any(|group| group.id() == "g"), "{groups:?}");
        let group = calls.make(async || admin.describe_group("g").await).await?;
        assert_eq!(group.members().len(), 1);
        Some(())
    }
    .await;
    stage.has_struck(&world.broker, before);
    calls.outcome()
}

/// The answer for the one topic that was asked about.
fn only<T>(mut results: Vec<(Topic, Result<T, Error>)>) -> Result<T, Error> {
    assert_eq!(results.len(), 1);
    results.remove(0).1
}
