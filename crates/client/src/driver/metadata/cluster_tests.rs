//! The metadata task and the pool on the embedded broker.

use std::time::Duration;

use milena_broker::{Broker, FaultRule, TopicSettings, on};
use milena_engine::metadata::Address;
use milena_types::{ErrorCode, NodeId};
use tokio::time::{sleep, timeout};

use super::*;
use crate::net::{self, Memory};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_broker_of_the_list_tells_of_the_whole_cluster() {
    let (_broker, handle) = start(3).await;
    let topic = known(&handle, "orders").await;
    assert_eq!(topic.partition_count(), 6);
    assert!(topic.id.is_some());
    let cluster = handle.snapshot();
    assert_eq!(cluster.brokers().len(), 3);
    assert!((0..6).all(|partition| cluster.leader("orders", partition).is_some()));
    assert!(cluster.cluster_id().is_some() && cluster.controller().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_a_producer_names_is_created() {
    let (broker, handle) = start(1).await;
    assert_eq!(known(&handle, "fresh").await.partition_count(), 1);
    assert!(broker.partition("fresh", 0).is_some());
}

/// F23.
#[tokio::test(start_paused = true)]
async fn a_leader_that_moved_is_found_after_a_complaint() {
    let (broker, handle) = start(3).await;
    known(&handle, "orders").await;
    let before = handle.load().partition("orders", 0).cloned().unwrap();
    let to = before.replicas.iter().copied().find(|node| Some(*node) != before.leader).unwrap();
    assert!(broker.move_leader("orders", 0, to));
    handle.refresh();
    sleep(SECOND).await;
    let after = handle.load().partition("orders", 0).cloned().unwrap();
    assert_eq!(after.leader, Some(to));
    assert!(after.leader_epoch > before.leader_epoch);
}

/// F26.
#[tokio::test(start_paused = true)]
async fn a_topic_created_anew_has_its_new_id() {
    let (broker, handle) = start(1).await;
    let old = known(&handle, "orders").await;
    assert!(broker.delete_topic("orders"));
    broker.create_topic(&TopicSettings::new("orders", 2)).unwrap();
    handle.refresh();
    sleep(SECOND).await;
    let new = known(&handle, "orders").await;
    assert_ne!(new.id, old.id);
    assert_eq!(new.partition_count(), 2);
}

/// F4 to F8, F12 to F14, F34: whatever happens to the first two answers, the third is taken.
#[tokio::test(start_paused = true)]
async fn metadata_comes_in_spite_of_every_fault() {
    type Named = (&'static str, fn() -> FaultRule);
    let faults: [Named; 8] = [
        ("drop", || on(ApiKey::METADATA).first(2).drop_request()),
        ("apply then drop", || on(ApiKey::METADATA).first(2).apply_then_drop()),
        ("hang", || on(ApiKey::METADATA).first(2).hang()),
        ("corrupt", || on(ApiKey::METADATA).first(2).corrupt()),
        ("truncate", || on(ApiKey::METADATA).first(2).truncate()),
        ("wrong correlation", || on(ApiKey::METADATA).first(2).wrong_correlation()),
        ("server error", || on(ApiKey::METADATA).first(2).error(ErrorCode::UNKNOWN_SERVER_ERROR)),
        ("handshake dropped", || on(ApiKey::API_VERSIONS).first(2).drop_request()),
    ];
    for (name, fault) in faults {
        let (broker, handle) = start_with(3, Some(fault())).await;
        let topic = timeout(70 * SECOND, handle.topic(&"orders".into())).await;
        assert_eq!(topic.expect(name).expect(name).partition_count(), 6, "{name}");
        let asked =
            broker.requests(ApiKey::METADATA).len() + broker.requests(ApiKey::API_VERSIONS).len();
        assert!(asked >= 4, "{name}: {asked} requests, so that the fault was not met twice");
    }
}

/// F36, F37: the node that taught us everything goes, comes back, and the rest go.
#[tokio::test(start_paused = true)]
async fn metadata_is_kept_fresh_while_nodes_come_and_go() {
    let (broker, handle) = start(3).await;
    known(&handle, "orders").await;
    for node in [1, 2, 3, 1, 2, 3].map(NodeId::new) {
        broker.crash_node(node);
        sleep(SECOND).await;
        let version = handle.load().version();
        handle.refresh();
        sleep(3 * SECOND).await;
        assert!(handle.load().version() > version, "without {node}");
        broker.restart_node(node).await.unwrap();
        sleep(3 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_away_is_found_again() {
    let (broker, handle) = start(3).await;
    known(&handle, "orders").await;
    for node in 1..=3 {
        broker.crash_node(NodeId::new(node));
    }
    handle.refresh();
    sleep(120 * SECOND).await;
    assert!(handle.trouble(&"orders".into()).is_some());
    let version = handle.load().version();
    for node in 1..=3 {
        broker.restart_node(NodeId::new(node)).await.unwrap();
    }
    sleep(5 * SECOND).await;
    assert!(handle.load().version() > version);
    assert!((0..6).all(|partition| handle.load().leader("orders", partition).is_some()));
}

async fn start(nodes: usize) -> (Broker, MetadataHandle) {
    start_with(nodes, None).await
}

/// A cluster with `orders` of six partitions, and a client that knows its first node.
async fn start_with(nodes: usize, fault: Option<FaultRule>) -> (Broker, MetadataHandle) {
    let broker = Broker::builder().nodes(nodes).topic("orders", 6).start_in_memory().await.unwrap();
    if let Some(fault) = fault {
        broker.add_fault(fault);
    }
    let list = Address::parse_list(&broker.bootstrap_servers()).unwrap();
    let first = list.into_iter().take(1).collect();
    let transport = Arc::new(Memory::new(broker.dialer()));
    let pool = Pool::new(transport, net::Settings::default(), first, Rng::with_seed(1));
    let handle = MetadataHandle::spawn(Settings::default(), pool, Rng::with_seed(2));
    (broker, handle)
}

async fn known(handle: &MetadataHandle, topic: &str) -> Arc<TopicMetadata> {
    timeout(5 * SECOND, handle.topic(&topic.into())).await.expect("in time").expect("no error")
}
