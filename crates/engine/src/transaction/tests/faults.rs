//! Answers that are lost, late or wrong.

use super::*;
use crate::{ErrorKind, Fate};
use TransactionVersion::{One, Two};

/// R9: franz-go once took it for a commit.
#[test]
fn an_unclear_error_is_never_a_commit() {
    for version in [One, Two] {
        let mut world = World::begun(version);
        let commit = world.commit();
        world.end_next(ErrorCode::UNKNOWN_SERVER_ERROR, None);
        let error = world.error(commit);
        assert!(error.is_fatal() && error.fate() == Fate::Unknown, "{error:?}");
        assert_eq!(world.outcome(), None);
    }
}

/// Trap 22: until the coordinator has said so, nothing is committed, and nobody may try to abort it.
#[test]
fn a_commit_whose_answer_is_lost_is_asked_again_and_unknown_meanwhile() {
    for version in [One, Two] {
        let mut world = World::begun(version);
        let commit = world.commit();
        while world.is_waiting(commit) {
            if let Some(request) = world.poll() {
                if matches!(request.body, Request::EndTxn(_)) {
                    world.lose(&request);
                } else {
                    world.answer(&request, found("x", COORDINATOR));
                }
            } else if let Some(at) = world.machine.poll_timeout() {
                world.now = at.max(world.now);
            }
        }
        let error = world.error(commit);
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown));
        assert!(!error.is_abortable() && !error.is_retriable() && !error.is_fatal());
        // The machine goes on, and the truth comes out.
        let settle = world.machine.settle(world.deadline());
        let mut request = world.next();
        if matches!(request.body, Request::FindCoordinator(_)) {
            world.answer(&request, found("x", COORDINATOR));
            request = world.next();
        }
        assert!(end_of(&request).committed);
        world.answer(
            &request,
            EndTxnResponse { producer_id: 7, producer_epoch: 1, ..Default::default() },
        );
        world.poll_nothing();
        world.succeeded(settle);
        assert_eq!(world.outcome(), Some(TransactionOutcome::Committed));
    }
}

/// The first EndTxn may have been carried out before the newer instance came, and so may one that was answered by a
/// coordinator which lost its leadership over it.
#[test]
fn a_commit_that_may_have_happened_is_unknown_to_the_fenced() {
    for first in [None, Some(ErrorCode::NONE), Some(ErrorCode::NOT_COORDINATOR)] {
        let mut world = World::begun(Two);
        let commit = world.commit();
        let mut request = world.next();
        match first {
            None => {}
            Some(ErrorCode::NONE) => world.lose(&request),
            Some(code) => world.end(&request, code, None),
        }
        if first.is_some() {
            world.find_coordinator();
            request = world.next();
        }
        world.end(&request, ErrorCode::PRODUCER_FENCED, None);
        let error = world.error(commit);
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert_eq!(error.fate(), if first.is_some() { Fate::Unknown } else { Fate::NotStored });
    }
}

/// The first EndTxn may have been carried out: to be told to do the transaction again would be to do it twice.
#[test]
fn a_commit_that_may_have_happened_is_never_abortable() {
    let not_allowed = ErrorCode::GROUP_AUTHORIZATION_FAILED;
    for is_lookup in [false, true] {
        let mut world = World::begun(Two);
        let commit = world.commit();
        world.lose_next();
        if is_lookup {
            let request = world.next();
            let mut refused = found("x", COORDINATOR);
            refused.coordinators[0].error_code = not_allowed;
            world.answer(&request, refused);
        } else {
            world.find_coordinator();
            world.end_next(ErrorCode::TRANSACTION_ABORTABLE, None);
        }
        let error = world.error(commit);
        assert!(error.is_fatal() && error.fate() == Fate::Unknown, "{error:?}");
        assert!(world.broken.as_ref().is_some_and(|error| error.fate() == Fate::Unknown));
        let settle = world.machine.settle(world.deadline());
        assert_eq!(world.error(settle).fate(), Fate::Unknown);
    }
}

