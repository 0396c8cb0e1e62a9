//! What is asked, of whom, and in which order, where nothing goes wrong.

use super::*;
use crate::ErrorKind;
use TransactionVersion::{One, Two};

/// Everything else would meet a coordinator that does not know the producer.
#[test]
fn the_first_thing_is_an_identity_from_the_coordinator() {
    let mut world = World::new();
    world.poll_nothing();
    let call = world.machine.settle(world.deadline());
    assert_eq!(world.find_coordinator(), (1, "x".to_owned()));
    let request = world.next();
    assert_eq!(request.target, Target::Broker(COORDINATOR));
    // Version 6 of it may still change (KIP-939).
    assert_eq!(request.version_max, 5);
    let Request::InitProducerId(body) = &request.body else { panic!("{request:?}") };
    assert_eq!(body.transactional_id.as_deref(), Some("x"));
    assert_eq!((body.transaction_timeout_ms, body.producer_id), (60_000, -1));
    world.identify(&request, 0);
    world.succeeded(call);
    assert_eq!(world.epochs, [0]);
}

#[test]
fn partitions_are_enrolled_under_the_identity_that_was_given() {
    let mut world = World::new();
    let call = world.machine.settle(world.deadline());
    world.find_coordinator();
    let request = world.next();
    world.identify(&request, 4);
    world.succeeded(call);
    world.begin();
    assert!(!world.machine.may_send(0, &("t", 0).into()));
    let request = world.next();
    let Request::AddPartitionsToTxn(body) = &request.body else { panic!("{request:?}") };
    assert_eq!((body.v3_and_below_producer_id, body.v3_and_below_producer_epoch), (7, 4));
}

/// KIP-939: a broker that does not know of two-phase commit would abort what was prepared after a minute.
#[test]
fn two_phase_commit_is_asked_for_in_the_one_version_that_has_it() {
    let mut world = World::new();
    world.machine.settings.is_two_phase = true;
    world.machine.settle(world.deadline());
    world.find_coordinator();
    let request = world.next();
    assert_eq!(request.version_min, 6);
    let Request::InitProducerId(body) = &request.body else { panic!("{request:?}") };
    assert!(body.enable2_pc && !body.keep_prepared_txn);
}

#[test]
fn only_an_open_transaction_of_which_nothing_is_lost_is_prepared() {
    let mut world = World::begun(Two);
    let kind = |world: &World| world.machine.prepare().map_err(|error| error.kind());
    assert_eq!(kind(&world), Err(ErrorKind::Misuse), "two-phase commit is off");
    world.machine.settings.is_two_phase = true;
    let prepared = kind(&world).unwrap();
    assert_eq!((prepared.producer_id.get(), prepared.epoch.get()), (7, 0));
    world.machine.fail(&Error::new(ErrorKind::Timeout));
    assert_eq!(kind(&world), Err(ErrorKind::Timeout));
    let world = World::ready(Two);
    assert_eq!(kind(&world), Err(ErrorKind::Misuse), "no transaction is open");
}

/// A member's generation may be over when the coordinator looks at them: the commit would become an abort.
#[test]
fn nothing_is_prepared_while_offsets_are_on_their_way() {
    let mut world = World::begun(Two);
    world.machine.settings.is_two_phase = true;
    world.send_offsets();
    assert_eq!(world.machine.prepare().unwrap_err().kind(), ErrorKind::Misuse);
}

/// Under the first protocol the coordinator writes its markers to what it was told of, and to nothing else.
#[test]
fn nothing_is_sent_to_a_partition_that_is_not_enrolled() {
    let mut world = World::open(One);
    assert!(!world.machine.may_send(0, &("t", 0).into()));
    assert!(!world.machine.may_send(1, &("t", 1).into()));
    let request = world.next();
    assert_eq!((request.target, request.version_max), (Target::Broker(COORDINATOR), 3));
    let Request::AddPartitionsToTxn(body) = &request.body else { panic!("{request:?}") };
    assert_eq!(body.v3_and_below_topics[0].partitions, [0, 1]);
    assert!(!world.machine.may_send(0, &("t", 0).into()));
    world.enrol(&request, ErrorCode::NONE);
    assert!(world.machine.may_send(0, &("t", 0).into()));
    assert!(!world.machine.may_send(2, &("t", 2).into()), "a third one comes later");
}

