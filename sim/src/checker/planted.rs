//! For each property a history that breaks it, next to a clean one that breaks none.

use std::time::Duration;

use milena_types::{Offset, TopicPartition};

use super::{Property, check};
use crate::history::{
    BatchSeen, Call, CallKind, Ended, Fate, History, Outcome, Promises, Read, Send, Start,
    Transaction, Value,
};

#[test]
fn a_clean_history_breaks_nothing() {
    assert_eq!(check(&clean(), &promises()), []);
}

#[test]
fn p1_an_acknowledged_record_that_is_gone() {
    rejects(Property::P1, |h| {
        h.lives[0].get_mut(&tp()).unwrap().pop();
    });
}

#[test]
fn p2_a_record_stored_twice() {
    rejects(Property::P2, |h| h.lives[0].get_mut(&tp()).unwrap().push((offset(2), Value(2))));
}

#[test]
fn p3_a_record_reported_as_not_stored() {
    rejects(Property::P3, |h| h.sends[1].returned = vec![(ms(20), Outcome::NotDone)]);
}

#[test]
fn p3_a_record_that_nobody_sent() {
    rejects(Property::P3, |h| h.lives[0].get_mut(&tp()).unwrap().push((offset(2), Value(9))));
}

#[test]
fn p4_an_offset_read_as_two_values() {
    rejects(Property::P4, |h| h.reads[1].value = Value(9));
}

#[test]
fn p5_an_offset_that_holds_another_record() {
    rejects(Property::P5, |h| {
        h.sends[1].returned = vec![(ms(20), Outcome::Done(Some(offset(0))))];
    });
}

#[test]
fn p6_two_records_in_the_wrong_order() {
    rejects(Property::P6, |h| {
        *h.lives[0].get_mut(&tp()).unwrap() = vec![(offset(0), Value(2)), (offset(1), Value(1))];
    });
}

#[test]
fn a_clean_transaction_breaks_nothing() {
    assert_eq!(check(&transaction(), &committed()), []);
}

#[test]
fn p7_a_record_of_an_aborted_transaction() {
    for fate in [Fate::Aborted, Fate::Open] {
        rejects_of(transaction(), committed(), Property::P7, |h| {
            h.fates.get_mut(&tp()).unwrap().insert(offset(1), fate);
        });
    }
}

#[test]
fn p8_a_record_read_before_its_commit() {
    rejects_of(transaction(), committed(), Property::P8, |h| {
        h.transactions[0].commit_called = Some(ms(51));
    });
}

#[test]
fn p9_half_of_a_transaction() {
    rejects_of(transaction(), committed(), Property::P9, |h| {
        h.transactions[0].ended = Some((ms(49), Ended::Unknown));
        h.fates.get_mut(&tp()).unwrap().insert(offset(1), Fate::Aborted);
    });
}

/// R2: what was never stored is missing from a committed transaction as much as what was aborted.
#[test]
fn p9_a_transaction_without_one_of_its_records() {
    rejects_of(transaction(), committed(), Property::P9, |h| {
        h.transactions[0].ended = Some((ms(49), Ended::Unknown));
        h.lives[0].get_mut(&tp()).unwrap().pop();
    });
}

/// R9: a commit that was reported and never was.
#[test]
fn p10_a_commit_that_is_none() {
    rejects_of(transaction(), committed(), Property::P10, |h| {
        h.fates = [(tp(), [(offset(0), Fate::Aborted), (offset(1), Fate::Aborted)].into())].into();
    });
}

#[test]
fn p10_an_abort_that_is_none() {
    rejects_of(transaction(), committed(), Property::P10, |h| {
        h.transactions[0].ended = Some((ms(49), Ended::Aborted));
    });
}

#[test]
fn p11_an_offset_without_its_transaction() {
    for stored in [None, Some(9)] {
        rejects_of(transaction(), committed(), Property::P11, |h| {
            h.groups.insert("g".to_owned(), stored);
        });
    }
}

#[test]
fn p19_a_transaction_that_fails_in_calm() {
    rejects_of(transaction(), committed(), Property::P19, |h| {
        h.transactions[0].begun = ms(3_000);
        h.transactions[0].ended = None;
    });
}

#[test]
fn p12_a_record_skipped() {
    rejects(Property::P12, |h| {
        h.reads.remove(0);
    });
}

#[test]
fn p12_a_record_read_again() {
    rejects(Property::P12, |h| h.reads.push(h.reads[0].clone()));
}

#[test]
fn p12_a_partition_read_without_an_assignment() {
    rejects(Property::P12, |h| h.starts.clear());
}

#[test]
fn p13_an_acknowledged_record_never_read() {
    rejects(Property::P13, |h| {
        h.reads.pop();
    });
}