/// A rebalance right after a commit: the abort finds the coordinator writing the markers of that commit, and nothing of
/// the next transaction. Taken at its word, it would end a producer whom nobody has fenced.
#[test]
fn an_abort_before_the_last_markers_are_written_does_not_fence() {
    for is_fenced in [false, true] {
        let mut world = World::second();
        world.send();
        let abort = world.abort();
        world.end_abort(ErrorCode::PRODUCER_FENCED, None);
        world.succeeded(abort);
        assert_eq!(world.outcome(), Some(TransactionOutcome::Aborted));
        // Whether somebody else has the id, the coordinator says when it is asked in the name of the last epoch.
        let begin = world.machine.begin(world.deadline());
        let request = world.next();
        let Request::InitProducerId(body) = &request.body else { panic!("{request:?}") };
        assert_eq!((body.producer_id, body.producer_epoch), (7, 1));
        if is_fenced {
            let error_code = ErrorCode::PRODUCER_FENCED;
            world.answer(&request, InitProducerIdResponse { error_code, ..Default::default() });
            assert_eq!(world.error(begin).kind(), ErrorKind::Fenced);
        } else {
            world.identify(&request, 2);
            world.succeeded(begin);
        }
    }
}

/// What it had taken was not aborted by us.
#[test]
fn an_abort_that_is_fenced_after_an_answer_is_fenced() {
    for of_records in [false, true] {
        let mut world = World::second();
        if of_records {
            world.send();
            world.machine.acknowledged();
        } else {
            let offsets = world.send_offsets();
            world.offsets_taken(ErrorCode::NONE);
            world.succeeded(offsets);
        }
        let abort = world.abort();
        world.end_abort(ErrorCode::PRODUCER_FENCED, None);
        assert_eq!(world.error(abort).kind(), ErrorKind::Fenced);
    }
}

/// R7, from the broker's side: under the first protocol a request that was given up, and is read late, would end the
/// next transaction, were that one to have the same epoch.
#[test]
fn after_a_lost_end_the_next_transaction_has_a_new_epoch() {
    let mut world = World::begun(One);
    world.commit();
    world.lose_next();
    world.find_coordinator();
    world.end_next(ErrorCode::NONE, None);
    let begin = world.machine.begin(world.deadline());
    let request = world.next();
    let Request::InitProducerId(body) = &request.body else { panic!("{request:?}") };
    assert_eq!((body.producer_id, body.producer_epoch), (7, 0));
    world.identify(&request, 1);
    world.succeeded(begin);
    world.send();
    world.commit();
    assert_eq!(end_of(&world.next()).producer_epoch, 1);
}

/// Under the second protocol it has one anyway.
#[test]
fn the_second_protocol_needs_no_new_epoch_after_a_lost_end() {
    let mut world = World::begun(Two);
    world.commit();
    world.lose_next();
    world.find_coordinator();
    world.end_next(ErrorCode::NONE, Some(1));
    world.begin();
}

/// R7, from our side: the answer to the request that was given up belongs to nobody.
#[test]
fn a_late_answer_does_not_end_the_next_transaction() {
    let mut world = World::begun(Two);
    world.commit();
    let late = world.next();
    world.lose(&late);
    world.find_coordinator();
    world.end_next(ErrorCode::NONE, Some(1));
    world.begin();
    world.send();
    let response = Response::EndTxn(EndTxnResponse::default());
    let answer = Answer::new(late.id, None, 5, world.now, Ok(Some(response)));
    assert!(world.machine.handle_answer(world.now, answer, &mut world.rng).is_err());
    world.commit();
    assert!(end_of(&world.next()).committed);
}

/// F65: wherever the coordinator moves, the same request goes to the new one.
#[test]
fn a_coordinator_that_moves_is_followed() {
    let mut world = World::begun(Two);
    let commit = world.commit();
    let first = world.next();
    world.answer(
        &first,
        EndTxnResponse { error_code: ErrorCode::NOT_COORDINATOR, ..Default::default() },
    );
    assert_eq!(world.find_coordinator(), (1, "x".to_owned()));
    let again = world.next();
    assert_eq!(first.body, again.body);
    world.end(&again, ErrorCode::NONE, Some(1));
    world.succeeded(commit);
}