#[test]
fn under_the_second_protocol_nobody_is_told_before() {
    let mut world = World::open(Two);
    assert!(world.machine.may_send(0, &("t", 0).into()));
    world.poll_nothing();
}

/// Trap 19.
#[test]
fn a_transaction_of_nothing_asks_nobody() {
    for version in [One, Two] {
        let mut world = World::open(version);
        let commit = world.commit();
        world.poll_nothing();
        world.succeeded(commit);
        assert_eq!(world.outcome(), Some(TransactionOutcome::Committed));
        world.begin();
        let abort = world.abort();
        world.poll_nothing();
        world.succeeded(abort);
        assert_eq!(world.outcome(), Some(TransactionOutcome::Aborted));
    }
}

/// Trap 19: a marker that overtakes a record leaves that record in the next transaction, or in none.
#[test]
fn the_end_waits_for_every_record() {
    let mut world = World::begun(One);
    world.progress.is_drained = false;
    let commit = world.commit();
    world.poll_nothing();
    world.progress.is_drained = true;
    let request = world.next();
    assert!(end_of(&request).committed && world.is_waiting(commit));
    world.end(&request, ErrorCode::NONE, None);
    world.succeeded(commit);
    assert_eq!(world.outcome(), Some(TransactionOutcome::Committed));
}

#[test]
fn under_the_first_protocol_the_epoch_stays() {
    let mut world = World::begun(One);
    let commit = world.commit();
    let request = world.next();
    assert_eq!((request.version_min, request.version_max), (0, 4));
    world.end(&request, ErrorCode::NONE, None);
    world.succeeded(commit);
    world.begin();
    assert_eq!(world.epochs, [0]);
}

/// Trap 18: sequences begin anew with each transaction.
#[test]
fn under_the_second_protocol_each_end_brings_the_next_epoch() {
    let mut world = World::begun(Two);
    for epoch in 1..4 {
        let commit = world.commit();
        let request = world.next();
        assert_eq!(request.version_min, 5);
        assert_eq!(end_of(&request).producer_epoch, epoch - 1);
        world.end(&request, ErrorCode::NONE, Some(epoch));
        world.succeeded(commit);
        world.begin();
        world.send();
    }
    assert_eq!(world.epochs, [0, 1, 2, 3]);
}

/// KIP-98: first the transaction's coordinator hears of the group, then the group's takes the offsets.
#[test]
fn offsets_go_to_the_groups_coordinator_once_the_group_is_added() {
    let mut world = World::open(One);
    let call = world.send_offsets();
    let request = world.next();
    let Request::AddOffsetsToTxn(body) = &request.body else { panic!("{request:?}") };
    assert_eq!((request.target, &*body.group_id), (Target::Broker(COORDINATOR), "g"));
    world.add_group(&request, ErrorCode::NONE);
    assert_eq!(world.find_coordinator(), (0, "g".to_owned()));
    let request = world.next();
    assert_eq!(request.target, Target::Broker(GROUPS));
    // Below 3 it does not say in whose name (KIP-447), above 4 it means the second protocol.
    assert_eq!((request.version_min, request.version_max), (3, 4));
    assert!(world.is_waiting(call));
    world.take_offsets(&request, ErrorCode::NONE);
    world.succeeded(call);
    world.commit();
    assert!(end_of(&world.next()).committed);
}

