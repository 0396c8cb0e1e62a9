//! Every code of trap 20 at every request, and what it comes to.

use super::*;
use crate::transaction::state::State;
use TransactionVersion::{One, Two};

/// A request of a transaction, up to the moment before its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    Init,
    Partitions,
    Group,
    Offsets,
    Commit,
    Abort,
}

/// What a code comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comes {
    /// The same request again, to the same broker.
    Again,
    /// The same request again, once the coordinator is found.
    Refind,
    /// To nothing but an abort.
    Abort,
    /// To the producer's end.
    Fatal,
}

use Comes::{Abort, Again, Fatal, Refind};

const EVERYWHERE: [At; 6] =
    [At::Init, At::Partitions, At::Group, At::Offsets, At::Commit, At::Abort];

/// Brings a machine to the request, and answers it with `code`.
fn world_at(at: At, code: ErrorCode) -> (World, Outbound) {
    let mut world = match at {
        At::Init => {
            let mut world = World::new();
            world.machine.settle(world.deadline());
            world.find_coordinator();
            world
        }
        At::Partitions => World::open(One),
        At::Group => World::open(One),
        At::Offsets => World::open(Two),
        At::Commit | At::Abort => World::begun(Two),
    };
    match at {
        At::Init => {}
        At::Partitions => assert!(!world.machine.may_send(0, &("t", 0).into())),
        At::Group => {
            world.send_offsets();
        }
        At::Offsets => {
            world.send_offsets();
            world.find_coordinator();
        }
        At::Commit => {
            world.commit();
        }
        At::Abort => {
            world.abort();
        }
    }
    let request = world.next();
    match at {
        At::Init => {
            let response = InitProducerIdResponse { error_code: code, ..Default::default() };
            world.answer(&request, response);
        }
        At::Partitions => world.enrol(&request, code),
        At::Group => world.add_group(&request, code),
        At::Offsets => world.take_offsets(&request, code),
        At::Commit | At::Abort => {
            let response = EndTxnResponse { error_code: code, ..Default::default() };
            world.answer(&request, response);
        }
    }
    (world, request)
}

fn comes_to(at: At, code: ErrorCode) -> Comes {
    let (mut world, before) = world_at(at, code);
    if world.broken.is_some() {
        assert_eq!(world.machine.state, State::Broken);
        world.poll_nothing();
        let begin = world.machine.begin(world.deadline());
        assert!(world.error(begin).is_fatal(), "{at:?} {code}");
        return Fatal;
    }
    if world.machine.state == State::Failed {
        let commit = world.commit();
        assert!(world.error(commit).is_abortable(), "{at:?} {code}");
        world.poll_nothing();
        world.abort();
        return Abort;
    }
    let request = world.next();
    if matches!(request.body, Request::FindCoordinator(_)) {
        return Refind;
    }
    assert_eq!((&request.body, request.target), (&before.body, before.target), "{at:?} {code}");
    Again
}

/// Trap 20, row by row.
#[test]
fn every_code_comes_to_what_the_table_says() {
    use ErrorCode as E;
    for at in EVERYWHERE {
        for code in [E::COORDINATOR_LOAD_IN_PROGRESS, E::CONCURRENT_TRANSACTIONS] {
            assert_eq!(comes_to(at, code), Again, "{at:?} {code}");
        }
        for code in [E::COORDINATOR_NOT_AVAILABLE, E::NOT_COORDINATOR] {
            assert_eq!(comes_to(at, code), Refind, "{at:?} {code}");
        }
        for code in [
            E::INVALID_PRODUCER_EPOCH,
            E::PRODUCER_FENCED,
            E::INVALID_PRODUCER_ID_MAPPING,
            E::INVALID_TXN_STATE,
            E::UNKNOWN_SERVER_ERROR,
        ] {
            assert_eq!(comes_to(at, code), Fatal, "{at:?} {code}");
        }
        // A code that nobody knows is not "probably retriable".
        assert_eq!(comes_to(at, E::from_wire(9999)), Fatal, "{at:?}");
        if at != At::Init {
            let id = E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
            assert_eq!(comes_to(at, id), Fatal, "{at:?}");
            let comes = if at == At::Abort { Fatal } else { Abort };
            assert_eq!(comes_to(at, E::TRANSACTION_ABORTABLE), comes, "{at:?}");
        }
    }
    for at in [At::Group, At::Offsets] {
        assert_eq!(comes_to(at, E::GROUP_AUTHORIZATION_FAILED), Abort, "{at:?}");
    }
    for at in [At::Partitions, At::Offsets] {
        assert_eq!(comes_to(at, E::TOPIC_AUTHORIZATION_FAILED), Abort, "{at:?}");
        assert_eq!(comes_to(at, E::UNKNOWN_TOPIC_OR_PARTITION), Again, "{at:?}");
    }
    assert_eq!(comes_to(At::Partitions, E::OPERATION_NOT_ATTEMPTED), Abort);
    for code in [
        E::UNKNOWN_MEMBER_ID,
        E::ILLEGAL_GENERATION,
        E::STALE_MEMBER_EPOCH,
        E::FENCED_MEMBER_EPOCH,
        E::FENCED_INSTANCE_ID,
    ] {
        assert_eq!(comes_to(At::Offsets, code), Abort, "{code}");
    }
}

/// A missing right may be given: whoever asks again later is answered anew.
#[test]
fn a_right_that_is_missing_at_the_start_ends_the_call_and_nothing_else() {
    let (mut world, _) = world_at(At::Init, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert!(world.broken.is_none());
    assert!(world.results.values().all(Result::is_err) && world.results.len() == 1);
    world.poll_nothing();
    let call = world.machine.settle(world.deadline());
    let request = world.next();
    world.identify(&request, 0);
    world.succeeded(call);
}
