//! What consumers were handed against what the logs hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milena_types::{Offset, TopicPartition};

use super::{Property, Verdict, broken};
use crate::history::{History, Outcome, Promises, Value};

pub(super) fn an_offset_holds_one_value(history: &History, _: &Promises) -> Verdict {
    let mut seen: BTreeMap<(usize, &TopicPartition, Offset), Value> = BTreeMap::new();
    for (life, logs) in history.lives.iter().enumerate() {
        for (tp, log) in logs {
            seen.extend(log.iter().map(|(offset, value)| ((life, tp, *offset), *value)));
        }
    }
    for read in &history.reads {
        // What was on its way when the topic was made anew is of a life before.
        let is_known = |life| seen.get(&(life, &read.from, read.offset)) == Some(&read.value);
        if (0..read.life).any(is_known) {
            continue;
        }
        let known = *seen.entry((read.life, &read.from, read.offset)).or_insert(read.value);
        if known != read.value {
            return broken(
                Property::P4,
                format!(
                    "{}@{} is {known:?} and was read as {:?}",
                    read.from, read.offset, read.value
                ),
            );
        }
    }
    Ok(())
}

/// Reads of one assignment follow the log record by record from where the assignment began.
///
/// One that outlives its topic is judged no further: its user is to begin anew.
pub(super) fn no_skip_and_no_step_back(history: &History, promises: &Promises) -> Verdict {
    let mut next: BTreeMap<(usize, u64, &TopicPartition), (usize, Offset)> = history
        .starts
        .iter()
        .map(|start| ((start.consumer, start.assignment, &start.of), (start.life, start.at)))
        .collect();
    for read in &history.reads {
        let Some((life, due)) = next.get_mut(&(read.consumer, read.assignment, &read.from)) else {
            return broken(
                Property::P12,
                format!("consumer {} read {} without holding it", read.consumer, read.from),
            );
        };
        if *life != read.life {
            continue;
        }
        if read.offset < *due {
            return broken(
                Property::P12,
                format!(
                    "consumer {} stepped back to {}@{}, {} was due",
                    read.consumer, read.from, read.offset, due
                ),
            );
        }
        let is_due = |at| !promises.read_committed || history.is_readable(&read.from, at);
        let skipped =
            history.lives.get(read.life).and_then(|logs| logs.get(&read.from)).and_then(|log| {
                let is_due = |at| is_due(at) && !history.is_deleted(&read.from, at, read.at);
                log.iter().find(|(at, _)| at >= due && *at < read.offset && is_due(*at))
            });
        if let Some((at, value)) = skipped {
            return broken(
                Property::P12,
                format!(
                    "consumer {} skipped {}@{at} ({value:?}) on its way to {}",
                    read.consumer, read.from, read.offset
                ),
            );
        }
        *due = read.offset.next();
    }
    Ok(())
}

/// Only partitions that somebody reads from the start are judged, and only what the topic's last life still holds.
pub(super) fn acknowledged_is_read(history: &History, promises: &Promises) -> Verdict {
    let by_group = history.group.iter().filter(|group| !group.held.is_empty());
    let by_group = by_group.flat_map(|group| &group.partitions);
    let covered: BTreeSet<&TopicPartition> = history
        .starts
        .iter()
        .filter(|start| start.at == Offset::ZERO && start.life + 1 == history.lives.len())
        .map(|start| &start.of)
        .chain(by_group)
        .collect();
    let read: BTreeSet<Value> = history.reads.iter().map(|read| read.value).collect();
    let mut stored = BTreeSet::new();
    for (tp, log) in history.logs() {
        let is_due = |at: &Offset| !promises.read_committed || history.is_readable(tp, *at);
        // What was deleted may have been so before anybody came to it.
        let is_there = |at: &Offset| !history.is_deleted(tp, *at, Duration::MAX);
        let due = log.iter().filter(|(at, _)| is_due(at) && is_there(at));
        stored.extend(due.map(|(_, value)| *value));
    }
    for send in &history.sends {
        let done =
            send.returned.iter().any(|(_, outcome)| matches!(outcome, Outcome::Done(Some(_))));
        let is_due = stored.contains(&send.value) && covered.contains(&send.to);
        if done && is_due && !read.contains(&send.value) {
            return broken(
                Property::P13,
                format!("{:?} to {} was acknowledged and nobody read it", send.value, send.to),
            );
        }
    }
    Ok(())
}