#[test]
fn under_the_second_protocol_the_groups_coordinator_tells() {
    let mut world = World::open(Two);
    let call = world.send_offsets();
    assert_eq!(world.find_coordinator(), (0, "g".to_owned()));
    let request = world.next();
    assert_eq!((request.version_min, request.version_max), (5, 5));
    world.take_offsets(&request, ErrorCode::NONE);
    world.succeeded(call);
    // They alone make a transaction that must be ended.
    world.commit();
    assert!(end_of(&world.next()).committed);
}

/// The future of the offsets may be dropped, and the commit follow at once.
#[test]
fn a_commit_waits_for_the_offsets_before_it() {
    let mut world = World::begun(Two);
    world.send_offsets();
    let commit = world.commit();
    world.find_coordinator();
    let request = world.next();
    assert!(matches!(request.body, Request::TxnOffsetCommit(_)), "{request:?}");
    world.take_offsets(&request, ErrorCode::NONE);
    world.end_next(ErrorCode::NONE, Some(1));
    world.succeeded(commit);
}

#[test]
fn the_next_transaction_waits_for_the_end_of_the_last() {
    let mut world = World::begun(Two);
    world.machine.abandon();
    let begin = world.machine.begin(world.deadline());
    let request = world.next();
    assert!(!end_of(&request).committed && world.is_waiting(begin));
    world.end(&request, ErrorCode::NONE, Some(1));
    world.succeeded(begin);
    assert_eq!((world.drops, world.machine.number()), (1, 2));
}

#[test]
fn only_one_transaction_is_open_at_a_time() {
    let mut world = World::open(Two);
    let begin = world.machine.begin(world.deadline());
    assert_eq!(world.error(begin).kind(), ErrorKind::Misuse);
    let commit = world.commit();
    let again = world.commit();
    assert_eq!(world.error(again).kind(), ErrorKind::Misuse);
    world.poll_nothing();
    world.succeeded(commit);
    let offsets = world.send_offsets();
    assert_eq!(world.error(offsets).kind(), ErrorKind::Misuse);
}

/// Whoever gives up twice, or before anything was begun, has nothing to fear; a commit is not taken back.
#[test]
fn an_abort_ends_what_is_open_and_nothing_else() {
    let mut world = World::new();
    for _ in 0..2 {
        let abort = world.abort();
        world.succeeded(abort);
        world = World::ready(Two);
    }
    let mut world = World::begun(Two);
    let (first, second) = (world.abort(), world.abort());
    let request = world.next();
    assert!(world.is_waiting(first) && world.is_waiting(second));
    world.end(&request, ErrorCode::NONE, Some(1));
    world.succeeded(first);
    world.succeeded(second);
    world.begin();
    world.send();
    let commit = world.commit();
    let abort = world.abort();
    assert_eq!(world.error(abort).kind(), ErrorKind::Misuse);
    let request = world.next();
    assert!(end_of(&request).committed);
    world.end(&request, ErrorCode::NONE, Some(2));
    world.succeeded(commit);
}

/// Offsets that are in nobody's name go to brokers of any age.
#[test]
fn offsets_without_a_member_need_no_new_version() {
    let mut world = World::open(One);
    let offset = CommittedOffset::new(Offset::new(5).unwrap());
    let group = GroupMetadata::without_member("g");
    let offsets = [(("t", 0).into(), offset)].into();
    world.machine.send_offsets(offsets, group, world.deadline());
    let request = world.next();
    world.add_group(&request, ErrorCode::NONE);
    world.find_coordinator();
    let request = world.next();
    assert_eq!((request.version_min, request.version_max), (0, 4));
    let Request::TxnOffsetCommit(body) = &request.body else { panic!("{request:?}") };
    assert_eq!((body.generation_id_or_member_epoch, &*body.member_id), (-1, ""));
}

/// What is still under way when the producer closes is ended, and nothing begins.
#[test]
fn closing_aborts_what_is_open() {
    let mut world = World::begun(Two);
    world.machine.close(&Error::closed());
    assert!(!world.machine.is_idle());
    world.end_abort(ErrorCode::NONE, Some(1));
    assert!(world.machine.is_idle());
}
