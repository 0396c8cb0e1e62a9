use std::collections::BTreeMap;

use fastrand::Rng;
use milena_types::ApiKey;
use milena_wire::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
    ProduceRequest,
};
use milena_wire::{Request, decode_request, encode_response};

use super::*;
use crate::request::{Lane, RequestIds, Target};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn requests_are_written_in_order_and_answered_in_order() {
    let mut world = World::new(Settings::default());
    let ids: Vec<_> = (0..3).map(|_| world.submit(SECOND)).collect();
    let written = world.write_all();
    assert_eq!(written.iter().map(|frame| frame.0).collect::<Vec<_>>(), [0, 1, 2]);
    for (place, id) in ids.iter().enumerate() {
        world.respond(place as i32, 0);
        let (answered, result) = world.next_answer();
        assert_eq!(answered, *id);
        assert!(matches!(result, Ok(Some(Response::Heartbeat(_)))));
    }
    assert_eq!(world.pipeline.load(), 0);
}

#[test]
fn no_more_than_the_allowed_requests_are_in_flight() {
    let mut world = World::new(Settings { in_flight_max: 2, ..Settings::default() });
    for _ in 0..3 {
        world.submit(SECOND);
    }
    assert_eq!(world.write_all().len(), 2);
    world.respond(0, 0);
    assert_eq!(world.write_all().len(), 1);
}

/// F14: an answer that belongs to another request would be taken for the right one if the order were trusted.
#[test]
fn an_answer_out_of_order_ends_the_connection_and_leaves_the_rest_in_doubt() {
    let mut world = World::new(Settings::default());
    let (first, second) = (world.submit(SECOND), world.submit(SECOND));
    world.write_all();
    world.respond(1, 0);
    let (id, result) = world.next_answer();
    assert_eq!(id, first);
    assert!(matches!(result, Err(Failure::MalformedResponse(_))));
    assert_eq!(world.next_failure(), (second, Failure::ConnectionLost));
    assert!(matches!(world.next_close(), CloseReason::Malformed(_)));
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let mut world = World::new(Settings::default());
    let id = world.submit(SECOND);
    world.respond(0, 0);
    assert_eq!(world.next_failure(), (id, Failure::NotSent));
    assert!(matches!(world.next_close(), CloseReason::Malformed(_)));
}

/// Trap 43, R15: what stands behind a request that times out cannot be told from what was carried out.
#[test]
fn a_late_request_takes_its_siblings_with_it_each_by_how_far_it_got() {
    let mut world = World::new(Settings { in_flight_max: 4, ..Settings::default() });
    let late = world.submit(SECOND);
    let whole = world.submit(SECOND * 9);
    let begun = world.submit(SECOND * 9);
    let handed = world.submit(SECOND * 9);
    let waiting = world.submit(SECOND * 9);
    for _ in 0..4 {
        assert!(world.pipeline.poll_transmit(world.now).is_some());
    }
    world.pipeline.handle_transmitted(world.now, 2, true);
    world.advance(SECOND);
    assert_eq!(world.next_failure(), (late, Failure::TimedOut));
    assert_eq!(world.next_failure(), (whole, Failure::ConnectionLost));
    assert_eq!(world.next_failure(), (begun, Failure::ConnectionLost));
    assert_eq!(world.next_failure(), (handed, Failure::NotSent));
    assert_eq!(world.next_failure(), (waiting, Failure::NotSent));
    assert_eq!(world.next_close(), CloseReason::TimedOut);
    assert!(world.pipeline.poll_transmit(world.now).is_none());
    assert_eq!(world.pipeline.poll_timeout(), None);
}

#[test]
fn a_request_that_waits_too_long_is_not_sent_and_harms_nobody() {
    let mut world = World::new(Settings { in_flight_max: 1, ..Settings::default() });
    let sent = world.submit(SECOND * 9);
    let waiting = world.submit(SECOND);
    world.write_all();
    world.advance(SECOND);
    assert_eq!(world.next_failure(), (waiting, Failure::NotSent));
    world.respond(0, 0);
    assert_eq!(world.next_answer().0, sent);
}

