//! Locks that run out, renewals, gaps and damage.

use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Request;

use super::script::{Script, said};
use crate::request::Failure;
use crate::share::{Acknowledge as A, AcknowledgementMode, Delivered};

const MS: Duration = Duration::from_millis(1);
const LOCK: Duration = Duration::from_secs(30);

fn offsets(records: &[Delivered]) -> Vec<i64> {
    records.iter().map(|one| one.record.offset().get()).collect()
}

#[test]
fn a_lock_that_runs_out_takes_the_record_with_it() {
    let mut script = Script::joined(&[0]);
    let records = script.records(2);
    script.say(&records[..1], A::Renew);
    assert!(script.acknowledge(1).is_renew_ack);
    script.pass(LOCK - MS);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    script.pass(MS);
    // The second's lock is gone, the first's began anew.
    script.say(&records[1..], A::Accept);
    let told = script.acknowledged();
    assert_eq!(told.iter().filter(|told| told.result.is_err()).count(), 1, "{told:?}");
    script.say(&records[..1], A::Accept);
    let _ = script.machine.commit(script.now);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 0, 0, 1)]);
}

/// Groups may say how long (`share.record.lock.duration.ms`).
#[test]
fn a_lock_lasts_as_long_as_the_broker_says() {
    let mut script = Script::joined(&[0]);
    script.lock_ms = 15_000;
    let records = script.records(2);
    assert!(records.iter().all(|one| one.locked_until == script.now + 15_000 * MS));
    script.pass(15_000 * MS - MS);
    script.say(&records[..1], A::Accept);
    assert!(script.acknowledged().is_empty());
    script.pass(MS);
    script.say(&records[1..], A::Accept);
    assert!(script.acknowledged().iter().any(|told| told.result.is_err()));
}

#[test]
fn what_waits_longer_than_its_lock_is_not_handed_out() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.acquire(0, &[(0, 9, 1)]);
    assert_eq!(script.read(4).len(), 4);
    script.pass(LOCK);
    assert_eq!(script.read(100).len(), 0);
}

#[test]
fn what_was_said_and_not_sent_before_the_lock_ran_out_fails_the_commit() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Accept);
    let commit = script.machine.commit(script.now);
    let _ = script.acknowledge(1);
    script.pass(LOCK);
    script.answer_acknowledge(&[(0, ErrorCode::COORDINATOR_NOT_AVAILABLE)]);
    script.pass(MS);
    assert_eq!(script.committed(commit), Some(false));
}

#[test]
fn what_is_said_while_a_renewal_travels_is_sent_behind_it() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Renew);
    let _ = script.acknowledge(1);
    script.say(&records, A::Accept);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    script.pass(500 * MS);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 0, 0, 1)]);
}

#[test]
fn a_commit_waits_for_what_was_said_while_a_renewal_travels() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Renew);
    let _ = script.acknowledge(1);
    script.say(&records, A::Accept);
    let commit = script.machine.commit(script.now);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert_eq!(script.committed(commit), None);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 0, 0, 1)], "at once");
    script.answer_acknowledge(&[(0, ErrorCode::INVALID_RECORD_STATE)]);
    assert_eq!(script.committed(commit), Some(false));
}

#[test]
fn implicit_acknowledgement_accepts_with_the_next_poll_what_nothing_else_was_said_of() {
    let mut script = Script::new(|settings| {
        settings.acknowledgement_mode = AcknowledgementMode::Implicit;
    });
    script.settle(&[0]);
    let records = script.records(4);
    script.say(&records[1..2], A::Release);
    script.say(&records[2..3], A::Renew);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 1, 1, 2), (0, 2, 2, 4)]);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    script.buffer.enter_poll(script.now);
    script.want();
    assert_eq!(said(&Request::from(script.fetch(1))), [(0, 0, 0, 1), (0, 3, 3, 1)]);
}

#[test]
fn damaged_batches_are_given_back_and_the_rest_is_handed_out() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    // Records 0 to 2 and 5 to 7, of which the second batch is damaged.
    script.acquire_damaged(&[(0, 7, 1)]);
    let (records, error) = script.read_to_error();
    assert_eq!(records.len(), 3);
    assert_eq!(error.code(), Some(ErrorCode::CORRUPT_MESSAGE));
    assert_eq!(script.read(10).len(), 0);
    let _ = script.machine.commit(script.now);
    // All of the damaged batch that is acquired, which begins where the one before ends.
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 3, 7, 2)]);
}

/// Records called a gap, or rejected, come to nobody; and where a batch ends its own header says.
#[test]
fn a_flipped_bit_costs_no_record_of_its_batch_or_of_the_next() {
    for bit in Script::covered_bits() {
        let mut script = Script::joined(&[0]);
        script.want();
        let _ = script.fetch(1);
        script.acquire_flipped(bit, &[(0, 7, 1)]);
        let (records, error) = script.read_to_error();
        assert_eq!((records.len(), error.code()), (0, Some(ErrorCode::CORRUPT_MESSAGE)));
        let records = script.read(100);
        let _ = script.machine.commit(script.now);
        let said = said(&Request::from(script.acknowledge(1)));
        match offsets(&records)[..] {
            [5, 6, 7] => assert_eq!(said, [(0, 0, 4, 2)], "bit {bit}"),
            // A header that cannot be: where the next batch begins is not to be known.
            [] => assert_eq!(said, [(0, 0, 7, 2)], "bit {bit}"),
            ref others => panic!("bit {bit}: {others:?}"),
        }
    }
}

