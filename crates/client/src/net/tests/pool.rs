use milena_engine::request::Failure;
use tokio::time::{Instant, sleep, timeout};

use super::peer::{Act, answer};
use super::*;

#[tokio::test(start_paused = true)]
async fn anybody_is_somebody_of_the_bootstrap_list_until_brokers_are_known() {
    let peer = Peer::well();
    let pool = pool_without_brokers(&peer, Settings::default());
    assert!(beat(&pool, Target::Any).await.unwrap().result.is_ok());
    pool.update(&brokers(&["one"]));
    assert!(beat(&pool, Target::Any).await.unwrap().result.is_ok());
    let hosts: Vec<_> = peer.seen().into_iter().map(|(_, host, _)| host).collect();
    assert_eq!(hosts, ["seed", "one"]);
    sleep(SECOND).await;
    assert_eq!(peer.closed(), 1, "the connection to the list is not needed any more");
}

#[tokio::test(start_paused = true)]
async fn anybody_is_not_one_that_cannot_be_reached_while_another_can() {
    let peer = Peer::well();
    peer.refuse("one");
    let pool = pool(&peer, Settings::default());
    let mut failures = 0;
    for _ in 0..20 {
        failures += usize::from(beat(&pool, Target::Any).await.unwrap().result.is_err());
    }
    assert!(failures <= 1, "{failures}");
}

#[tokio::test(start_paused = true)]
async fn anybody_is_the_one_with_the_least_to_do() {
    let peer = Peer::new(|_, request| match request {
        Request::Heartbeat(_) => Act::Ignore,
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    let busy: Vec<_> = (0..4).map(|_| beat(&pool, to(1))).collect();
    let opened = beat(&pool, to(2));
    sleep(SECOND).await;
    let waiting: Vec<_> = (0..5).map(|_| beat(&pool, Target::Any)).collect();
    sleep(SECOND).await;
    let on_one = peer.seen().iter().filter(|(_, host, _)| host == "one").count();
    assert_eq!((on_one, peer.seen().len()), (5, 10));
    drop((busy, opened, waiting));
}

/// KIP-899: all that is known is gone, and the list knows where the cluster went.
#[tokio::test(start_paused = true)]
async fn the_bootstrap_list_is_tried_when_no_known_broker_can_be_reached() {
    let peer = Peer::well();
    peer.refuse("one");
    peer.refuse("two");
    let pool = pool(&peer, Settings::default());
    assert!(beat(&pool, to(1)).await.unwrap().result.is_err());
    assert!(beat(&pool, to(2)).await.unwrap().result.is_err());
    assert!(beat(&pool, Target::Any).await.unwrap().result.is_ok());
    assert_eq!(peer.seen().last().unwrap().1, "seed");
}

#[tokio::test(start_paused = true)]
async fn without_rebootstrap_the_list_is_left_alone() {
    let peer = Peer::well();
    peer.refuse("one");
    peer.refuse("two");
    let pool = pool(&peer, Settings { rebootstrap: false, ..Settings::default() });
    for _ in 0..10 {
        assert!(beat(&pool, Target::Any).await.unwrap().result.is_err());
    }
    pool.rebootstrap();
    assert!(beat(&pool, Target::Any).await.unwrap().result.is_err());
}

#[tokio::test(start_paused = true)]
async fn rebootstrap_passes_the_known_brokers_over_until_new_ones_come() {
    let peer = Peer::well();
    let pool = pool(&peer, Settings::default());
    pool.rebootstrap();
    assert!(beat(&pool, Target::Any).await.unwrap().result.is_ok());
    pool.update(&brokers(&["one", "two"]));
    assert!(beat(&pool, Target::Any).await.unwrap().result.is_ok());
    let hosts: Vec<_> = peer.seen().into_iter().map(|(_, host, _)| host).collect();
    assert_eq!(hosts[0], "seed");
    assert_ne!(hosts[1], "seed");
}

/// F39: a broker keeps its id and listens elsewhere.
#[tokio::test(start_paused = true)]
async fn a_broker_that_moved_is_dialled_where_it_went_and_the_old_answer_still_counts() {
    let peer = Peer::well();
    let pool = pool(&peer, Settings::default());
    let before = beat(&pool, to(1));
    tokio::task::yield_now().await;
    sleep(SECOND).await;
    pool.update(&brokers(&["elsewhere", "two"]));
    assert!(before.await.unwrap().result.is_ok());
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    assert_eq!(peer.seen().last().unwrap().1, "elsewhere");
    sleep(SECOND).await;
    assert_eq!(peer.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_nobody_knows_is_not_waited_for() {
    let peer = Peer::well();
    let pool = pool(&peer, Settings::default());
    assert_eq!(beat(&pool, to(9)).await.unwrap().result.unwrap_err(), Failure::NotSent);
    assert_eq!(peer.dials(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_lets_what_is_in_flight_be_answered_and_ends_every_connection() {
    let peer = Peer::well();
    let pool = pool(&peer, Settings::default());
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    assert!(beat(&pool, to(2)).await.unwrap().result.is_ok());
    pool.close(10 * SECOND).await;
    tokio::task::yield_now().await;
    assert_eq!(peer.closed(), 2);
    assert_eq!(beat(&pool, to(1)).await.unwrap().result.unwrap_err(), Failure::Closed);
    assert_eq!(beat(&pool, Target::Any).await.unwrap().result.unwrap_err(), Failure::Closed);
}

/// F70: close under fault.
#[tokio::test(start_paused = true)]
async fn close_is_bounded_and_leaves_no_request_without_an_answer() {
    for hangs_in_handshake in [false, true] {
        let peer = Peer::new(move |_, request| match request {
            Request::ApiVersions(_) if !hangs_in_handshake => answer(request),
            _ => Act::Ignore,
        });
        let pool = pool(&peer, Settings::default());
        let in_doubt = beat(&pool, to(1));
        sleep(SECOND).await;
        let start = Instant::now();
        pool.close(3 * SECOND).await;
        assert!(start.elapsed() <= 3 * SECOND);
        let failure = in_doubt.await.unwrap().result.unwrap_err();
        let expected = if hangs_in_handshake { Failure::NotSent } else { Failure::ConnectionLost };
        assert_eq!(failure, expected);
        pool.close(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_ends_the_connections_and_answers_every_request() {
    let peer = Peer::new(|_, request| match request {
        Request::ApiVersions(_) => answer(request),
        _ => Act::Ignore,
    });
    let pool = pool(&peer, Settings::default());
    let in_doubt = beat(&pool, to(1));
    sleep(SECOND).await;
    drop(pool);
    let answer = timeout(SECOND, in_doubt).await.expect("at once").unwrap();
    assert_eq!(answer.result.unwrap_err(), Failure::ConnectionLost);
    sleep(SECOND).await;
    assert_eq!(peer.closed(), 1);
}
