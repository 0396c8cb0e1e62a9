use milena_types::ErrorCode;
use milena_wire::messages::FindCoordinatorResponse;
use milena_wire::messages::find_coordinator_response::Coordinator;

use super::*;
use crate::request::Failure;

#[test]
fn a_coordinator_is_asked_for_once_and_remembered() {
    let mut world = World::new();
    let id = world.ask().expect("nothing is known");
    assert!(world.ask().is_none(), "it is asked already");
    assert!(
        matches!(world.found(id, 3, ErrorCode::NONE), Found::Coordinator(broker) if broker.port == 9092)
    );
    assert_eq!(world.lookup.coordinator(), Some(NodeId::new(3)));
    assert!(world.ask().is_none());
    assert_eq!(world.lookup.poll_timeout(), None);
}

/// A loading cluster answers 15, then 14: wait and ask again, tell nobody.
#[test]
fn a_cluster_that_is_not_ready_is_asked_again_at_growing_waits() {
    let mut world = World::new();
    let mut waits = Vec::new();
    for attempt in 1..=6 {
        let id = world.ask().expect("the wait is over");
        let found = world.found(id, -1, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        let Found::NotYet(error) = found else { panic!("{found:?}") };
        assert_eq!(error.attempt(), Some(attempt));
        assert!(world.ask().is_none(), "not before the wait");
        let due = world.lookup.poll_timeout().expect("it asks again");
        waits.push(due - world.now);
        world.now = due;
    }
    assert!(waits[0] <= Duration::from_millis(120), "{waits:?}");
    assert!(waits[5] >= Duration::from_millis(800), "{waits:?}");
}

/// The first loss is news, so that asking again at once finds the new one.
#[test]
fn a_coordinator_that_moved_is_looked_up_at_once_and_one_that_never_worked_after_a_wait() {
    let mut world = World::new();
    let id = world.ask().expect("nothing is known");
    world.found(id, 3, ErrorCode::NONE);
    world.lookup.prove();
    world.forget(3);
    let id = world.ask().expect("at once");
    world.found(id, 3, ErrorCode::NONE);
    world.forget(3);
    assert!(world.ask().is_none(), "the same answer did not work");
    world.now = world.lookup.poll_timeout().expect("later");
    assert!(world.ask().is_some());
}

#[test]
fn news_about_a_former_coordinator_changes_nothing() {
    let mut world = World::new();
    let id = world.ask().expect("nothing is known");
    world.found(id, 3, ErrorCode::NONE);
    world.forget(2);
    assert_eq!(world.lookup.coordinator(), Some(NodeId::new(3)));
}

#[test]
fn what_asking_again_does_not_mend_is_a_failure_that_names_the_group() {
    let mut world = World::new();
    let id = world.ask().expect("nothing is known");
    let found = world.found(id, -1, ErrorCode::GROUP_AUTHORIZATION_FAILED);
    let Found::Failed(error) = found else { panic!("{found:?}") };
    assert_eq!(error.kind(), ErrorKind::Authorization);
    assert_eq!(error.group(), Some("orders-app"));
}

#[test]
fn an_answer_to_another_request_is_given_back() {
    let mut world = World::new();
    world.ask();
    let other = world.ids.deal();
    let answer = Answer::new(other, None, 0, world.now, Err(Failure::NotSent));
    let back = world.lookup.handle_answer(world.now, answer, &mut world.rng);
    assert_eq!(back.expect_err("not ours").id, other);
}

struct World {
    now: Instant,
    rng: Rng,
    ids: RequestIds,
    lookup: Lookup,
}

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do; none is read again")]
        let now = Instant::now();
        let lookup = Lookup::new(CoordinatorKind::Group, "orders-app", Settings::default());
        Self { now, rng: Rng::with_seed(1), ids: RequestIds::default(), lookup }
    }

    fn ask(&mut self) -> Option<RequestId> {
        self.lookup.poll_request(self.now, &mut self.ids).map(|request| request.id)
    }

    fn forget(&mut self, broker: i32) {
        self.lookup.forget(self.now, NodeId::new(broker), &mut self.rng);
    }

    fn found(&mut self, id: RequestId, node_id: i32, error_code: ErrorCode) -> Found {
        let found = Coordinator {
            key: "orders-app".into(),
            node_id,
            host: "b".into(),
            port: 9092,
            error_code,
            ..Coordinator::default()
        };
        let response = FindCoordinatorResponse {
            coordinators: vec![found],
            ..FindCoordinatorResponse::default()
        };
        let answer = Answer::new(id, None, 4, self.now, Ok(Some(response.into())));
        self.lookup.handle_answer(self.now, answer, &mut self.rng).expect("it is ours")
    }
}
