//! The cluster changes its mind about the protocol (trap 17).

use super::*;
use TransactionVersion::{One, Two};

#[test]
fn a_transaction_ends_under_the_protocol_that_it_began_under() {
    for (began, then) in [(One, Two), (Two, One)] {
        let mut world = World::begun(began);
        world.machine.set_cluster_version(then);
        world.commit();
        let request = world.next();
        assert_eq!(request.version_min >= 5, began == Two, "{request:?}");
    }
}

/// Requests of the old protocol that are late would count for the first transaction of the new one.
#[test]
fn the_first_transaction_after_an_upgrade_has_a_new_epoch() {
    let mut world = World::begun(One);
    world.machine.set_cluster_version(Two);
    let commit = world.commit();
    world.end_next(ErrorCode::NONE, None);
    world.succeeded(commit);
    let begin = world.machine.begin(world.deadline());
    let request = world.next();
    let Request::InitProducerId(body) = &request.body else { panic!("{request:?}") };
    assert_eq!((body.producer_id, body.producer_epoch), (7, 0));
    assert!(world.is_waiting(begin));
    world.identify(&request, 1);
    world.succeeded(begin);
    assert_eq!(world.machine.version(), Two);
    // And only the first.
    world.send();
    world.commit();
    world.end_next(ErrorCode::NONE, Some(2));
    world.begin();
    assert_eq!(world.epochs, [0, 1, 2]);
}

#[test]
fn an_upgrade_before_the_first_transaction_needs_nothing() {
    let mut world = World::ready(One);
    world.machine.set_cluster_version(Two);
    world.begin();
    assert_eq!(world.machine.version(), Two);
}

/// Nothing of it has gone to any broker.
#[test]
fn an_upgrade_after_a_transaction_of_nothing_needs_nothing() {
    let mut world = World::open(One);
    let commit = world.commit();
    world.poll_nothing();
    world.succeeded(commit);
    world.machine.set_cluster_version(Two);
    world.begin();
    assert_eq!(world.epochs, [0]);
}

/// Every end under the second protocol brought an epoch that nothing was done under.
#[test]
fn a_downgrade_needs_nothing() {
    let mut world = World::begun(Two);
    world.machine.set_cluster_version(One);
    world.commit();
    world.end_next(ErrorCode::NONE, Some(1));
    world.begin();
    assert_eq!(world.machine.version(), One);
}