#[test]
fn offsets_without_records_are_acknowledged_as_gaps() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.acquire_sparse(&[(0, 9, 2)]);
    let records = script.read(100);
    assert_eq!(offsets(&records), [0, 1, 2, 5, 6, 7]);
    assert!(records.iter().all(|one| one.delivery_count == 2));
    let _ = script.machine.commit(script.now);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 3, 4, 0), (0, 8, 9, 0)]);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert!(script.acknowledged().is_empty(), "gaps are nobody's business");
}

/// Compaction may take whole batches, and the answer may end within the one behind them.
#[test]
fn what_lies_before_a_batch_that_was_cut_off_is_a_gap_and_the_rest_is_released() {
    for (next, shown, expected) in [
        (20, 40, vec![(0, 3, 9, 0)]),
        (5, 40, vec![(0, 3, 4, 0), (0, 5, 9, 2)]),
        // Where it begins is cut off too, or whether it says so.
        (20, 7, vec![(0, 3, 9, 2)]),
        (20, 16, vec![(0, 3, 9, 2)]),
    ] {
        let mut script = Script::joined(&[0]);
        script.want();
        let _ = script.fetch(1);
        script.acquire_cut_off(next, shown, &[(0, 9, 1)]);
        assert_eq!(script.read(100).len(), 3);
        let _ = script.machine.commit(script.now);
        assert_eq!(said(&Request::from(script.acknowledge(1))), expected);
    }
}

/// Nothing else tells who did not ask for a callback that the work is done again.
#[test]
fn a_commit_fails_once_for_what_was_said_too_late_before_it() {
    let mut script = Script::joined(&[0]);
    let records = script.records(2);
    script.pass(LOCK);
    script.say(&records, A::Accept);
    for expected in [Some(false), Some(true)] {
        let commit = script.machine.commit(script.now);
        assert_eq!(script.committed(commit), expected);
    }
}

#[test]
fn a_commit_fails_for_what_was_said_in_time_and_sent_too_late() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.want();
    let _ = script.fetch(1);
    script.say(&records, A::Accept);
    script.pass(LOCK);
    script.answer_fetch(&[]);
    let commit = script.machine.commit(script.now);
    assert_eq!(script.committed(commit), Some(false));
}

#[test]
fn a_commit_fails_for_what_the_broker_refused_before_it() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Accept);
    script.pass(500 * MS);
    let _ = script.acknowledge(1);
    script.answer_acknowledge(&[(0, ErrorCode::INVALID_RECORD_STATE)]);
    let commit = script.machine.commit(script.now);
    assert_eq!(script.committed(commit), Some(false));
}

#[test]
fn what_is_accepted_implicitly_after_its_lock_ran_out_fails_the_commit_too() {
    let mut script = Script::new(|settings| {
        settings.acknowledgement_mode = AcknowledgementMode::Implicit;
    });
    script.settle(&[0]);
    assert_eq!(script.records(3).len(), 3);
    script.pass(LOCK);
    script.buffer.accept_in_hand();
    let commit = script.machine.commit(script.now);
    assert_eq!(script.committed(commit), Some(false));
    assert_eq!(script.acknowledged().len(), 3);
}

/// Kafka 4.1 knows no renewals; what else was said must not go down with them.
#[test]
fn a_renewal_that_the_broker_does_not_know_takes_nothing_with_it() {
    let mut script = Script::joined(&[0]);
    let records = script.records(2);
    script.buffer.acknowledge(
        records[1].acquisition,
        &records[1].partition,
        records[1].record.offset(),
        A::Accept,
    );
    script.say(&records[..1], A::Renew);
    let commit = script.machine.commit(script.now);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 0, 0, 4), (0, 1, 1, 1)]);
    script.fail(Failure::UnsupportedVersion);
    assert_eq!(script.committed(commit), None);
    let told = script.acknowledged();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].result.is_err());
    let again = script.acknowledge(1);
    assert!(!again.is_renew_ack);
    assert_eq!(said(&Request::from(again)), [(0, 1, 1, 1)]);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert_eq!(script.committed(commit), Some(false), "the renewal failed");
    // The old lock still holds.
    script.say(&records[..1], A::Accept);
    let commit = script.machine.commit(script.now);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 0, 0, 1)]);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert_eq!(script.committed(commit), Some(true));
}

/// Said again at once and for ever, it would be refused as often.
#[test]
fn acknowledgements_that_the_broker_does_not_know_are_not_said_again() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Accept);
    let commit = script.machine.commit(script.now);
    let _ = script.acknowledge(1);
    script.fail(Failure::UnsupportedVersion);
    assert_eq!(script.committed(commit), Some(false));
    assert_eq!(script.take(1), None);
    assert!(script.buffer.take_error().is_some_and(|error| error.is_fatal()));
}

/// A wire that says nonsense: ranges that overlap, run backwards or reach to the end of time.
#[test]
fn ranges_that_make_no_sense_are_left_out() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.acquire(0, &[(3, 1, 1), (-5, 2, 1), (0, 1, 1), (1, 4, 9), (2, i64::MAX, 1)]);
    assert_eq!(offsets(&script.read(100)), [0, 1]);
}
