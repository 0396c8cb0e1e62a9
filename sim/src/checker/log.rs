//! What the logs hold against what the producers were told.

use std::collections::BTreeMap;

use milena_types::{Offset, TopicPartition};

use super::{Property, Verdict, broken};
use crate::history::{History, Outcome, Promises, Value};

pub(super) fn acknowledged_is_stored(history: &History, promises: &Promises) -> Verdict {
    if !promises.acknowledged {
        return Ok(());
    }
    let stored = places(history);
    for send in &history.sends {
        let done = send.returned.iter().any(|(_, outcome)| matches!(outcome, Outcome::Done(_)));
        let here = |places: &Vec<Place<'_>>| places.iter().any(|(tp, _)| **tp == send.to);
        if done && !stored.get(&send.value).is_some_and(here) {
            return broken(
                Property::P1,
                format!("{:?} to {} was acknowledged and is not there", send.value, send.to),
            );
        }
    }
    Ok(())
}

pub(super) fn nothing_is_stored_twice(history: &History, promises: &Promises) -> Verdict {
    if !promises.idempotent {
        return Ok(());
    }
    for (value, places) in places(history) {
        if let [first, second, ..] = places.as_slice() {
            return broken(
                Property::P2,
                format!("{value:?} is at {}@{} and at {}@{}", first.0, first.1, second.0, second.1),
            );
        }
    }
    Ok(())
}

pub(super) fn not_done_is_not_stored(history: &History, _: &Promises) -> Verdict {
    let stored = places(history);
    for send in &history.sends {
        let not_done = send.returned.iter().any(|(_, outcome)| *outcome == Outcome::NotDone);
        if not_done && let Some([(tp, offset), ..]) = stored.get(&send.value).map(Vec::as_slice) {
            return broken(
                Property::P3,
                format!("{:?} was reported as not stored and is at {tp}@{offset}", send.value),
            );
        }
    }
    Ok(())
}

pub(super) fn acknowledged_offset_is_the_offset(history: &History, _: &Promises) -> Verdict {
    for send in &history.sends {
        for (_, outcome) in &send.returned {
            let &Outcome::Done(Some(offset)) = outcome else { continue };
            let there = history
                .logs
                .get(&send.to)
                .and_then(|log| log.iter().find(|(at, _)| *at == offset))
                .map(|(_, value)| *value);
            if there.is_some_and(|there| there != send.value) {
                return broken(
                    Property::P5,
                    format!(
                        "{:?} was acknowledged at {}@{offset}, which holds {there:?}",
                        send.value, send.to
                    ),
                );
            }
        }
    }
    Ok(())
}

pub(super) fn order_is_kept(history: &History, promises: &Promises) -> Verdict {
    if !promises.idempotent {
        return Ok(());
    }
    let order: BTreeMap<Value, (usize, usize)> = history
        .sends
        .iter()
        .enumerate()
        .map(|(n, send)| (send.value, (send.producer, n)))
        .collect();
    for (tp, log) in &history.logs {
        let mut latest: BTreeMap<usize, (usize, Value)> = BTreeMap::new();
        for (offset, value) in log {
            let Some(&(producer, n)) = order.get(value) else {
                return broken(Property::P3, format!("{tp}@{offset} holds {value:?}, never sent"));
            };
            if let Some((before, earlier)) = latest.insert(producer, (n, *value))
                && before > n
            {
                return broken(
                    Property::P6,
                    format!("{tp}@{offset}: {value:?} stands after {earlier:?}, sent later"),
                );
            }
        }
    }
    Ok(())
}

type Place<'a> = (&'a TopicPartition, Offset);

/// Where each value is stored.
fn places(history: &History) -> BTreeMap<Value, Vec<Place<'_>>> {
    let mut places: BTreeMap<Value, Vec<Place<'_>>> = BTreeMap::new();
    for (tp, log) in &history.logs {
        for (offset, value) in log {
            places.entry(*value).or_default().push((tp, *offset));
        }
    }
    places
}