#[test]
fn p16_a_flush_that_leaves_a_record_behind() {
    rejects(Property::P16, |h| h.sends[1].returned[0].0 = ms(40));
}

#[test]
fn p17_a_delivery_that_never_resolves() {
    rejects(Property::P17, |h| h.sends[1].returned.clear());
}

#[test]
fn p17_a_delivery_that_resolves_twice() {
    rejects(Property::P17, |h| h.sends[1].returned.push((ms(21), Outcome::Unknown)));
}

#[test]
fn p17_a_callback_that_is_not_called_or_hears_something_else() {
    let watched = |told: &'static [Outcome]| {
        move |h: &mut History| {
            h.sends[0].is_watched = true;
            h.told = told.iter().map(|outcome| (Value(1), *outcome)).collect();
        }
    };
    rejects(Property::P17, watched(&[]));
    rejects(Property::P17, watched(&[Outcome::Unknown]));
    let mut history = clean();
    let resolved = history.sends[0].returned[0].1;
    history.sends[0].is_watched = true;
    history.told = vec![(Value(1), resolved)];
    assert_eq!(check(&history, &promises()), []);
    history.told.push((Value(1), resolved));
    assert_ne!(check(&history, &promises()), []);
}

#[test]
fn p18_a_call_that_never_returns() {
    rejects(Property::P18, |h| h.calls[0].returned = None);
}

#[test]
fn p18_a_delivery_after_its_deadline() {
    rejects(Property::P18, |h| h.sends[0].returned[0].0 = ms(2_000));
}

#[test]
fn p19_a_world_that_never_rests() {
    rejects(Property::P19, |h| h.rested = None);
}

#[test]
fn p19_a_record_given_up_in_calm() {
    rejects(Property::P19, |h| {
        h.sends[1].deadline = ms(40_000);
        h.sends[1].returned = vec![(ms(40_000), Outcome::Unknown)];
    });
}

/// Behind a slow network a queue outlasts half a second, and nobody is to blame.
#[test]
fn p19_a_record_in_a_hurry_may_be_given_up() {
    let mut history = clean();
    history.sends[1].deadline = ms(3_000);
    history.sends[1].returned = vec![(ms(3_000), Outcome::Unknown)];
    let found = check(&history, &promises());
    assert!(found.iter().all(|violation| violation.property != Property::P19), "{found:?}");
}

#[test]
fn p20_a_machine_that_spins() {
    rejects(Property::P20, |h| h.wakeups_per_second_max = 1_000_000);
}

#[test]
fn p21_a_buffer_over_its_limit() {
    rejects(Property::P21, |h| h.buffered_bytes_max = 1 << 40);
}

#[test]
fn p21_more_fetched_than_there_is_room_for() {
    rejects(Property::P21, |h| h.fetched_bytes_max = 1 << 40);
}

#[test]
fn p21_a_buffer_that_is_never_empty_again() {
    rejects(Property::P21, |h| h.buffered_bytes_left = 1);
}

#[test]
fn p23_a_sequence_that_changes_its_content() {
    rejects(Property::P23, |h| {
        let mut again = h.batches[0].clone();
        again.values = vec![Value(2)];
        h.batches.push(again);
    });
}

/// Only what was certainly refused gives its sequence back.
#[test]
fn p23_a_refused_batch_may_give_its_sequence_back() {
    let mut history = clean();
    let mut refused = history.batches[0].clone();
    refused.values = vec![Value(3)];
    history.batches.insert(0, refused);
    let mut send = history.sends[0].clone();
    send.value = Value(3);
    send.returned = vec![(ms(10), Outcome::NotDone)];
    history.sends.push(send);
    assert_eq!(check(&history, &promises()), []);
}

#[test]
fn p23_a_gap_in_the_sequences() {
    rejects(Property::P23, |h| h.batches[1].identity = Some((7, 0, 5)));
}

/// What had not come through when the topic was made anew is sent under the next epoch; what had overtaken it stands
/// behind a gap. Only a window of batches can have done that, and only then.
#[test]
fn p23_a_topic_made_anew_may_leave_a_gap_within_a_window() {
    let with_gap = |recreated: u64, behind: i32| {
        let mut history = clean();
        history.recreated.push(ms(recreated));
        let batch = history.batches[1].clone();
        history.batches.truncate(1);
        history.batches.extend((0..behind).map(|n| {
            let values = vec![Value(100 + u64::try_from(n).unwrap())];
            BatchSeen { identity: Some((7, 0, 2 + n)), values, ..batch.clone() }
        }));
        check(&history, &promises()).iter().any(|found| found.property == Property::P23)
    };
    assert!(!with_gap(1_000, 4), "four of five are behind the one that is missing");
    assert!(with_gap(1_000, 5), "a window is five batches wide");
    assert!(with_gap(0, 4), "the topic was made anew before anything was sent");
}