/// Trap 44: the answer first, then silence, counted from the answer.
#[test]
fn a_throttled_connection_is_silent_for_the_time_it_was_told() {
    let mut world = World::new(Settings::default());
    world.submit(SECOND * 9);
    world.write_all();
    world.respond(0, 3000);
    assert!(world.next_answer().1.is_ok());
    world.submit(SECOND * 9);
    assert!(world.pipeline.poll_transmit(world.now).is_none());
    assert_eq!(world.pipeline.poll_timeout(), Some(world.now + SECOND * 3));
    world.advance(SECOND * 3);
    assert_eq!(world.write_all().len(), 1);
}

/// A full socket buffer: nobody asks for a frame, and a timer that stayed due would turn the wait into a spin.
#[test]
fn a_silence_that_is_over_wakes_once_while_nothing_can_be_written() {
    let mut world = World::new(Settings::default());
    world.submit(SECOND * 9);
    world.write_all();
    world.respond(0, 3000);
    world.submit(SECOND * 9);
    world.advance(SECOND * 3);
    world.pipeline.handle_timeout(world.now);
    assert!(world.pipeline.poll_timeout() > Some(world.now));
}

#[test]
fn a_damaged_throttle_time_silences_for_minutes_at_most() {
    let mut world = World::new(Settings::default());
    world.submit(SECOND);
    world.write_all();
    world.respond(0, i32::MAX);
    world.submit(SECOND * 1000);
    world.advance(THROTTLE_MAX);
    assert_eq!(world.write_all().len(), 1);
}

#[test]
fn a_request_without_answer_is_done_once_it_is_written() {
    let mut world = World::new(Settings::default());
    let before = world.submit(SECOND);
    let id = world.submit_unanswered();
    let after = world.submit(SECOND);
    world.write_all();
    let (answered, result) = world.next_answer();
    assert_eq!(answered, id);
    assert!(matches!(result, Ok(None)));
    world.respond(0, 0);
    assert_eq!(world.next_answer().0, before);
    world.respond(2, 0);
    assert_eq!(world.next_answer().0, after);
}

#[test]
fn an_idle_connection_closes_and_a_busy_one_does_not() {
    let idle_max = Some(SECOND * 10);
    let mut world = World::new(Settings { idle_max, ..Settings::default() });
    world.submit(SECOND * 99);
    world.write_all();
    world.advance(SECOND * 20);
    world.respond(0, 0);
    assert!(world.next_answer().1.is_ok());
    world.advance(SECOND * 9);
    assert!(world.pipeline.poll_output().is_none());
    world.advance(SECOND);
    assert_eq!(world.next_close(), CloseReason::Idle);
}

#[test]
fn draining_answers_what_is_in_flight_and_refuses_the_rest() {
    let mut world = World::new(Settings { in_flight_max: 1, ..Settings::default() });
    let (sent, waiting) = (world.submit(SECOND), world.submit(SECOND));
    world.write_all();
    world.pipeline.drain(world.now);
    assert_eq!(world.next_failure(), (waiting, Failure::NotSent));
    let late = world.submit(SECOND);
    assert_eq!(world.next_failure(), (late, Failure::NotSent));
    world.respond(0, 0);
    assert_eq!(world.next_answer().0, sent);
    assert_eq!(world.next_close(), CloseReason::Drained);
}

#[test]
fn a_request_beyond_what_the_broker_speaks_fails_alone() {
    let mut world = World::new(Settings::default());
    let mut request = world.request(SECOND, FindCoordinatorRequest::default().into());
    request.version_min = 5;
    let id = request.id;
    world.pipeline.submit(world.now, request);
    let fine = world.submit(SECOND);
    assert_eq!(world.write_all().len(), 1);
    assert_eq!(world.next_failure(), (id, Failure::UnsupportedVersion));
    world.respond(0, 0);
    assert_eq!(world.next_answer().0, fine);
}

/// A broker from before KIP-699 gets the old shape and its answer comes back in the new one.
#[test]
fn machines_see_the_newest_shape_only() {
    let mut world = World::new(Settings::default());
    let find = FindCoordinatorRequest {
        coordinator_keys: vec!["orders-app".into()],
        ..FindCoordinatorRequest::default()
    };
    let request = world.request(SECOND, find.into());
    world.pipeline.submit(world.now, request);
    let (_, body) = world.write_all().remove(0);
    let Request::FindCoordinator(asked) = body else { panic!("{body:?}") };
    assert_eq!(&*asked.key, "orders-app");
    let response =
        FindCoordinatorResponse { node_id: 7, port: 9092, ..FindCoordinatorResponse::default() };
    let frame = encode_response(&response.into(), 2, CorrelationId::from_wire(0)).unwrap();
    world.pipeline.handle_frame(world.now, frame.into_bytes().slice(4..));
    let Ok(Some(Response::FindCoordinator(found))) = world.next_answer().1 else { panic!() };
    assert_eq!(found.coordinators[0].node_id, 7);
    assert_eq!(&*found.coordinators[0].key, "orders-app");
}

