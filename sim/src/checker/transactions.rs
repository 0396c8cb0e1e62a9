//! What transactions promised against what the logs hold and readers saw.

use std::collections::{BTreeMap, BTreeSet};

use super::{Property, Verdict, broken};
use crate::history::{Ended, Fate, History, Promises, Send, Value};

/// Who reads committed records is handed neither aborted ones nor those of a transaction that is still open.
pub(super) fn only_committed_is_read(history: &History, promises: &Promises) -> Verdict {
    if !promises.read_committed {
        return Ok(());
    }
    for read in &history.reads {
        let fate = history.fate(&read.from, read.offset);
        if matches!(fate, Some(Fate::Aborted | Fate::Open)) {
            return broken(
                Property::P7,
                format!(
                    "{:?} at {}@{} was read, and is {fate:?}",
                    read.value, read.from, read.offset
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn nothing_is_read_before_its_commit(history: &History, promises: &Promises) -> Verdict {
    if !promises.read_committed {
        return Ok(());
    }
    let sends: BTreeMap<Value, &Send> =
        history.sends.iter().map(|send| (send.value, send)).collect();
    for read in &history.reads {
        let number = sends.get(&read.value).and_then(|send| send.transaction);
        let Some(transaction) = number.and_then(|n| history.transactions.get(n)) else { continue };
        if transaction.commit_called.is_none_or(|called| read.at < called) {
            return broken(
                Property::P8,
                format!(
                    "{:?} was read at {:?}; its commit: {:?}",
                    read.value, read.at, transaction.commit_called
                ),
            );
        }
    }
    Ok(())
}

/// All records of a transaction become readable, or none.
pub(super) fn transactions_are_whole(history: &History, _: &Promises) -> Verdict {
    let fates = fates(history);
    for (number, sends) in by_transaction(history) {
        let is_committed = |send: &&&Send| fates.get(&send.value) == Some(&Fate::Committed);
        let Some(committed) = sends.iter().find(is_committed) else { continue };
        let is_missing = |send: &&&Send| send.is_taken && !is_committed(send);
        if let Some(missing) = sends.iter().find(is_missing) {
            return broken(
                Property::P9,
                format!(
                    "of transaction {number} {:?} is committed and {:?} is {:?}",
                    committed.value,
                    missing.value,
                    fates.get(&missing.value)
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn the_reported_end_is_the_end(history: &History, promises: &Promises) -> Verdict {
    let fates = fates(history);
    for (number, sends) in by_transaction(history) {
        let Some(transaction) = history.transactions.get(number) else { continue };
        let ended = transaction.ended.map(|(_, ended)| ended);
        let is_committed = |send: &&Send| fates.get(&send.value) == Some(&Fate::Committed);
        let wrong = match ended {
            Some(Ended::Committed) => {
                sends.iter().find(|send| send.is_taken && !is_committed(send))
            }
            Some(Ended::Aborted) => sends.iter().find(|send| is_committed(send)),
            Some(Ended::Unknown) | None => None,
        };
        if let Some(send) = wrong {
            return broken(
                Property::P10,
                format!(
                    "transaction {number} was reported {ended:?}, and {:?} of it is {:?}",
                    send.value,
                    fates.get(&send.value)
                ),
            );
        }
        let is_due = transaction.is_to_commit
            && transaction
                .ended
                .is_none_or(|(at, _)| at < transaction.begun + transaction.patience)
            && (promises.faultless || transaction.begun > promises.healed);
        if is_due && ended != Some(Ended::Committed) && !promises.refusals {
            return broken(
                Property::P19,
                format!(
                    "transaction {number} began at {:?}, all was well from {:?} on, and it is {ended:?}",
                    transaction.begun, promises.healed
                ),
            );
        }
    }
    Ok(())
}

/// A group's offset is the one of the last transaction that was committed.
pub(super) fn offsets_go_with_the_records(history: &History, promises: &Promises) -> Verdict {
    let fates = fates(history);
    let sends = by_transaction(history);
    let is_committed = |number: usize| {
        let of_it = sends.get(&number).map(Vec::as_slice).unwrap_or_default();
        of_it.iter().any(|send| fates.get(&send.value) == Some(&Fate::Committed))
    };
    for (group, stored) in &history.groups {
        let mut possible = BTreeSet::new();
        for (number, transaction) in history.transactions.iter().enumerate() {
            let Some(offset) = transaction.offset.filter(|_| transaction.group == *group) else {
                continue;
            };
            let is_kept = is_committed(number);
            let ended = transaction.ended.map(|(_, ended)| ended);
            if is_kept && !promises.rivals {
                // What was there before is replaced.
                possible.clear();
            }
            if is_kept || (!sends.contains_key(&number) && ended == Some(Ended::Unknown)) {
                possible.insert(offset);
            }
        }
        let is_possible = match stored {
            Some(stored) => possible.contains(stored),
            None => possible.is_empty(),
        };
        if !is_possible {
            return broken(
                Property::P11,
                format!("{group} is at {stored:?}; its transactions committed {possible:?}"),
            );
        }
    }
    Ok(())
}

fn by_transaction(history: &History) -> BTreeMap<usize, Vec<&Send>> {
    let mut all: BTreeMap<usize, Vec<&Send>> = BTreeMap::new();
    for send in &history.sends {
        if let Some(number) = send.transaction {
            all.entry(number).or_default().push(send);
        }
    }
    all
}

/// What became of the transactional records in the log.
fn fates(history: &History) -> BTreeMap<Value, Fate> {
    let records = history.logs().flat_map(|(tp, log)| log.iter().map(move |record| (tp, record)));
    records.filter_map(|(tp, (offset, value))| Some((*value, history.fate(tp, *offset)?))).collect()
}