/// Batch 1 waited for a connection too long; batch 2 went before it, and was refused as a broker had denied the epoch.
#[test]
fn p23_a_denied_epoch_may_end_behind_a_gap_of_what_comes_again() {
    let finds = |comes_again: bool, truthful: bool| {
        let mut history = clean();
        history.batches[1].identity = Some((7, 0, 2));
        if comes_again {
            let again = BatchSeen { identity: Some((7, 1, 0)), ..history.batches[1].clone() };
            history.batches.push(again);
        }
        let promises = Promises { truthful, ..promises() };
        check(&history, &promises).iter().any(|found| found.property == Property::P23)
    };
    assert!(!finds(true, false));
    assert!(finds(false, false), "nothing says that it was refused");
    assert!(finds(true, true), "nobody denied the epoch");
}

/// F46: behind the last sequence comes 0; only the first epoch may begin elsewhere.
#[test]
fn p23_sequences_that_do_not_wrap() {
    let finds = |identities: [(i64, i16, i32); 2]| {
        let mut history = clean();
        for (batch, identity) in history.batches.iter_mut().zip(identities) {
            batch.identity = Some(identity);
        }
        let promises = Promises { first_sequence: i32::MAX, ..promises() };
        check(&history, &promises).iter().any(|found| found.property == Property::P23)
    };
    assert!(!finds([(7, 0, i32::MAX), (7, 0, 0)]));
    assert!(!finds([(7, 1, 0), (7, 1, 1)]));
    assert!(finds([(7, 0, i32::MAX), (7, 0, 1)]), "0 was left out");
    assert!(finds([(7, 0, i32::MAX), (7, 0, i32::MIN)]), "less than 0");
    assert!(finds([(7, 1, i32::MAX), (7, 1, 0)]), "a later epoch begins at 0");
}

/// A batch that was too large was sent twice, as its connection stalled: the first copy arrives behind its parts.
#[test]
fn p23_a_whole_may_come_late_behind_its_parts() {
    let finds = |was_there: bool, splits: bool| {
        let mut history = clean();
        let whole = BatchSeen {
            records: 2,
            values: vec![Value(1), Value(2)],
            ..history.batches[0].clone()
        };
        if was_there {
            history.batches.insert(0, whole.clone());
        }
        history.batches.push(whole);
        let promises = Promises { splits, ..promises() };
        check(&history, &promises).iter().any(|found| found.property == Property::P23)
    };
    assert!(!finds(true, true));
    assert!(finds(false, true), "parts cannot become one");
    assert!(finds(true, false), "nothing is split");
}

#[test]
fn p23_a_window_too_wide() {
    rejects(Property::P23, |h| h.in_flight_max = 6);
}

#[test]
fn p23_two_brokers_at_once() {
    rejects(Property::P23, |h| h.brokers_at_once_max = 2);
}

/// What was acknowledged before the topic was deleted went with it; what the next life holds counts by itself.
#[test]
fn a_topic_made_anew_forgets_what_it_held() {
    let mut history = clean();
    history.lives.push([(tp(), vec![(offset(0), Value(2))])].into());
    history.starts.push(Start { assignment: 2, life: 1, ..history.starts[0].clone() });
    let read = Read { assignment: 2, life: 1, value: Value(2), ..history.reads[0].clone() };
    history.reads.push(read);
    assert_eq!(check(&history, &promises()), []);
    history.lives[1].get_mut(&tp()).unwrap().push((offset(1), Value(2)));
    let twice = check(&history, &promises());
    assert!(twice.iter().any(|violation| violation.property == Property::P2), "{twice:?}");
}

/// Without idempotence one request in flight keeps the order; only a late copy may come after its successors.
#[test]
fn p6_one_request_in_flight_keeps_the_order() {
    let promises = Promises { idempotent: false, ..promises() };
    let mut history = clean();
    history.batches.clear();
    history.lives[0].get_mut(&tp()).unwrap().push((offset(2), Value(1)));
    assert!(check(&history, &promises).iter().all(|v| v.property != Property::P6));
    *history.lives[0].get_mut(&tp()).unwrap() = vec![(offset(0), Value(2)), (offset(1), Value(1))];
    assert!(check(&history, &promises).iter().any(|v| v.property == Property::P6));
}

