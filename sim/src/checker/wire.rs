//! What brokers saw on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_types::{Sequence, TopicPartition};

use super::{Property, Verdict, broken};
use crate::history::{BatchSeen, History, Outcome, Promises, Value};

/// A sequence names one content, starts at zero or where new producers begin, and is followed without a gap; the window is kept.
///
/// A batch that was certainly refused gives its sequence back. One that was given up before a broker read it leaves
/// a gap: then one of its records has another outcome than "done". So may one that had not come through when the topic
/// was made anew, and goes on under the next epoch: the few that were under way behind it stand behind a gap. And so may
/// one that no connection carried in time, where a broker denied the epoch wrongly before it was sent again: then what
/// went behind it was refused too, and comes again under the next epoch.
pub(super) fn what_brokers_see_is_legal(history: &History, promises: &Promises) -> Verdict {
    if history.in_flight_max > promises.in_flight {
        return broken(
            Property::P23,
            format!("{} produce requests unanswered on one connection", history.in_flight_max),
        );
    }
    if history.brokers_at_once_max > 1 {
        let brokers = history.brokers_at_once_max;
        let what = format!("{brokers} brokers had unanswered batches of one partition at once");
        return broken(Property::P23, what);
    }
    if !promises.bytes_arrive_whole {
        // Who the producer is comes in an answer too.
        return Ok(());
    }
    let refused: BTreeSet<Value> = history
        .sends
        .iter()
        .filter(|send| send.returned.iter().all(|(_, outcome)| *outcome == Outcome::NotDone))
        .map(|send| send.value)
        .collect();
    let mut sent: BTreeMap<(i64, i16, &TopicPartition), Sequences<'_>> = BTreeMap::new();
    for batch in &history.batches {
        if usize::try_from(batch.records) != Ok(batch.values.len()) {
            return broken(
                Property::P23,
                format!("a batch to {} claims {} records", batch.to, batch.records),
            );
        }
        let Some((id, epoch, sequence)) = batch.identity else {
            if promises.idempotent {
                return broken(Property::P23, format!("a batch to {} has no sequence", batch.to));
            }
            continue;
        };
        let known = sent.entry((id, epoch, &batch.to)).or_default();
        known.since.get_or_insert(batch.at);
        let is_new = known.seen.insert((sequence, &batch.values));
        let before = known.batches.insert(sequence, &batch.values);
        // A whole that was too large may come once more, late, on a connection that was given up.
        if let Some(part) = before.filter(|part| {
            promises.splits && !is_new && *part != batch.values && batch.values.starts_with(part)
        }) {
            known.batches.insert(sequence, part);
            continue;
        }
        let is_refused = |values: &[Value]| values.iter().all(|value| refused.contains(value));
        // What was too large comes again in parts, the first of them under the sequence of the whole.
        let is_part = |whole: &[Value]| promises.splits && whole.starts_with(&batch.values);
        if before
            .is_some_and(|before| before != batch.values && !is_refused(before) && !is_part(before))
        {
            return broken(
                Property::P23,
                format!("sequence {sequence} of {id}/{epoch} to {} changed its content", batch.to),
            );
        }
    }
    let given_up: BTreeSet<_> = history
        .sends
        .iter()
        .filter(|send| {
            !send.returned.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done(_)))
        })
        .map(|send| &send.to)
        .collect();
    // Of a batch that was too large some parts may come under the next epoch, where a broker denied this one: what was
    // sent behind the whole then stands behind a gap.
    let may_have_gaps = promises.splits && !promises.truthful;
    let comes_again = |id: i64, epoch: i16, tp: &TopicPartition, values: &[Value]| {
        let is_later = |batch: &BatchSeen| {
            batch.identity.is_some_and(|(of, under, _)| of == id && under > epoch)
        };
        let mut later = history.batches.iter().filter(|batch| batch.to == *tp && is_later(batch));
        !promises.truthful && later.any(|batch| batch.values == values)
    };
    for ((id, epoch, tp), Sequences { since, batches, .. }) in sent {
        // Behind the last sequence comes 0. What an epoch before is known of begins there too.
        let first = Some(promises.first_sequence)
            .filter(|first| epoch == 0 && batches.range(first..).next().is_some())
            .unwrap_or_default();
        let mut due = first;
        let is_cut_short = history.recreated.last() >= since.as_ref();
        let mut left = batches.len();
        for (&sequence, values) in batches.range(first..).chain(batches.range(..first)) {
            let is_under_way = is_cut_short && left < promises.in_flight;
            left -= 1;
            if sequence != due
                && !is_under_way
                && !given_up.contains(tp)
                && !may_have_gaps
                && !comes_again(id, epoch, tp, values)
            {
                return broken(
                    Property::P23,
                    format!("{id}/{epoch} to {tp}: sequence {sequence} where {due} was due"),
                );
            }
            let records = i32::try_from(values.len()).unwrap_or(i32::MAX);
            due = Sequence::from_wire(sequence).map_or(0, |s| s.advance(records).get());
        }
    }
    Ok(())
}

/// What brokers saw of one partition under one epoch, by the first sequence of each batch.
#[derive(Default)]
struct Sequences<'a> {
    since: Option<Duration>,
    /// All that came, by its first sequence.
    seen: BTreeSet<(i32, &'a [Value])>,
    batches: BTreeMap<i32, &'a [Value]>,
}
