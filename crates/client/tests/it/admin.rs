//! What the admin client asks, and what it must not do by asking.

use std::time::Duration;

use milena::{Fate, NodeId, Offset};
use milena_broker::{Broker, on};
use milena_types::{ApiKey, ErrorCode};
use tokio::time::Instant;

use crate::world::{GRACE, World, client_of};

/// The client's own metadata would have the topic created again, or be waited for for ever.
#[tokio::test(start_paused = true)]
async fn offsets_of_a_topic_that_is_gone_are_listed_without_an_end() {
    let world = World::start(Broker::builder().nodes(3).topic("t", 3).topic("gone", 1)).await;
    world.fill(0..10).await;
    let admin = world.kafka.admin();
    let consumer = world.kafka.consumer("g").assign([("t", 0), ("gone", 0)]).build().await.unwrap();
    let four = Offset::new(4).unwrap();
    consumer.commit_offsets([(("t", 0), four), (("gone", 0), four)]).await.unwrap();
    consumer.close(GRACE).await.unwrap();
    admin.delete_topics(["gone"]).await.unwrap();
    // The leader has just moved, as far as one answer goes.
    world
        .broker
        .add_fault(on(ApiKey::LIST_OFFSETS).nth(1).error(ErrorCode::NOT_LEADER_OR_FOLLOWER));

    let begun = Instant::now();
    let offsets = admin.group_offsets("g").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let of_t = offsets.iter().find(|one| one.partition().topic.as_str() == "t").unwrap();
    assert_eq!((of_t.committed(), of_t.lag()), (Some(four), Some(6)));
    let gone = offsets.iter().find(|one| one.partition().topic.as_str() == "gone");
    assert!(gone.is_none_or(|gone| gone.log_end().is_none()), "{gone:?}");
    let topics = admin.list_topics().await.unwrap();
    assert!(topics.iter().all(|topic| topic.name().as_str() != "gone"), "created by asking");
}

/// KIP-599. Without an answer nobody knows, but the quota is why it took so long.
#[tokio::test(start_paused = true)]
async fn topics_that_a_quota_put_off_for_too_long_say_so() {
    let world = World::start(Broker::builder().topic("t", 1).topic("u", 1)).await;
    let quota = ErrorCode::THROTTLING_QUOTA_EXCEEDED;
    world.broker.add_fault(on(ApiKey::DELETE_TOPICS).nth(1).error(quota));
    world.broker.add_fault(on(ApiKey::DELETE_TOPICS).hang());
    let results = world.kafka.admin().delete_topics(["t", "u"]).await.unwrap();
    assert_eq!(results.len(), 2);
    for (name, result) in results {
        let error = result.unwrap_err();
        assert_eq!((error.code(), error.fate()), (Some(quota), Fate::Unknown), "{name}: {error}");
        assert_eq!(error.topic(), Some(&name));
    }
}

/// F27: who metadata names as the controller is none, and then is gone; the calls find the one after it.
#[tokio::test(start_paused = true)]
async fn changes_follow_the_controller() {
    let world = World::start(Broker::builder().nodes(3).topic("old", 1)).await;
    let (first, second) = (NodeId::new(1), NodeId::new(2));
    for api in [ApiKey::CREATE_TOPICS, ApiKey::DELETE_TOPICS] {
        world.broker.add_fault(on(api).node(first).error(ErrorCode::NOT_CONTROLLER));
    }
    let trouble = async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.broker.crash_node(first);
    };
    let admin = world.kafka.admin();
    let create = async { admin.create_topic("new").partitions(1).replication_factor(1).await };
    let (created, ()) = tokio::join!(create, trouble());
    created.unwrap();

    // The first node is back, and to a client that comes now it is the controller.
    world.broker.restart_node(first).await.unwrap();
    let kafka = client_of(&world.broker).connect().await.unwrap();
    let admin = kafka.admin();
    let delete = async { admin.delete_topics(["old"]).await };
    let (deleted, ()) = tokio::join!(delete, trouble());
    let deleted = deleted.unwrap();
    assert!(deleted.iter().all(|(_, outcome)| outcome.is_ok()), "{deleted:?}");

    for api in [ApiKey::CREATE_TOPICS, ApiKey::DELETE_TOPICS] {
        let asked = world.broker.requests(api).into_iter().map(|request| request.node);
        let asked: Vec<_> = asked.collect();
        assert!(asked.len() > 2 && asked[..2] == [first, first], "{api}: {asked:?}");
        assert_eq!(asked.last(), Some(&second), "{api}: {asked:?}");
    }
    let topics = admin.list_topics().await.unwrap();
    let names: Vec<_> = topics.iter().filter(|t| !t.is_internal()).map(|t| t.name()).collect();
    assert_eq!(names, ["new"]);
}
