//! What a share group promised against what its brokers did and its members' users saw and said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_broker::Acknowledgement;
use milena_types::{Offset, TopicPartition};

use super::{Property, Verdict, broken};
use crate::history::{History, Promises, Value};
use crate::share::{Done, ShareEvent, Shares};
use crate::world::is_done;

/// A record's place.
type Place<'a> = (&'a TopicPartition, Offset);

/// What users are handed was locked for their member before, each delivery once, with its number and its content.
pub(super) fn what_is_handed_out_was_acquired(history: &History, _: &Promises) -> Verdict {
    let Some(shares) = &history.share else { return Ok(()) };
    let mut acquired: BTreeMap<(&str, Place<'_>, i16), Vec<Duration>> = BTreeMap::new();
    for event in &shares.events {
        if let Done::Acquired(count) = event.what {
            let place = (&event.of, event.offset);
            acquired.entry((&event.member, place, count)).or_default().push(event.at);
        }
    }
    let stored = stored(history);
    let mut handed_out: BTreeMap<(&str, Place<'_>, i16), usize> = BTreeMap::new();
    for handed in &shares.handed {
        let place = (&handed.from, handed.offset);
        let key = (&*handed.member, place, handed.delivery_count);
        let before = handed_out.entry(key).or_default();
        *before += 1;
        let of_key = acquired.get(&key).into_iter().flatten();
        if of_key.filter(|at| **at <= handed.at).count() < *before {
            return broken(
                Property::P24,
                format!(
                    "{}@{} was handed to {} at {:?} as delivery {}, which it was not given {before} times",
                    handed.from, handed.offset, handed.member, handed.at, handed.delivery_count
                ),
            );
        }
        if handed.locked_until <= handed.at {
            return broken(
                Property::P24,
                format!(
                    "{}@{} was handed out at {:?}, its lock had run out at {:?}",
                    handed.from, handed.offset, handed.at, handed.locked_until
                ),
            );
        }
        if stored.get(&place).is_some_and(|value| *value != handed.value) {
            return broken(
                Property::P4,
                format!("{}@{} was handed out as {:?}", handed.from, handed.offset, handed.value),
            );
        }
    }
    Ok(())
}

/// What is done with comes to nobody again; each delivery is one more, up to the limit; a word is taken only of who
/// holds the record.
pub(super) fn a_record_has_one_holder_at_a_time(history: &History, promises: &Promises) -> Verdict {
    let Some(shares) = &history.share else { return Ok(()) };
    let mut standing: BTreeMap<Place<'_>, (&str, i16, bool)> = BTreeMap::new();
    for event in &shares.events {
        let place = (&event.of, event.offset);
        let before = standing.get(&place).copied();
        let wrong = match (event.what, before) {
            (Done::Acquired(_), Some((_, _, true))) => Some("it was done with"),
            (Done::Acquired(count), _) => {
                let last = before.map_or(0, |(_, count, _)| count);
                // A leader that forgets who holds what does not count that delivery.
                let is_next = count == last + 1
                    || (count == last && !promises.faultless)
                    || (count > last && !promises.counts_every_delivery);
                standing.insert(place, (&event.member, count, false));
                (!is_next || count > shares.deliveries_max).then_some("it is not the next delivery")
            }
            (Done::Took(said), Some((holder, count, false))) => {
                let goes_on = matches!(said, Acknowledgement::Release | Acknowledgement::Renew);
                standing.insert(place, (holder, count, !goes_on));
                // Of what is done with, also by too many deliveries, anybody may say anything.
                let is_worn_out = count == shares.deliveries_max;
                (holder != event.member && !is_worn_out).then_some("another one holds it")
            }
            (Done::Took(_), Some((_, _, true))) => None,
            (Done::Took(_), None) => Some("nobody holds it"),
        };
        if let Some(wrong) = wrong.filter(|_| !is_gone(history, event)) {
            return broken(
                Property::P24,
                format!(
                    "{}@{} at {:?}: {:?} by {}, but {wrong}: {before:?}",
                    event.of, event.offset, event.at, event.what, event.member
                ),
            );
        }
    }
    Ok(())
}

/// Nobody says anything of a record but what its user said, and what he is told of that is so.
pub(super) fn words_are_those_of_users(history: &History, promises: &Promises) -> Verdict {
    let Some(shares) = &history.share else { return Ok(()) };
    let stored = stored(history);
    let mut said: BTreeMap<(&str, Place<'_>), Vec<(Duration, Acknowledgement)>> = BTreeMap::new();
    for word in &shares.words {
        let place = (&word.of, word.offset);
        said.entry((&word.member, place)).or_default().push((word.at, word.said));
    }
    let mut taken: BTreeMap<(&str, Place<'_>), Vec<Duration>> = BTreeMap::new();
    for event in &shares.events {
        let Done::Took(word) = event.what else { continue };
        let place = (&event.of, event.offset);
        taken.entry((&event.member, place)).or_default().push(event.at);
        let mut words = said.get(&(&*event.member, place)).into_iter().flatten();
        let is_said = words.any(|(at, said)| *said == word && *at <= event.at);
        // What was damaged on its way is given back unasked.
        let is_due = promises.records_arrive_whole || word != Acknowledgement::Release;
        let is_due = is_due && stored.contains_key(&place);
        if is_due && !is_said {
            return broken(
                Property::P24,
                format!(
                    "{}@{}: {} said {word:?} at {:?}, its user did not",
                    event.of, event.offset, event.member, event.at
                ),
            );
        }
    }
    let mut told: BTreeMap<(&str, Place<'_>), usize> = BTreeMap::new();
    for one in shares.told.iter().filter(|one| one.is_taken) {
        let key = (&*one.member, (&one.of, one.offset));
        let before = told.entry(key).or_default();
        *before += 1;
        let taken = taken.get(&key).into_iter().flatten();
        if taken.filter(|at| **at <= one.at).count() < *before {
            return broken(
                Property::P24,
                format!(
                    "{} was told at {:?} that its word of {}@{} counts, which it does not",
                    one.member, one.at, one.of, one.offset
                ),
            );
        }
    }
    Ok(())
}

/// In the end the group is done with every record, and each came to somebody, unless its locks ran out as often as it
/// may be delivered, on its way or while it waited for those before it.
pub(super) fn everything_is_worked_on(history: &History, promises: &Promises) -> Verdict {
    let Some(shares) = &history.share else { return Ok(()) };
    if let Some((of, (start, end))) =
        shares.ends.iter().find(|(_, (start, end))| !is_done(*start, *end))
    {
        return broken(Property::P24, format!("the group is at {start:?} of {of}, not at {end}"));
    }
    let handed: BTreeSet<Place<'_>> =
        shares.handed.iter().map(|handed| (&handed.from, handed.offset)).collect();
    for (tp, log) in history.logs() {
        let is_due = |at: Offset| {
            (!promises.read_committed || history.is_readable(tp, at))
                && !history.is_deleted(tp, at, Duration::MAX)
        };
        let missing = log.iter().find(|(at, _)| {
            is_due(*at) && !handed.contains(&(tp, *at)) && !is_excused(shares, promises, (tp, *at))
        });
        if let Some((at, value)) = missing {
            return broken(Property::P24, format!("{value:?} at {tp}@{at} came to nobody"));
        }
    }
    Ok(())
}

fn is_excused(shares: &Shares, promises: &Promises, place: Place<'_>) -> bool {
    let of_place = shares.events.iter().filter(|event| (&event.of, event.offset) == place);
    !promises.counts_every_delivery
        || of_place.clone().any(|event| event.what == Done::Acquired(shares.deliveries_max))
}

/// Of what the log no longer holds, words are taken of anybody.
fn is_gone(history: &History, event: &ShareEvent) -> bool {
    history.is_deleted(&event.of, event.offset, event.at)
}

fn stored(history: &History) -> BTreeMap<Place<'_>, Value> {
    let logs = history.logs();
    logs.flat_map(|(tp, log)| log.iter().map(move |(at, value)| ((tp, *at), *value))).collect()
}