/// The property that every machine rests on. The model knows of each request how many of its bytes were written.
#[test]
fn whatever_happens_every_request_is_answered_once_and_truthfully() {
    for seed in 0..2000 {
        random_script(seed);
    }
}

fn random_script(seed: u64) {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fact {
        Unwritten,
        Begun,
        Whole,
    }
    let mut rng = Rng::with_seed(seed);
    let in_flight_max = rng.usize(1..6);
    let idle_max = rng.bool().then_some(SECOND * 20);
    let mut world = World::new(Settings { in_flight_max, idle_max, ..Settings::default() });
    let mut facts: BTreeMap<RequestId, (Fact, bool)> = BTreeMap::new();
    let mut submitted: VecDeque<RequestId> = VecDeque::new();
    let mut handed: VecDeque<RequestId> = VecDeque::new();
    let mut whole: VecDeque<(RequestId, i32)> = VecDeque::new();
    let mut correlation = 0;
    let mut is_closed = false;
    for _ in 0..rng.usize(1..60) {
        match rng.u32(0..100) {
            0..30 => {
                let is_answered = rng.u32(0..5) > 0;
                let id = match is_answered {
                    true => world.submit(SECOND * rng.u32(1..30)),
                    false => world.submit_unanswered(),
                };
                facts.insert(id, (Fact::Unwritten, is_answered));
                submitted.push_back(id);
            }
            30..55 => {
                if let Some(frame) = world.pipeline.poll_transmit(world.now) {
                    assert!(!is_closed, "seed {seed}: a frame after the end");
                    // Those before it may have expired while they waited; the order of the rest is kept.
                    let (header, _) = decode_request(frame.into_bytes().slice(4..)).unwrap();
                    assert_eq!(header.correlation_id.get(), correlation + handed.len() as i32);
                    handed.push_back(world.id_of(&mut submitted));
                }
            }
            55..70 => {
                let frames = rng.usize(0..=handed.len());
                for id in handed.drain(..frames) {
                    let fact = facts.get_mut(&id).unwrap();
                    fact.0 = Fact::Whole;
                    if fact.1 {
                        whole.push_back((id, correlation));
                    }
                    correlation += 1;
                }
                let is_next_begun = !handed.is_empty() && rng.bool();
                if let Some(next) = handed.front().filter(|_| is_next_begun) {
                    facts.get_mut(next).unwrap().0 = Fact::Begun;
                }
                world.pipeline.handle_transmitted(world.now, frames, is_next_begun);
            }
            70..88 => {
                if let Some((_, due)) = whole.pop_front() {
                    world.respond(due, if rng.u32(0..8) == 0 { 2000 } else { 0 });
                }
            }
            88..95 => world.advance(SECOND * rng.u32(0..8)),
            95 => world.respond(rng.i32(..), 0),
            96 => world.pipeline.handle_frame(world.now, vec![7; rng.usize(0..12)].into()),
            97 => world.pipeline.drain(world.now),
            _ => world.pipeline.handle_lost(world.now),
        }
        assert!(world.pipeline.in_flight.len() <= in_flight_max);
        is_closed |= settle(&mut world, &mut facts, &mut submitted, &mut whole, seed);
        if is_closed {
            handed.clear();
        }
    }
    world.pipeline.handle_lost(world.now);
    settle(&mut world, &mut facts, &mut submitted, &mut whole, seed);
    assert!(facts.is_empty(), "seed {seed}: without an answer {facts:?}");

    fn settle(
        world: &mut World,
        facts: &mut BTreeMap<RequestId, (Fact, bool)>,
        submitted: &mut VecDeque<RequestId>,
        whole: &mut VecDeque<(RequestId, i32)>,
        seed: u64,
    ) -> bool {
        let mut is_closed = false;
        while let Some(output) = world.pipeline.poll_output() {
            let answer = match output {
                Output::Answer(answer) => answer,
                Output::Close(_) => {
                    assert_eq!(world.pipeline.load(), 0, "seed {seed}");
                    is_closed = true;
                    continue;
                }
            };
            let (fact, is_answered) = facts.remove(&answer.id).expect("answered once");
            submitted.retain(|id| *id != answer.id);
            whole.retain(|(id, _)| *id != answer.id);
            match answer.result {
                Ok(Some(_)) => assert!(fact == Fact::Whole && is_answered, "seed {seed}"),
                Ok(None) => assert!(fact == Fact::Whole && !is_answered, "seed {seed}"),
                Err(failure) => {
                    assert_eq!(failure.may_be_applied(), fact != Fact::Unwritten, "seed {seed}");
                }
            }
        }
        is_closed
    }
}

