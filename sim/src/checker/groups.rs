//! What a group promised against what its members were handed and its coordinator stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_types::{Offset, TopicPartition};

use super::{Property, Verdict, broken};
use crate::history::{History, Promises, Read, Stay};

/// Whatever lies below a committed offset was handed out before, or nobody will ever see it.
pub(super) fn nothing_is_committed_unread(history: &History, promises: &Promises) -> Verdict {
    let members: BTreeSet<usize> = history.stays.iter().map(|stay| stay.consumer).collect();
    let finished =
        |read: &Read| if promises.commits_what_is_done { read.done } else { Some(read.at) };
    let mut handled: BTreeMap<(&TopicPartition, Offset), Duration> = BTreeMap::new();
    for read in history.reads.iter().filter(|read| members.contains(&read.consumer)) {
        if let Some(at) = finished(read) {
            let first = handled.entry((&read.from, read.offset)).or_insert(at);
            *first = at.min(*first);
        }
    }
    for stored in &history.stored {
        let Some(logs) = history.lives.last() else { continue };
        let Some(log) = logs.get(&stored.of) else { continue };
        let is_due = |at: Offset| {
            at < stored.offset
                && (!promises.read_committed || history.is_readable(&stored.of, at))
                && !history.is_deleted(&stored.of, at, stored.at)
        };
        let is_handled =
            |at: Offset| handled.get(&(&stored.of, at)).is_some_and(|when| *when <= stored.at);
        if let Some((at, value)) = log.iter().find(|(at, _)| is_due(*at) && !is_handled(*at)) {
            return broken(
                Property::P14,
                format!(
                    "{} was committed up to {} at {:?}, and nobody was done with {value:?} at {at}",
                    stored.of, stored.offset, stored.at
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn commits_do_not_step_back(history: &History, promises: &Promises) -> Verdict {
    if !promises.commits_in_order {
        return Ok(());
    }
    let mut last: BTreeMap<&TopicPartition, (Duration, Offset)> = BTreeMap::new();
    for stored in &history.stored {
        if let Some((since, before)) = last.insert(&stored.of, (stored.at, stored.offset))
            && before > stored.offset
            && !history.is_forgotten(since, stored.at)
        {
            return broken(
                Property::P14,
                format!(
                    "{} was committed up to {before}, then at {:?} up to {}",
                    stored.of, stored.at, stored.offset
                ),
            );
        }
    }
    Ok(())
}

/// Whoever is given a partition begins no sooner than where the group was: what lies before was done with.
pub(super) fn a_stay_begins_where_the_last_ended(history: &History, _: &Promises) -> Verdict {
    let stays: BTreeMap<(usize, u64, &TopicPartition), &Stay> = history
        .stays
        .iter()
        .map(|stay| ((stay.consumer, stay.assignment, &stay.of), stay))
        .collect();
    for start in &history.starts {
        let Some(stay) = stays.get(&(start.consumer, start.assignment, &start.of)) else {
            continue;
        };
        let stored = || history.stored.iter().filter(|stored| stored.of == stay.of);
        // A member whose user is away has asked before he hears of it. By then it may be out of its group, and another have
        // committed since.
        let since = start.asked.map_or(stay.from, |asked| asked.min(stay.from));
        let before = stored().rfind(|stored| stored.at < since);
        let before = before.filter(|stored| !history.is_forgotten(stored.at, start.known));
        // A commit that was held up may be stored behind a later one, just before this member asks.
        let was_set_back = stored()
            .any(|stored| (since..=start.known).contains(&stored.at) && stored.offset == start.at);
        if let Some(stored) = before.filter(|stored| start.at < stored.offset && !was_set_back) {
            return broken(
                Property::P14,
                format!(
                    "member {} got {} at {:?} and began at {}, the group was at {}",
                    stay.consumer, stay.of, stay.from, start.at, stored.offset
                ),
            );
        }
    }
    Ok(())
}

/// Once somebody else has a partition, nothing of it is handed out in a stay that began before.
pub(super) fn a_partition_has_one_owner(history: &History, promises: &Promises) -> Verdict {
    if promises.fenced_members || !promises.knows_its_session {
        return Ok(());
    }
    let mut last: BTreeMap<(usize, u64, &TopicPartition), Duration> = BTreeMap::new();
    for read in &history.reads {
        last.insert((read.consumer, read.assignment, &read.from), read.at);
    }
    for stay in &history.stays {
        let Some(until) = last.get(&(stay.consumer, stay.assignment, &stay.of)) else { continue };
        let is_rival = |other: &&Stay| {
            other.of == stay.of
                && other.consumer != stay.consumer
                && stay.from < other.from
                && other.from < *until
        };
        if let Some(other) = history.stays.iter().find(is_rival) {
            return broken(
                Property::P15,
                format!(
                    "member {} read {} at {until:?}, which member {} has had from {:?} on",
                    stay.consumer, stay.of, other.consumer, other.from
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn the_group_shares_everything_out(history: &History, promises: &Promises) -> Verdict {
    let Some(group) = history.group.as_ref().filter(|_| !promises.fenced_members) else {
        return Ok(());
    };
    if group.held.is_empty() {
        return Ok(());
    }
    if !group.is_stable {
        return broken(Property::P15, format!("the group did not become stable: {:?}", group.held));
    }
    for tp in &group.partitions {
        let owners: Vec<_> =
            group.held.iter().filter(|(_, held)| held.contains(tp)).map(|(n, _)| n).collect();
        if owners.len() != 1 {
            return broken(Property::P15, format!("in the end {owners:?} own {tp}"));
        }
    }
    // Of one topic that all of them read every assignor gives each as many, or one more.
    let shares = || group.held.values().map(Vec::len);
    let (least, most) = (shares().min().unwrap_or_default(), shares().max().unwrap_or_default());
    if promises.even_shares && most > least + 1 {
        return broken(Property::P15, format!("in the end shares are uneven: {:?}", group.held));
    }
    Ok(())
}
