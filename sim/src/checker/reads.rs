//! What consumers were handed against what the logs hold.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Offset, TopicPartition};

use super::{Property, Verdict, broken};
use crate::history::{History, Outcome, Promises, Value};

pub(super) fn an_offset_holds_one_value(history: &History, _: &Promises) -> Verdict {
    let mut seen: BTreeMap<(&TopicPartition, Offset), Value> = BTreeMap::new();
    for (tp, log) in &history.logs {
        seen.extend(log.iter().map(|(offset, value)| ((tp, *offset), *value)));
    }
    for read in &history.reads {
        let known = *seen.entry((&read.from, read.offset)).or_insert(read.value);
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
pub(super) fn no_skip_and_no_step_back(history: &History, _: &Promises) -> Verdict {
    let mut next: BTreeMap<(usize, u64, &TopicPartition), Offset> = history
        .starts
        .iter()
        .map(|start| ((start.consumer, start.assignment, &start.of), start.at))
        .collect();
    for read in &history.reads {
        let Some(due) = next.get_mut(&(read.consumer, read.assignment, &read.from)) else {
            return broken(
                Property::P12,
                format!("consumer {} read {} without holding it", read.consumer, read.from),
            );
        };
        if read.offset < *due {
            return broken(
                Property::P12,
                format!(
                    "consumer {} stepped back to {}@{}, {} was due",
                    read.consumer, read.from, read.offset, due
                ),
            );
        }
        let skipped = history
            .logs
            .get(&read.from)
            .and_then(|log| log.iter().find(|(at, _)| at >= due && *at < read.offset));
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

/// Only partitions that somebody reads from the start are judged.
pub(super) fn acknowledged_is_read(history: &History, _: &Promises) -> Verdict {
    let covered: BTreeSet<&TopicPartition> = history
        .starts
        .iter()
        .filter(|start| start.at == Offset::ZERO)
        .map(|start| &start.of)
        .collect();
    let read: BTreeSet<Value> = history.reads.iter().map(|read| read.value).collect();
    for send in &history.sends {
        let done =
            send.returned.iter().any(|(_, outcome)| matches!(outcome, Outcome::Done(Some(_))));
        if done && covered.contains(&send.to) && !read.contains(&send.value) {
            return broken(
                Property::P13,
                format!("{:?} to {} was acknowledged and nobody read it", send.value, send.to),
            );
        }
    }
    Ok(())
}
