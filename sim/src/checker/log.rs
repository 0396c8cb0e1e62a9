//! What the logs hold against what the producers were told.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Offset, TopicPartition};

use super::{Property, Verdict, broken};
use crate::history::{History, Log, Logs, Outcome, Promises, Value};

pub(super) fn acknowledged_is_stored(history: &History, promises: &Promises) -> Verdict {
    if !promises.acknowledged {
        return Ok(());
    }
    let stored = places(history.all_logs());
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
    if !promises.idempotent || !promises.truthful {
        return Ok(());
    }
    // In each life of the topic: what was stored in one that is over may be stored again.
    for (value, places) in history.lives.iter().flat_map(places) {
        if let [first, second, ..] = places.as_slice() {
            return broken(
                Property::P2,
                format!("{value:?} is at {}@{} and at {}@{}", first.0, first.1, second.0, second.1),
            );
        }
    }
    Ok(())
}

pub(super) fn not_done_is_not_stored(history: &History, promises: &Promises) -> Verdict {
    if !promises.truthful {
        return Ok(());
    }
    let stored = places(history.logs());
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

pub(super) fn acknowledged_offset_is_the_offset(history: &History, promises: &Promises) -> Verdict {
    if !promises.acknowledged {
        return Ok(());
    }
    for send in &history.sends {
        for (_, outcome) in &send.returned {
            let &Outcome::Done(Some(offset)) = outcome else { continue };
            let there: Vec<Value> =
                history.lives.iter().filter_map(|logs| value_at(logs, &send.to, offset)).collect();
            if !there.is_empty() && !there.contains(&send.value) {
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
    let mut order: BTreeMap<Value, (usize, usize)> = BTreeMap::new();
    for (n, send) in history.sends.iter().enumerate() {
        order.insert(send.value, (send.producer, n));
    }
    let is_done = |n: usize| {
        let returned = history.sends.get(n).map(|send| send.returned.as_slice());
        matches!(returned, Some([(_, Outcome::Done(_)), ..]))
    };
    for (tp, log) in history.all_logs() {
        let mut latest: BTreeMap<usize, (usize, Value)> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (offset, value) in log {
            let Some(&(producer, n)) = order.get(value) else {
                return broken(Property::P3, format!("{tp}@{offset} holds {value:?}, never sent"));
            };
            // Without idempotence a record may be stored again, late; and one that was given up may be stored after
            // its successors. What was acknowledged is in order at its first place.
            let counts = promises.idempotent || (is_done(n) && seen.insert(*value));
            if !promises.ordered || !promises.truthful || !counts {
                continue;
            }
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
fn places<'a>(
    logs: impl IntoIterator<Item = (&'a TopicPartition, &'a Log)>,
) -> BTreeMap<Value, Vec<Place<'a>>> {
    let mut places: BTreeMap<Value, Vec<Place<'_>>> = BTreeMap::new();
    for (tp, log) in logs {
        for (offset, value) in log {
            places.entry(*value).or_default().push((tp, *offset));
        }
    }
    places
}

fn value_at(logs: &Logs, tp: &TopicPartition, offset: Offset) -> Option<Value> {
    let (_, value) = logs.get(tp)?.iter().find(|(at, _)| *at == offset)?;
    Some(*value)
}
