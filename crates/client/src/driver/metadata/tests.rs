use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena_engine::ErrorKind;
use milena_engine::metadata::Address;
use milena_types::{ErrorCode, LeaderEpoch, NodeId, TopicPartition};
use milena_wire::Request;
use tokio::time::{sleep, timeout};

use super::*;
use crate::net::tests::peer::{Act, Peer, answer, metadata};
use crate::net::{self};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_brokers_are_known_soon_after_the_start() {
    let handle = start(&Peer::well());
    handle.subscribe().changed().await.unwrap();
    assert_eq!(handle.load().brokers().len(), 2);
    assert_eq!(handle.snapshot().version(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_being_created_is_waited_for() {
    let asked = AtomicUsize::new(0);
    let peer = Peer::new(move |_, request| match named(request) {
        Some(name) => {
            let is_created = asked.fetch_add(1, Ordering::SeqCst) >= 3;
            let code = if is_created { 0 } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.get() };
            Act::Respond(metadata(&["one"], [(&*name, code)]).into())
        }
        None => answer(request),
    });
    let handle = start(&peer);
    let topic = timeout(5 * SECOND, handle.topic(&"orders".into())).await.unwrap().unwrap();
    assert_eq!(topic.partition_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_waiting_does_not_bring_fails_at_once_by_name() {
    let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    let peer = Peer::new(move |_, request| match named(request) {
        Some(name) => Act::Respond(metadata(&["one"], [(&*name, code.get())]).into()),
        None => answer(request),
    });
    let handle = start(&peer);
    let error = timeout(SECOND, handle.topic(&"orders".into())).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Authorization, Some(code)));
    assert_eq!(error.topic().map(Topic::as_str), Some("orders"));
}

/// F43: metadata is minutes old before it is asked for by age; a right that was given counts at once.
#[tokio::test(start_paused = true)]
async fn a_topic_that_was_refused_once_is_asked_for_again() {
    let asked = AtomicUsize::new(0);
    let peer = Peer::new(move |_, request| match named(request) {
        Some(name) => {
            let is_allowed = asked.fetch_add(1, Ordering::SeqCst) > 0;
            let code = if is_allowed { 0 } else { ErrorCode::TOPIC_AUTHORIZATION_FAILED.get() };
            Act::Respond(metadata(&["one"], [(&*name, code)]).into())
        }
        None => answer(request),
    });
    let handle = start(&peer);
    let topic = Topic::from("orders");
    assert!(timeout(SECOND, handle.topic(&topic)).await.unwrap().is_err());
    sleep(SECOND).await;
    let known = timeout(SECOND, handle.topic(&topic)).await.unwrap().unwrap();
    assert_eq!(known.partition_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_can_be_told_why() {
    let peer = Peer::well();
    peer.refuse("seed");
    let handle = start(&peer);
    let topic = Topic::from("orders");
    assert!(timeout(10 * SECOND, handle.topic(&topic)).await.is_err());
    let error = handle.trouble(&topic).expect("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("seed:1: "), "{error}");
    // F20: ten seconds of trouble at most one dial a second, once the back-off is at its end.
    assert!(peer.dials() < 40, "{}", peer.dials());
}

#[tokio::test(start_paused = true)]
async fn many_waiters_make_one_request() {
    let peer = Peer::well();
    let handle = start(&peer);
    handle.subscribe().changed().await.unwrap();
    let before = peer.seen().len();
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.topic(&"orders".into()).await })
        })
        .collect();
    for waiter in waiters {
        assert!(waiter.await.unwrap().is_ok());
    }
    assert!(peer.seen().len() - before <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_hint_moves_a_leader_without_a_request() {
    let peer = Peer::new(|_, request| match named(request) {
        Some(name) => {
            let mut response = metadata(&["one", "two"], [(&*name, 0)]);
            response.topics[0].partitions[0].leader_epoch = 4;
            Act::Respond(response.into())
        }
        None => answer(request),
    });
    let handle = start(&peer);
    handle.topic(&"orders".into()).await.unwrap();
    let (before, mut changes) = (peer.seen().len(), handle.subscribe());
    let epoch = LeaderEpoch::from_wire(5).unwrap();
    let tp = TopicPartition::new("orders", 0);
    handle.hint(LeaderHint::new(tp, NodeId::new(2), epoch, None));
    changes.changed().await.unwrap();
    assert_eq!(handle.load().leader("orders", 0).map(|broker| broker.id), Some(NodeId::new(2)));
    assert_eq!(peer.seen().len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_interest_lives_as_long_as_its_holder() {
    let peer = Peer::well();
    let handle = start(&peer);
    let holder = handle.interest();
    let topics = ["orders".into()].into();
    holder.set(Interest::Topics { topics, may_create: false });
    sleep(SECOND).await;
    assert!(handle.load().topic("orders").is_some());
    drop(holder);
    handle.refresh();
    sleep(SECOND).await;
    assert!(handle.load().topic("orders").is_none());
}

#[tokio::test(start_paused = true)]
async fn the_task_and_its_connections_end_with_the_last_handle() {
    let peer = Peer::well();
    let handle = start(&peer);
    let mut changes = handle.subscribe();
    changes.changed().await.unwrap();
    sleep(SECOND).await;
    drop(handle);
    assert_eq!(changes.changed().await.unwrap_err().kind(), ErrorKind::Closed);
    sleep(SECOND).await;
    assert_eq!(peer.closed(), peer.dials());
}

fn start(peer: &Peer) -> MetadataHandle {
    let list = vec![Address::new("seed", 1)];
    let pool = Pool::new(peer.transport(), net::Settings::default(), list, Rng::with_seed(1));
    MetadataHandle::spawn(Settings::default(), pool, Rng::with_seed(2))
}

/// The first topic that a metadata request names.
fn named(request: &Request) -> Option<String> {
    let Request::Metadata(request) = request else { return None };
    Some(request.topics.as_ref()?.first()?.name.as_ref()?.to_string())
}
