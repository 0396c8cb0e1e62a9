//! Histories of copies in transactions that break a property.

use super::planted::{clean, ms, offset, promises, tp};
use super::{Property, check};
use crate::history::{
    Ended, Fate, History, Outcome, Promises, Send, Stay, Stored, Transaction, Value,
};

#[test]
fn p11_what_was_consumed_is_copied_once() {
    assert_eq!(check(&copied(), &once()), []);
}

#[test]
fn p11_a_record_that_is_copied_twice() {
    rejects(Property::P11, |history| {
        let again = Value(COPY + 1);
        let mut transaction = history.transactions[0].clone();
        transaction.copies = vec![(Value(3), again)];
        history.transactions.push(transaction);
        store(history, again, 1);
    });
}

#[test]
fn p11_a_record_that_was_consumed_and_not_copied() {
    rejects(Property::P11, |history| {
        history.fates.entry(tp()).or_default().insert(offset(1), Fate::Aborted);
        history.transactions[0].ended = Some((ms(60), Ended::Aborted));
    });
}

#[test]
fn p11_a_record_that_was_copied_and_not_consumed() {
    rejects(Property::P11, |history| history.stored.clear());
}

#[test]
fn p22_two_transactions_that_read_from_each_other() {
    rejects(Property::P22, |history| {
        let other = Value(COPY + 1);
        let mut transaction = history.transactions[0].clone();
        (transaction.took, transaction.copies) = (vec![Value(COPY)], Vec::new());
        history.transactions.push(transaction);
        store(history, other, 1);
        history.transactions[0].took.push(other);
    });
}

#[test]
fn p22_who_is_aborted_may_have_read_anything() {
    let mut history = copied();
    let other = Value(COPY + 1);
    let mut transaction = history.transactions[0].clone();
    (transaction.took, transaction.copies) = (vec![Value(COPY)], Vec::new());
    transaction.ended = Some((ms(60), Ended::Aborted));
    history.transactions.push(transaction);
    store(&mut history, other, 1);
    history.fates.entry(tp()).or_default().insert(offset(2), Fate::Aborted);
    history.transactions[0].took.push(other);
    assert!(check(&history, &once()).iter().all(|found| found.property != Property::P22));
}

fn rejects(property: Property, spoil: impl FnOnce(&mut History)) {
    let mut history = copied();
    spoil(&mut history);
    let found: Vec<Property> = check(&history, &once()).iter().map(|v| v.property).collect();
    assert!(found.contains(&property), "{property} is blind: {found:?}");
}

/// A record, and the transaction that copied it and took the group behind it.
fn copied() -> History {
    let mut history = clean();
    history.sends.truncate(1);
    history.batches.clear();
    history.stays = vec![Stay { consumer: 0, assignment: 1, of: tp(), from: ms(20) }];
    (history.reads[0].value, history.reads[0].at) = (Value(3), ms(25));
    (history.reads[1].value, history.reads[1].at) = (Value(COPY), ms(55));
    history.sends[0].value = Value(3);
    history.sends[0].returned = vec![(ms(10), Outcome::Done(Some(offset(0))))];
    history.lives = vec![[(tp(), vec![(offset(0), Value(3))])].into()];
    history.stored = vec![Stored { at: ms(50), of: tp(), offset: offset(1) }];
    history.transactions.push(Transaction {
        producer: 5,
        group: "readers".to_owned(),
        begun: ms(20),
        is_to_commit: false,
        patience: ms(0),
        commit_called: Some(ms(40)),
        ended: Some((ms(50), Ended::Committed)),
        offset: None,
        took: vec![Value(3)],
        copies: vec![(Value(3), Value(COPY))],
    });
    store(&mut history, Value(COPY), 0);
    history
}

/// Another record of a transaction that is committed.
fn store(history: &mut History, value: Value, transaction: usize) {
    let log = history.lives[0].entry(tp()).or_default();
    let at = offset(log.len() as i64);
    log.push((at, value));
    history.fates.entry(tp()).or_default().insert(at, Fate::Committed);
    history.sends.push(Send {
        producer: 5,
        value,
        to: tp(),
        transaction: Some(transaction),
        invoked: ms(30),
        deadline: ms(1_000),
        is_taken: true,
        is_watched: false,
        returned: vec![(ms(45), Outcome::Done(Some(at)))],
    });
}

fn once() -> Promises {
    Promises { copies_once: true, ..promises() }
}

const COPY: u64 = 1 << 63;
