//! Calls that end before their answer: their time is over, their caller has left, or the producer closes.

use super::*;
use crate::{ErrorKind, Fate};
use TransactionVersion::Two;

/// Every call ends by its deadline, with nobody there to answer.
#[test]
fn every_call_ends_by_its_deadline() {
    let mut world = World::new();
    let begin = world.machine.begin(world.deadline());
    assert!(world.poll().is_some());
    world.now = world.deadline();
    world.poll_nothing();
    let error = world.error(begin);
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Timeout, true));

    let mut world = World::begun(Two);
    let offsets = world.send_offsets();
    assert!(world.poll().is_some());
    world.now = world.deadline();
    world.poll_nothing();
    // Nobody knows whether they are in.
    assert!(world.error(offsets).is_abortable());
    let abort = world.abort();
    world.progress.is_drained = false;
    world.now = world.deadline();
    world.poll();
    assert_eq!(world.error(abort).kind(), ErrorKind::Timeout);
}

/// The coordinator was never told: the commit has not happened, and need not.
#[test]
fn a_commit_that_ran_out_of_time_before_its_end_was_sent_is_an_abort() {
    let mut world = World::begun(Two);
    world.progress.is_drained = false;
    let commit = world.commit();
    world.now = world.deadline();
    world.poll_nothing();
    let error = world.error(commit);
    assert!(error.is_abortable() && error.fate() == Fate::NotStored, "{error:?}");
    world.progress.is_drained = true;
    world.abort();
    assert!(!end_of(&world.next()).committed);
}

/// Its caller has dropped the commit and does not hear that it failed: nobody else would ever abort.
#[test]
fn a_commit_that_fails_when_nobody_waits_is_aborted() {
    let mut world = World::begun(Two);
    world.progress.is_drained = false;
    world.commit();
    world.machine.abandon();
    world.poll_nothing();
    let begin = world.machine.begin(world.deadline());
    world.machine.fail(&Error::timeout(MS, "delivery.timeout.ms"));
    world.progress.is_drained = true;
    world.end_abort(ErrorCode::NONE, Some(1));
    world.succeeded(begin);
}

/// Its caller was told that nobody knows, and left; a refusal that comes later must not leave the transaction open.
#[test]
fn a_commit_that_is_refused_after_its_time_is_aborted() {
    let mut world = World::begun(Two);
    let commit = world.commit();
    let end = world.next();
    world.now = world.deadline();
    world.poll_nothing();
    assert_eq!(world.error(commit).fate(), Fate::Unknown);
    world.end(&end, ErrorCode::TRANSACTION_ABORTABLE, None);
    let begin = world.machine.begin(world.deadline());
    world.end_abort(ErrorCode::NONE, Some(1));
    world.succeeded(begin);
}

/// F60: whoever closes before the answer came does not know, and is told so.
#[test]
fn a_commit_under_way_is_unknown_to_who_breaks_off() {
    let mut world = World::begun(Two);
    let commit = world.commit();
    world.next();
    world.machine.break_off(&Error::closed());
    assert_eq!(world.error(commit).fate(), Fate::Unknown);
    let mut world = World::begun(Two);
    let commit = {
        world.progress.is_drained = false;
        world.commit()
    };
    world.machine.break_off(&Error::closed());
    assert_eq!(world.error(commit).fate(), Fate::NotStored);
}
