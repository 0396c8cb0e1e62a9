//! When calls end, and what the world costs while it runs.

use std::collections::BTreeMap;

use super::{Property, Verdict, broken};
use crate::history::{CallKind, History, Outcome, Promises, Send, Value};

pub(super) fn flush_is_complete(history: &History, _: &Promises) -> Verdict {
    for call in &history.calls {
        let (CallKind::Flush | CallKind::Close, Some((returned, true))) =
            (call.what, call.returned)
        else {
            continue;
        };
        let open = history.sends.iter().find(|send| {
            send.producer == call.client
                && send.invoked < call.invoked
                && send.returned.first().is_none_or(|(at, _)| *at > returned)
        });
        if let Some(send) = open {
            return broken(
                Property::P16,
                format!("{:?} of {} returned before {:?}", call.what, call.client, send.value),
            );
        }
    }
    Ok(())
}

pub(super) fn each_delivery_resolves_once(history: &History, _: &Promises) -> Verdict {
    if let Some(send) = history.sends.iter().find(|send| send.returned.len() != 1) {
        return broken(
            Property::P17,
            format!("{:?} resolved {} times", send.value, send.returned.len()),
        );
    }
    let mut told: BTreeMap<Value, Vec<Outcome>> = BTreeMap::new();
    for (value, outcome) in &history.told {
        told.entry(*value).or_default().push(*outcome);
    }
    for send in history.sends.iter().filter(|send| send.is_watched) {
        let told = told.get(&send.value).map(Vec::as_slice).unwrap_or_default();
        let resolved: Vec<_> = send.returned.iter().map(|(_, outcome)| *outcome).collect();
        if told != resolved {
            return broken(
                Property::P17,
                format!(
                    "{:?} resolved as {resolved:?}, its callback was told {told:?}",
                    send.value
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn calls_end_by_their_deadline(history: &History, _: &Promises) -> Verdict {
    for call in &history.calls {
        if call.returned.is_none_or(|(at, _)| at > call.deadline) {
            return broken(
                Property::P18,
                format!(
                    "{:?} of client {} was due at {:?}: {:?}",
                    call.what, call.client, call.deadline, call.returned
                ),
            );
        }
    }
    for send in &history.sends {
        if let Some((at, _)) = send.returned.first()
            && *at > send.deadline
        {
            return broken(
                Property::P18,
                format!("{:?} was due at {:?} and resolved at {at:?}", send.value, send.deadline),
            );
        }
    }
    Ok(())
}

pub(super) fn the_world_comes_to_rest(history: &History, promises: &Promises) -> Verdict {
    let due = history.faults_ended + promises.calm;
    match history.rested {
        Some(at) if at <= due => Ok(()),
        at => broken(Property::P19, format!("rest was due at {due:?}: {at:?}")),
    }
}

/// A producer that only waits for the end of a batch's time meets every deadline.
///
/// Only records with ample time are judged: worlds may send faster than their network carries, and then a queue of
/// short-lived records is given up rightly. How long is ample, the world says.
pub(super) fn what_has_time_is_stored(history: &History, promises: &Promises) -> Verdict {
    // A lingering batch that nobody wakes up for is stored at the next occasion, or when the producer is closed.
    let is_late = |send: &Send, at| at > send.invoked.max(promises.healed) + promises.ample;
    let given_up = history.sends.iter().find(|send| {
        let is_done = |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Done(_));
        let is_ample = send.deadline.saturating_sub(send.invoked) >= promises.ample;
        let is_refused =
            promises.refusals && send.returned.first().is_some_and(|(at, _)| *at < promises.healed);
        // Whether a transaction is committed is judged as a whole.
        send.is_taken
            && send.transaction.is_none()
            && is_ample
            && !is_refused
            && send.deadline > promises.healed
            && !send.returned.iter().any(|result| is_done(result) && !is_late(send, result.0))
    });
    match given_up {
        Some(send) => broken(
            Property::P19,
            format!(
                "{:?}, sent at {:?} and due at {:?}, was not stored in time though all was well from {:?} on: {:?}",
                send.value, send.invoked, send.deadline, promises.healed, send.returned
            ),
        ),
        None => Ok(()),
    }
}

pub(super) fn nothing_spins(history: &History, promises: &Promises) -> Verdict {
    let (requests, wakeups) = promises.spin;
    if history.requests_per_second_max > requests || history.wakeups_per_second_max > wakeups {
        return broken(
            Property::P20,
            format!(
                "{} requests and {} wake-ups in one second",
                history.requests_per_second_max, history.wakeups_per_second_max
            ),
        );
    }
    Ok(())
}

pub(super) fn memory_is_bounded(history: &History, promises: &Promises) -> Verdict {
    if history.buffered_bytes_max > promises.buffer_memory {
        return broken(
            Property::P21,
            format!("{} of {} bytes", history.buffered_bytes_max, promises.buffer_memory),
        );
    }
    if history.fetched_bytes_max > promises.fetched_memory {
        return broken(
            Property::P21,
            format!(
                "{} of {} bytes that were fetched",
                history.fetched_bytes_max, promises.fetched_memory
            ),
        );
    }
    if history.buffered_bytes_left > 0 {
        return broken(
            Property::P21,
            format!("{} bytes left behind by a producer", history.buffered_bytes_left),
        );
    }
    Ok(())
}