/// A pipeline to a broker that speaks Heartbeat, Produce and an old FindCoordinator.
struct World {
    now: Instant,
    ids: RequestIds,
    pipeline: Pipeline,
}

impl World {
    fn new(settings: Settings) -> Self {
        let versions = Versions::new([
            (ApiKey::HEARTBEAT, 0, 4),
            (ApiKey::PRODUCE, 0, 9),
            (ApiKey::FIND_COORDINATOR, 0, 2),
        ]);
        #[expect(clippy::disallowed_methods, reason = "any instant will do; none is read again")]
        let now = Instant::now();
        let pipeline =
            Pipeline::new(now, settings, NodeId::from_wire(1), versions, CorrelationId::FIRST);
        Self { now, ids: RequestIds::default(), pipeline }
    }

    fn request(&mut self, timeout: Duration, body: Request) -> Outbound {
        Outbound::new(self.ids.deal(), Target::Any, Lane::Control, timeout, body)
    }

    fn submit(&mut self, timeout: Duration) -> RequestId {
        let request = self.request(timeout, HeartbeatRequest::default().into());
        let id = request.id;
        self.pipeline.submit(self.now, request);
        id
    }

    fn submit_unanswered(&mut self) -> RequestId {
        let mut request = self.request(SECOND * 5, ProduceRequest::default().into());
        request.answered = false;
        let id = request.id;
        self.pipeline.submit(self.now, request);
        id
    }

    /// Hands out and writes every frame that may go; each with its correlation id.
    fn write_all(&mut self) -> Vec<(i32, Request)> {
        let mut frames = Vec::new();
        while let Some(frame) = self.pipeline.poll_transmit(self.now) {
            let (header, body) = decode_request(frame.into_bytes().slice(4..)).unwrap();
            frames.push((header.correlation_id.get(), body));
            self.pipeline.handle_transmitted(self.now, 1, false);
        }
        frames
    }

    fn respond(&mut self, correlation: i32, throttle_time_ms: i32) {
        let response = HeartbeatResponse { throttle_time_ms, ..HeartbeatResponse::default() };
        let frame = encode_response(&response.into(), 4, CorrelationId::from_wire(correlation));
        self.pipeline.handle_frame(self.now, frame.unwrap().into_bytes().slice(4..));
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        if self.pipeline.poll_timeout().is_some_and(|due| self.now >= due) {
            self.pipeline.handle_timeout(self.now);
        }
    }

    /// Which of the submitted requests was handed out: the last that the pipeline put in flight.
    fn id_of(&self, submitted: &mut VecDeque<RequestId>) -> RequestId {
        let id = self.pipeline.in_flight.back().expect("just handed out").id;
        assert_eq!(submitted.pop_front(), Some(id), "in the order of submission");
        id
    }

    fn next_answer(&mut self) -> (RequestId, Result<Option<Response>, Failure>) {
        match self.pipeline.poll_output() {
            Some(Output::Answer(answer)) => (answer.id, answer.result),
            other => panic!("no answer: {other:?}"),
        }
    }

    fn next_failure(&mut self) -> (RequestId, Failure) {
        let (id, result) = self.next_answer();
        (id, result.expect_err("a failure"))
    }

    fn next_close(&mut self) -> CloseReason {
        match self.pipeline.poll_output() {
            Some(Output::Close(reason)) => reason,
            other => panic!("not closed: {other:?}"),
        }
    }
}
