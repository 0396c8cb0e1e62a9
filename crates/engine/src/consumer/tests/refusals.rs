//! What brokers refuse or do not answer, and what that must not cost.

use std::collections::BTreeMap;

use milena_types::ApiKey;

use crate::consumer::tests::world::{Fault, SECOND, World, tp};
use crate::consumer::{OffsetSpec, Query, Reply};

/// A broker that restarts refuses connections for a while. A user who stops at an error would stop at each restart.
#[test]
fn an_unreachable_broker_is_waited_for_in_silence() {
    let mut world = World::new(1, 2);
    world.produce(0, 5);
    world.produce(1, 5);
    let client = world.assigned(World::settings(), &[0, 1]);
    world.run_for(SECOND);
    let early = world.assigned(World::settings(), &[0]);
    world.fault = Some(Box::new(|_, _, _| Some(Fault::Refuse)));
    let ends = Query::Offsets(BTreeMap::from([(tp(0), OffsetSpec::Latest)]));
    let now = world.now;
    let query = world.clients[client].consumer.query(now, ends);
    world.run_for(20 * SECOND);
    world.fault = None;
    world.run_for(5 * SECOND);
    for client in [client, early] {
        assert!(world.clients[client].errors.is_empty(), "{:?}", world.clients[client].errors);
    }
    assert_eq!(world.clients[client].got.len(), 10);
    assert_eq!(world.clients[early].got.len(), 5);
    assert!(matches!(world.clients[client].answered[&query], Ok(Reply::Offsets(_))));
}

/// Metadata came from a broker that knows the new leader already; the new leader does not, and names the old one.
#[test]
fn a_leader_that_does_not_know_yet_is_not_asked_without_pause() {
    let mut world = World::new(1, 1);
    world.produce(0, 5);
    let client = world.assigned(World::settings(), &[0]);
    world.run_for(SECOND);
    world.stub.logs.get_mut(&tp(0)).unwrap().elect(2, 5);
    world.stub.behind = Some((2, (1, 0)));
    world.run_for(SECOND);
    world.stub.requests.clear();
    world.run_for(10 * SECOND);
    let count = |api| world.stub.requests.iter().filter(|asked| **asked == api).count();
    assert!(count(ApiKey::FETCH) < 40, "{} fetches in 10 s", count(ApiKey::FETCH));
    world.stub.behind = None;
    world.produce(0, 5);
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[client].got.len(), 10);
}
