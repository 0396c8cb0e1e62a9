use std::io;
use std::net::SocketAddr;

use milena_engine::request::Failure;
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::{HeartbeatResponse, ProduceRequest};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::peer::{Act, answer, stray};
use super::*;
use crate::net::transport::Connecting;
use crate::net::{Tcp, Transport};

#[tokio::test(start_paused = true)]
async fn a_request_opens_the_connection_and_is_answered() {
    let peer = Peer::well();
    let pool = pool(&peer, Settings::default());
    let answer = beat(&pool, to(1)).await.unwrap();
    assert!(matches!(answer.result, Ok(Some(Response::Heartbeat(_)))));
    assert_eq!(answer.broker, Some(NodeId::new(1)));
    assert_eq!(answer.version, 4);
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    assert_eq!(peer.dials(), 1);
}

/// Machines number their requests each on their own: the numbers meet on one connection.
#[tokio::test(start_paused = true)]
async fn answers_find_their_way_although_two_drivers_use_the_same_ids() {
    let peer = Peer::new(|_, request| match request {
        Request::Heartbeat(request) => {
            let error_code = ErrorCode::from_wire(request.generation_id as i16);
            Act::Respond(HeartbeatResponse { error_code, ..HeartbeatResponse::default() }.into())
        }
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    let (mut ids, mut inboxes) = ([RequestIds::default(), RequestIds::default()], Vec::new());
    for (driver, ids) in ids.iter_mut().enumerate() {
        let (sender, inbox) = mpsc::unbounded_channel();
        for place in 0..50 {
            let generation_id = 100 * driver as i32 + place;
            let body = HeartbeatRequest { generation_id, ..HeartbeatRequest::default() };
            let request = Outbound::new(ids.deal(), to(1), Lane::Control, 30 * SECOND, body.into());
            pool.submit(request, ReplyTo::Driver(sender.clone()));
        }
        inboxes.push(inbox);
    }
    for (driver, inbox) in inboxes.iter_mut().enumerate() {
        let mut expected = RequestIds::default();
        for place in 0..50 {
            let answer = inbox.recv().await.unwrap();
            let Ok(Some(Response::Heartbeat(response))) = answer.result else { panic!() };
            assert_eq!(i32::from(response.error_code.get()), 100 * driver as i32 + place);
            assert_eq!(answer.id, expected.deal());
        }
    }
    assert_eq!(peer.dials(), 1);
}

/// F1, KIP-144: what waits is failed at once, naming the place; the next dial waits.
#[tokio::test(start_paused = true)]
async fn a_refused_connection_fails_what_waits_and_is_dialled_again_after_growing_waits() {
    let peer = Peer::well();
    peer.refuse("one");
    let pool = pool(&peer, Settings::default());
    let start = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let asked = Instant::now();
        let failure = beat(&pool, to(1)).await.unwrap().result.unwrap_err();
        let Failure::Unreachable(why) = failure else { panic!("{failure:?}") };
        assert!(why.contains("one:9092") && why.contains("refused"), "{why}");
        waits.push(asked.elapsed().as_millis());
    }
    assert_eq!(waits[0], 0);
    assert!((40..=61).contains(&waits[1]), "{waits:?}");
    assert!((800..=1001).contains(&waits[7]), "{waits:?}");
    assert!(start.elapsed() < 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_opens_forgets_the_failures_before_it() {
    let peer = Peer::new(|connection, request| match request {
        Request::Heartbeat(_) if connection >= 8 => Act::Close,
        Request::ApiVersions(_) if connection < 8 => {
            Act::Write((-1i32).to_be_bytes().to_vec().into())
        }
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    while peer.dials() < 9 {
        let _ = beat(&pool, to(1)).await.unwrap();
    }
    let start = Instant::now();
    let _ = beat(&pool, to(1)).await.unwrap();
    assert!(start.elapsed() <= Duration::from_millis(61), "{:?}", start.elapsed());
}

/// Trap 44: without a timer of its own a handshake that hangs would hang for ever.
#[tokio::test(start_paused = true)]
async fn a_handshake_without_an_answer_is_given_up_after_the_setup_timeout() {
    let peer = Peer::new(|_, _| Act::Ignore);
    let pool = pool(&peer, Settings::default());
    let start = Instant::now();
    let failure = beat(&pool, to(1)).await.unwrap().result.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    assert!((8..=12).contains(&start.elapsed().as_secs()));
    let again = Instant::now();
    let _ = beat(&pool, to(1)).await.unwrap();
    assert!((16..=25).contains(&again.elapsed().as_secs()), "KIP-601: twice as long");
}

/// F2: a dial with many addresses may take minutes.
#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_for_a_dial_than_for_an_answer() {
    let peer = Peer::new(|_, _| Act::Ignore);
    let settings = Settings {
        setup_timeout: 300 * SECOND,
        setup_timeout_max: 300 * SECOND,
        ..Settings::default()
    };
    let pool = pool(&peer, settings);
    let start = Instant::now();
    assert_eq!(beat(&pool, to(1)).await.unwrap().result.unwrap_err(), Failure::NotSent);
    assert_eq!(start.elapsed().as_secs(), 30);
}

/// The time-out is the caller's for the whole of it, not for each of dialling and answering.
#[tokio::test(start_paused = true)]
async fn what_a_dial_took_is_not_given_to_the_answer_again() {
    let peer = Peer::new(|_, request| match request {
        Request::Heartbeat(_) => Act::Ignore,
        other => answer(other),
    });
    let transport = Arc::new(Slow(peer.transport(), 20 * SECOND));
    let pool = Pool::new(transport, Settings::default(), Vec::new(), Rng::with_seed(1));
    pool.update(&brokers(&["one"]));
    let start = Instant::now();
    assert_eq!(beat(&pool, to(1)).await.unwrap().result.unwrap_err(), Failure::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_for_a_back_off_than_for_an_answer() {
    let peer = Peer::well();
    peer.refuse("one");
    let hour = 3600 * SECOND;
    let settings =
        Settings { reconnect_backoff: hour, reconnect_backoff_max: hour, ..Settings::default() };
    let pool = pool(&peer, settings);
    assert!(beat(&pool, to(1)).await.unwrap().result.is_err());
    let start = Instant::now();
    assert_eq!(beat(&pool, to(1)).await.unwrap().result.unwrap_err(), Failure::NotSent);
    assert_eq!(start.elapsed().as_secs(), 30);
}

/// As a lost connection it would be asked for again for ever, and nobody would know why.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_said_to_be() {
    let peer = Peer::new(|_, request| match request {
        Request::Heartbeat(_) => Act::Write((200i32 << 20).to_be_bytes().to_vec().into()),
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    let failure = beat(&pool, to(1)).await.unwrap().result.unwrap_err();
    let Failure::MalformedResponse(why) = failure else { panic!("{failure:?}") };
    assert!(why.contains("209715200 bytes"), "{why}");
}

/// Dials that take their time.
#[derive(Debug)]
struct Slow(Arc<dyn Transport>, Duration);

impl Transport for Slow {
    fn connect<'a>(&'a self, address: &'a Address, timeout: Duration) -> Connecting<'a> {
        Box::pin(async move {
            sleep(self.1).await;
            self.0.connect(address, timeout).await
        })
    }
}

/// Trap 40, 45: some brokers hang up on a version they do not know.
#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_on_new_versions_is_asked_in_version_0() {
    let peer = Peer::new(|_, request| match request {
        Request::ApiVersions(request) if !request.client_software_name.is_empty() => Act::Close,
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    assert_eq!(peer.dials(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_on_everything_is_said_to_expect_something_else() {
    let peer = Peer::new(|_, _| Act::Close);
    let pool = pool(&peer, Settings::default());
    let failure = beat(&pool, to(1)).await.unwrap().result.unwrap_err();
    let Failure::Unreachable(why) = failure else { panic!("{failure:?}") };
    assert!(why.contains("TLS or SASL"), "{why}");
    assert_eq!(peer.dials(), 3);
}

/// F8, R15: the connection goes with the late request, and the next one gets a fresh one.
#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_times_out_and_the_next_gets_a_new_connection() {
    let peer = Peer::new(|connection, request| match request {
        Request::Heartbeat(_) if connection == 0 => Act::Ignore,
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    let start = Instant::now();
    let first = beat(&pool, to(1));
    sleep(SECOND).await;
    let sibling = beat(&pool, to(1));
    assert_eq!(first.await.unwrap().result.unwrap_err(), Failure::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(sibling.await.unwrap().result.unwrap_err(), Failure::ConnectionLost);
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    assert_eq!((peer.dials(), peer.closed()), (2, 1));
}

/// F4, F10, F12, F14.
#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_leaves_the_request_in_doubt() {
    let cut = stray(HeartbeatResponse::default()).slice(..6);
    let acts = [
        Act::Close,
        Act::Write(cut),
        Act::Write(stray(HeartbeatResponse::default())),
        Act::Write((-1i32).to_be_bytes().to_vec().into()),
        Act::Write(i32::MAX.to_be_bytes().to_vec().into()),
        Act::Write([0, 0, 0, 3, 1, 2, 3].to_vec().into()),
        Act::Write([0, 0, 0, 0].to_vec().into()),
    ];
    for act in acts {
        let (first, then) = (act.clone(), Act::Close);
        let peer = Peer::new(move |connection, request| match request {
            Request::Heartbeat(_) if connection == 0 => first.clone(),
            Request::Produce(_) => then.clone(),
            other => answer(other),
        });
        let pool = pool(&peer, Settings::default());
        let beat = beat(&pool, to(1));
        let close = ask(&pool, to(1), Lane::Control, ProduceRequest::default().into());
        let failure = beat.await.unwrap().result.unwrap_err();
        assert!(failure.may_be_applied(), "{act:?}: {failure:?}");
        assert!(close.await.unwrap().result.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn produce_without_acks_is_done_when_it_is_written() {
    let peer = Peer::new(|_, request| match request {
        Request::Produce(_) => Act::Ignore,
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    let (reply, done) = oneshot::channel();
    let id = RequestIds::default().deal();
    let body = ProduceRequest::default().into();
    let mut request = Outbound::new(id, to(1), Lane::Produce, 30 * SECOND, body);
    request.answered = false;
    pool.submit(request, ReplyTo::Caller(reply));
    assert!(matches!(done.await.unwrap().result, Ok(None)));
    sleep(60 * SECOND).await;
    assert_eq!(peer.closed(), 0, "nothing was due");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_opened_again_when_needed() {
    let peer = Peer::well();
    let pool = pool(&peer, Settings { idle_max: Some(10 * SECOND), ..Settings::default() });
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    sleep(9 * SECOND).await;
    assert_eq!(peer.closed(), 0);
    sleep(2 * SECOND).await;
    assert_eq!(peer.closed(), 1);
    let start = Instant::now();
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    assert!(start.elapsed() < SECOND / 1000, "no back-off: nothing went wrong");
}

/// KIP-219.
#[tokio::test(start_paused = true)]
async fn a_throttled_connection_waits_and_another_broker_does_not() {
    let peer = Peer::new(|connection, request| match request {
        Request::Heartbeat(_) if connection == 0 => {
            let throttle_time_ms = 5000;
            Act::Respond(
                HeartbeatResponse { throttle_time_ms, ..HeartbeatResponse::default() }.into(),
            )
        }
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    let start = Instant::now();
    let throttled = beat(&pool, to(1));
    assert!(beat(&pool, to(2)).await.unwrap().result.is_ok());
    assert!(start.elapsed() < SECOND);
    assert!(throttled.await.unwrap().result.is_ok());
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_does_not_hold_up_another() {
    let peer = Peer::new(|_, request| match request {
        Request::Produce(_) => Act::Ignore,
        other => answer(other),
    });
    let pool = pool(&peer, Settings::default());
    let mut slow = ask(&pool, to(1), Lane::Produce, ProduceRequest::default().into());
    assert!(beat(&pool, to(1)).await.unwrap().result.is_ok());
    assert!(timeout(SECOND, &mut slow).await.is_err());
    assert_eq!(peer.dials(), 2);
}

/// F21: writes that take a few bytes at a time, and reads that bring a few.
#[tokio::test(start_paused = true)]
async fn requests_and_answers_cross_a_pipe_of_seven_bytes() {
    let peer = Peer::with_pipe(7, |_, request| answer(request));
    let pool = pool(&peer, Settings::default());
    let beats: Vec<_> = (0..20).map(|_| beat(&pool, to(1))).collect();
    for beat in beats {
        assert!(beat.await.unwrap().result.is_ok());
    }
    assert_eq!(peer.dials(), 1);
}

#[tokio::test]
async fn over_tcp_a_name_is_looked_up() {
    let peer = Peer::well();
    let port = peer.listen().await;
    let tcp = Tcp { send_buffer_bytes: Some(64 * 1024), receive_buffer_bytes: None };
    let address = Address::new("localhost", port);
    let pool = Pool::new(Arc::new(tcp), Settings::default(), vec![address], Rng::with_seed(1));
    assert!(beat(&pool, Target::Any).await.unwrap().result.is_ok());
    pool.close(SECOND).await;
}

/// KIP-302, KIP-602: `localhost` is mostly an IPv6 address first, where nobody listens.
#[tokio::test]
async fn over_tcp_every_address_of_a_name_is_tried() {
    let (first, second) = (Peer::well(), Peer::well());
    let well = [first.listen().await, second.listen().await];
    let well = well.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let dead = SocketAddr::from(([127, 0, 0, 1], 1));
    let tcp = Tcp { send_buffer_bytes: None, receive_buffer_bytes: None };
    let address = Address::new("a-name-with-several-addresses", 9092);
    let dial = async |resolved: &[SocketAddr]| {
        let resolved = resolved.iter().copied();
        tcp.connect_to_first(&address, resolved, Duration::from_secs(60)).await
    };
    let stream = dial(&[dead, dead, well[0], well[1]]).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), well[0], "the first that answers");
    let refused = dial(&[dead, dead]).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(dial(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn over_tcp_a_refused_connection_says_so() {
    let address = Address::new("127.0.0.1", 1);
    let tcp = Tcp { send_buffer_bytes: None, receive_buffer_bytes: None };
    let pool = Pool::new(Arc::new(tcp), Settings::default(), vec![address], Rng::with_seed(1));
    let failure = beat(&pool, Target::Any).await.unwrap().result.unwrap_err();
    let Failure::Unreachable(why) = failure else { panic!("{failure:?}") };
    assert!(why.starts_with("127.0.0.1:1: "), "{why}");
    assert!(why.to_lowercase().contains("connection refused"), "{why}");
}