/// Trap 20: the markers of the last transaction take milliseconds, and not a whole back-off.
#[test]
fn the_first_enrolment_waits_shortly_for_the_markers_of_the_last() {
    let mut world = World::open(One);
    world.machine.may_send(0, &("t", 0).into());
    let request = world.next();
    world.enrol(&request, ErrorCode::CONCURRENT_TRANSACTIONS);
    world.poll_nothing();
    let wait = world.machine.poll_timeout().unwrap() - world.now;
    assert!(wait <= 20 * MS, "{wait:?}");
}

/// Only they pass in milliseconds: whatever else stands in the way takes the whole back-off.
#[test]
fn nothing_but_the_markers_of_the_last_transaction_is_waited_for_shortly() {
    let (busy, loading) =
        (ErrorCode::CONCURRENT_TRANSACTIONS, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    let wait = |world: &mut World| {
        world.poll_nothing();
        world.machine.poll_timeout().unwrap() - world.now
    };
    for code in [busy, loading] {
        let mut world = World::new();
        world.machine.settle(world.deadline());
        world.find_coordinator();
        let request = world.next();
        let response = InitProducerIdResponse { error_code: code, ..Default::default() };
        world.answer(&request, response);
        assert!(wait(&mut world) > 20 * MS, "for an identity, {code:?}");
    }
    let mut world = World::open(One);
    world.machine.may_send(0, &("t", 0).into());
    let request = world.next();
    world.enrol(&request, loading);
    assert!(wait(&mut world) > 20 * MS, "a coordinator that is loading");
    let mut world = World::begun(One);
    world.machine.may_send(1, &("t", 1).into());
    let request = world.next();
    world.enrol(&request, busy);
    assert!(wait(&mut world) > 20 * MS, "the coordinator knows this transaction");
}

/// Their coordinator tells the transaction's under the second protocol: silence says nothing about that.
#[test]
fn offsets_whose_answer_is_lost_may_have_begun_the_transaction() {
    for was_begun in [false, true] {
        let mut world = World::open(Two);
        world.send_offsets();
        world.find_coordinator();
        world.lose_next();
        let abort = world.abort();
        let request = world.next();
        assert!(!end_of(&request).committed);
        if was_begun {
            world.end(&request, ErrorCode::NONE, Some(1));
        } else {
            world.end(&request, ErrorCode::INVALID_TXN_STATE, None);
        }
        world.succeeded(abort);
        assert!(world.broken.is_none());
    }
}

/// What the coordinators have acknowledged cannot be unknown to them: the transaction is not ours any more.
#[test]
fn an_abort_of_what_was_acknowledged_must_find_it() {
    for version in [One, Two] {
        let mut world = World::open(version);
        let call = world.send_offsets();
        if version == One {
            let request = world.next();
            world.add_group(&request, ErrorCode::NONE);
        }
        world.offsets_taken(ErrorCode::NONE);
        world.succeeded(call);
        let abort = world.abort();
        world.end_next(ErrorCode::INVALID_TXN_STATE, None);
        let error = world.error(abort);
        assert!(error.is_fatal(), "{error:?}");
        assert!(error.to_string().contains("transaction.timeout.ms"), "{error}");
        assert!(world.broken.is_some());
    }
}

/// KIP-360: a broker may yet read what failed, and it would count for the next transaction under the same epoch.
#[test]
fn what_failed_after_the_coordinator_knew_of_it_leaves_its_epoch() {
    let mut world = World::begun(One);
    world.machine.fail(&Error::timeout(MS, "delivery.timeout.ms"));
    world.abort();
    world.end_next(ErrorCode::NONE, None);
    world.begin_as(1);

    let mut world = World::open(One);
    world.machine.fail(&Error::timeout(MS, "delivery.timeout.ms"));
    world.abort();
    world.begin();
    assert_eq!(world.epochs, [0]);
}

#[test]
fn an_answer_without_an_identity_gives_none() {
    let mut world = World::new();
    let settle = world.machine.settle(world.deadline());
    world.find_coordinator();
    let request = world.next();
    let response = InitProducerIdResponse { producer_id: -1, ..Default::default() };
    world.answer(&request, response);
    assert!(world.is_waiting(settle) && world.epochs.is_empty());
    let request = world.next();
    world.identify(&request, 0);
    world.succeeded(settle);

    let mut world = World::begun(Two);
    world.commit();
    world.end_next(ErrorCode::NONE, None);
    assert_eq!(world.outcome(), Some(TransactionOutcome::Committed));
    world.begin_as(1);
}

/// Nobody else would wake the machine before the call's time is over.
#[test]
fn a_lookup_without_result_is_repeated_after_its_wait() {
    for is_group in [false, true] {
        let mut world = if is_group { World::open(Two) } else { World::new() };
        let call =
            if is_group { world.send_offsets() } else { world.machine.settle(world.deadline()) };
        let request = world.next();
        let mut refused = found(if is_group { "g" } else { "x" }, COORDINATOR);
        refused.coordinators[0].error_code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
        world.answer(&request, refused);
        world.poll_nothing();
        let wait = world.machine.poll_timeout().unwrap() - world.now;
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        world.now = world.machine.poll_timeout().unwrap();
        assert!(matches!(world.poll().unwrap().body, Request::FindCoordinator(_)));
        world.now += Duration::from_secs(60);
        world.poll();
        let error = world.error(call);
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let cause = std::error::Error::source(&error).expect("what stood in the way").to_string();
        assert!(cause.contains("COORDINATOR_NOT_AVAILABLE"), "{cause}");
    }
}

#[test]
fn an_error_names_who_gave_it_and_for_whom() {
    let mut world = World::begun(Two);
    let commit = world.commit();
    world.end_next(ErrorCode::PRODUCER_FENCED, None);
    let error = world.error(commit);
    assert_eq!((error.broker(), error.group()), (Some(COORDINATOR), Some("x")));
    let mut world = World::begun(Two);
    let offsets = world.send_offsets();
    world.offsets_taken(ErrorCode::ILLEGAL_GENERATION);
    let error = world.error(offsets);
    assert_eq!((error.broker(), error.group()), (Some(GROUPS), Some("g")));
}

/// A record that is lost takes its transaction with it, however far that is (traps 9 and 20).
#[test]
fn after_a_loss_only_an_abort_is_left() {
    for is_committing in [false, true] {
        let mut world = World::begun(Two);
        world.progress.is_drained = false;
        let commit = is_committing.then(|| world.commit());
        let error = Error::timeout(MS, "delivery.timeout.ms");
        world.machine.fail(&error);
        let commit = commit.unwrap_or_else(|| world.commit());
        let error = world.error(commit);
        assert!(error.is_abortable() && error.kind() == ErrorKind::Timeout, "{error:?}");
        assert_eq!(world.drops, 1);
        let offsets = world.send_offsets();
        assert!(world.error(offsets).is_abortable());
        let begin = world.machine.begin(world.deadline());
        assert_eq!(world.error(begin).kind(), ErrorKind::Misuse);
        world.poll_nothing();
        let abort = world.abort();
        world.poll_nothing();
        world.progress.is_drained = true;
        world.end_abort(ErrorCode::NONE, Some(1));
        world.succeeded(abort);
        world.begin();
    }
}

/// An abort with a sequence missing: under the first protocol nothing else mends it (KIP-360).
#[test]
fn a_missing_sequence_takes_a_new_epoch() {
    let mut world = World::begun(One);
    world.machine.fail(&Error::timeout(MS, "delivery.timeout.ms"));
    world.abort();
    world.end_next(ErrorCode::NONE, None);
    world.progress.has_gaps = true;
    let begin = world.machine.begin(world.deadline());
    let request = world.next();
    world.progress.has_gaps = false;
    world.identify(&request, 1);
    world.succeeded(begin);
    assert_eq!(world.epochs, [0, 1]);
}

/// Whether the lost request has begun the transaction is the coordinator's to say; that it has not is no defect.
#[test]
fn what_a_lost_enrolment_may_have_begun_is_aborted() {
    for was_begun in [false, true] {
        let mut world = World::open(One);
        world.machine.may_send(0, &("t", 0).into());
        world.lose_next();
        let abort = world.abort();
        world.find_coordinator();
        let request = world.next();
        assert!(!end_of(&request).committed);
        let code = if was_begun { ErrorCode::NONE } else { ErrorCode::INVALID_TXN_STATE };
        world.end(&request, code, None);
        world.succeeded(abort);
        assert!(world.broken.is_none());
    }
}

/// Trap 19, the other way round: a refusal is as good as not having asked.
#[test]
fn what_a_refused_enrolment_has_not_begun_needs_no_end() {
    let mut world = World::open(One);
    world.machine.may_send(0, &("t", 0).into());
    let request = world.next();
    world.enrol(&request, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let abort = world.abort();
    world.poll_nothing();
    world.succeeded(abort);
}

/// F66: the zombie's offsets are refused, and the transaction goes with them.
#[test]
fn offsets_of_a_lost_membership_can_only_be_aborted() {
    let mut world = World::begun(Two);
    let call = world.send_offsets();
    world.offsets_taken(ErrorCode::ILLEGAL_GENERATION);
    let error = world.error(call);
    assert!(error.is_abortable() && error.kind() == ErrorKind::Rebalanced, "{error:?}");
    let commit = world.commit();
    assert_eq!(world.error(commit).kind(), ErrorKind::Rebalanced);
}

/// Before Kafka 2.5 nobody could tell a zombie from a member: that is said, and nothing is committed.
#[test]
fn offsets_that_no_broker_takes_can_only_be_aborted() {
    let mut world = World::open(One);
    let call = world.send_offsets();
    let request = world.next();
    world.add_group(&request, ErrorCode::NONE);
    world.find_coordinator();
    let request = world.next();
    world.reply(&request, Err(Failure::UnsupportedVersion));
    let error = world.error(call);
    assert!(error.is_abortable() && error.kind() == ErrorKind::UnsupportedVersion, "{error:?}");
}

/// A failure that does not pass says nothing of offsets: what could not be sent for it cannot be sent again either.
#[test]
fn offsets_that_cannot_be_sent_at_all_end_the_producer() {
    let mut world = World::open(Two);
    let call = world.send_offsets();
    world.find_coordinator();
    let request = world.next();
    world.reply(&request, Err(Failure::AuthenticationFailed("expired".into())));
    let error = world.error(call);
    assert!(error.is_fatal() && error.kind() == ErrorKind::Authentication, "{error:?}");
    assert!(world.broken.is_some());
}

/// The lookup waits by a backoff of its own.
#[test]
fn a_lookup_waits_as_long_as_is_set() {
    let mut world = World::new();
    let retry_backoff = Duration::from_secs(20);
    let settings = Settings {
        retry_backoff,
        retry_backoff_max: retry_backoff,
        ..world.machine.settings.clone()
    };
    world.machine = Transactions::new(settings);
    world.machine.settle(world.deadline());
    world.lose_next();
    world.poll_nothing();
    let wait = world.machine.poll_timeout().unwrap() - world.now;
    assert!(wait > Duration::from_secs(10), "{wait:?}");
}

/// Nobody waits for the group any more: the next transaction has no part in what was refused to the last one.
#[test]
fn a_late_refusal_of_a_groups_coordinator_fails_no_later_transaction() {
    let mut world = World::open(Two);
    world.send_offsets();
    let request = world.next();
    world.abort();
    world.begin();
    let mut refused = found("g", GROUPS);
    refused.coordinators[0].error_code = ErrorCode::GROUP_AUTHORIZATION_FAILED;
    world.answer(&request, refused);
    let offsets = world.send_offsets();
    world.offsets_taken(ErrorCode::NONE);
    world.succeeded(offsets);
}
