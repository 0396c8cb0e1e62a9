//! What copies in transactions promised: each once, and no two transactions that saw each other.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Offset, TopicPartition};

use super::{Property, Verdict, broken};
use crate::group::is_copied;
use crate::history::{Fate, History, Promises, Value};

/// What the group's offsets say is done with has one copy that is committed, and what lies behind has none.
pub(super) fn what_is_consumed_is_copied_once(history: &History, promises: &Promises) -> Verdict {
    if !promises.copies_once {
        return Ok(());
    }
    let committed = committed(history);
    let mut copies: BTreeMap<Value, usize> = BTreeMap::new();
    for (of, copy) in history.transactions.iter().flat_map(|transaction| &transaction.copies) {
        *copies.entry(*of).or_default() += usize::from(committed.contains(copy));
    }
    let mut ends: BTreeMap<&TopicPartition, Offset> = BTreeMap::new();
    ends.extend(history.stored.iter().map(|stored| (&stored.of, stored.offset)));
    for (tp, log) in history.logs() {
        let end = ends.get(tp).copied().unwrap_or(Offset::ZERO);
        for (at, value) in log.iter().filter(|(_, value)| is_copied(*value)) {
            let due = usize::from(*at < end && history.is_readable(tp, *at));
            let found = copies.get(value).copied().unwrap_or_default();
            if found != due {
                return broken(
                    Property::P11,
                    format!("{value:?} at {tp}@{at} has {found} copies, the group is at {end}"),
                );
            }
        }
    }
    Ok(())
}

/// No committed transaction read, by way of others, what itself wrote (G1c). Only who read from whom counts: Kafka does
/// not keep the writes of two transactions apart (G0), so that their order in the logs says nothing.
pub(super) fn nobody_reads_in_a_circle(history: &History, _: &Promises) -> Verdict {
    let committed = committed(history);
    let writers: BTreeMap<Value, usize> = history
        .sends
        .iter()
        .filter(|send| committed.contains(&send.value))
        .filter_map(|send| Some((send.value, send.transaction?)))
        .collect();
    let is_kept: BTreeSet<usize> = writers.values().copied().collect();
    // Who read from whom; whoever read from nobody that is left is left out, until nobody is.
    let mut reads: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (number, transaction) in history.transactions.iter().enumerate() {
        let from = transaction.took.iter().filter_map(|value| writers.get(value).copied());
        let from: BTreeSet<usize> = from.collect();
        if is_kept.contains(&number) && !from.is_empty() {
            reads.insert(number, from);
        }
    }
    loop {
        let left = reads.len();
        let is_there: BTreeSet<usize> = reads.keys().copied().collect();
        reads.retain(|_, from| !from.is_disjoint(&is_there));
        if reads.len() == left {
            break;
        }
    }
    match reads.is_empty() {
        true => Ok(()),
        false => {
            broken(Property::P22, format!("transactions that read from each other: {reads:?}"))
        }
    }
}

/// The records of transactions that were committed.
fn committed(history: &History) -> BTreeSet<Value> {
    let records = history.logs().flat_map(|(tp, log)| log.iter().map(move |record| (tp, record)));
    let is_committed = |tp: &TopicPartition, at| history.fate(tp, at) == Some(Fate::Committed);
    records.filter(|(tp, (at, _))| is_committed(tp, *at)).map(|(_, (_, value))| *value).collect()
}