/// A failed leader may take with it what only it had acknowledged (acks=1).
#[test]
fn p1_is_not_promised_with_acks_of_the_leader_alone() {
    let mut history = clean();
    history.lives[0].get_mut(&tp()).unwrap().pop();
    history.reads.pop();
    let promises = Promises { acknowledged: false, ..promises() };
    assert_eq!(check(&history, &promises), []);
}

fn rejects(property: Property, spoil: impl FnOnce(&mut History)) {
    rejects_of(clean(), promises(), property, spoil);
}

pub(super) fn rejects_of(
    mut history: History,
    promises: Promises,
    property: Property,
    spoil: impl FnOnce(&mut History),
) {
    spoil(&mut history);
    let found: Vec<Property> = check(&history, &promises).iter().map(|v| v.property).collect();
    assert!(found.contains(&property), "{property} is blind: {found:?}");
}

/// The same two records, in a transaction that is committed before they are read.
fn transaction() -> History {
    let mut history = clean();
    history.sends.iter_mut().for_each(|send| send.transaction = Some(0));
    history.transactions.push(Transaction {
        producer: 0,
        group: "g".to_owned(),
        begun: ms(0),
        is_to_commit: true,
        patience: ms(1_000),
        commit_called: Some(ms(40)),
        ended: Some((ms(49), Ended::Committed)),
        offset: Some(1),
        took: Vec::new(),
        copies: Vec::new(),
    });
    let fates = [(offset(0), Fate::Committed), (offset(1), Fate::Committed)];
    history.fates.insert(tp(), fates.into());
    history.groups.insert("g".to_owned(), Some(1));
    history
}

fn committed() -> Promises {
    Promises { read_committed: true, ..promises() }
}

/// Two records sent, acknowledged, flushed and read.
pub(super) fn clean() -> History {
    let send = |n: u64| Send {
        producer: 0,
        value: Value(n),
        to: tp(),
        transaction: None,
        invoked: ms(n),
        deadline: ms(1_000),
        is_taken: true,
        is_watched: false,
        returned: vec![(ms(10 * n), Outcome::Done(Offset::new(n as i64 - 1)))],
    };
    let read = |n: u64| Read {
        consumer: 0,
        assignment: 1,
        life: 0,
        from: tp(),
        offset: offset(n as i64 - 1),
        value: Value(n),
        at: ms(50),
        done: None,
    };
    let batch = |n: u64| BatchSeen {
        at: ms(5),
        connection: 1,
        to: tp(),
        identity: Some((7, 0, n as i32 - 1)),
        records: 1,
        values: vec![Value(n)],
    };
    History {
        sends: vec![send(1), send(2)],
        told: Vec::new(),
        reads: vec![read(1), read(2)],
        starts: vec![Start {
            consumer: 0,
            assignment: 1,
            life: 0,
            of: tp(),
            at: offset(0),
            asked: None,
            known: ms(0),
        }],
        stays: Vec::new(),
        stored: Vec::new(),
        forgotten: Vec::new(),
        group: None,
        share: None,
        deleted: [].into(),
        recreated: Vec::new(),
        calls: vec![Call {
            what: CallKind::Flush,
            client: 0,
            invoked: ms(5),
            deadline: ms(1_000),
            returned: Some((ms(30), true)),
        }],
        batches: vec![batch(1), batch(2)],
        lives: vec![[(tp(), vec![(offset(0), Value(1)), (offset(1), Value(2))])].into()],
        transactions: Vec::new(),
        fates: [].into(),
        groups: [].into(),
        surfaced: Vec::new(),
        in_flight_max: 1,
        brokers_at_once_max: 1,
        requests_per_second_max: 10,
        wakeups_per_second_max: 10,
        buffered_bytes_max: 100,
        buffered_bytes_left: 0,
        fetched_bytes_max: 100,
        faults_ended: ms(0),
        rested: Some(ms(60)),
    }
}

pub(super) fn promises() -> Promises {
    Promises {
        idempotent: true,
        first_sequence: 0,
        ordered: true,
        acknowledged: true,
        truthful: true,
        refusals: false,
        commits_in_order: true,
        commits_what_is_done: false,
        knows_its_session: true,
        fenced_members: false,
        even_shares: true,
        read_committed: false,
        rivals: false,
        copies_once: false,
        bytes_arrive_whole: true,
        records_arrive_whole: true,
        counts_every_delivery: true,
        splits: false,
        buffer_memory: 1 << 20,
        fetched_memory: 1 << 20,
        in_flight: 5,
        faultless: false,
        healed: ms(2_000),
        ample: Duration::from_secs(30),
        calm: Duration::from_secs(60),
        spin: (1_000, 10_000),
    }
}

pub(super) fn tp() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

pub(super) fn offset(raw: i64) -> Offset {
    Offset::new(raw).unwrap()
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
