//! As many partitions for each, where all subscribe to the same topics.

use std::collections::BTreeSet;

use milena_types::Uuid;

use super::{Partitions, Subscriptions};

/// Lets each member keep what it has up to its share, and fills up those below with what is left.
pub(super) fn assign(subscriptions: &Subscriptions<'_>) -> Vec<Partitions> {
    let Subscriptions { subscribers, topics, .. } = subscriptions;
    let mut free = unheld(subscriptions);
    let count = subscribers.len();
    let total: usize = topics.values().map(|count| usize::try_from(*count).unwrap_or(0)).sum();
    let share = total.checked_div(count).unwrap_or(0);
    // So many members get one more.
    let mut extras = total.checked_rem(count).unwrap_or(0);

    let mut assigned = Vec::with_capacity(count);
    let mut short = Vec::new();
    for (at, subscriber) in subscribers.iter().enumerate() {
        let mut has_extra = extras > 0;
        let mut quota = share + usize::from(has_extra);
        let mut kept = Partitions::new();
        for (topic, held) in subscriber.held {
            if !topics.contains_key(topic) {
                continue;
            }
            let (keep, give): (BTreeSet<_>, Vec<_>) = split(held, quota);
            quota -= keep.len();
            free.extend(give.into_iter().map(|index| (*topic, index)));
            if !keep.is_empty() {
                kept.insert(*topic, keep);
            }
        }
        // Who has no more than the even share leaves the odd partition to those after it, while they are enough.
        if quota > 0 && has_extra && count - at > extras {
            quota -= 1;
            has_extra = false;
        }
        if quota > 0 {
            short.push((at, quota));
        }
        extras -= usize::from(has_extra);
        assigned.push(kept);
    }
    let mut free = free.into_iter();
    for (at, quota) in short {
        let Some(assigned) = assigned.get_mut(at) else { continue };
        for (topic, index) in free.by_ref().take(quota) {
            assigned.entry(topic).or_default().insert(index);
        }
    }
    assigned
}

/// The partitions that nobody was to have until now.
fn unheld(subscriptions: &Subscriptions<'_>) -> Vec<(Uuid, i32)> {
    let mut unheld = Vec::new();
    for (topic, count) in &subscriptions.topics {
        let held = subscriptions.subscribers.iter().filter_map(|one| one.held.get(topic));
        let held: BTreeSet<_> = held.flatten().collect();
        unheld.extend((0..*count).filter(|index| !held.contains(index)).map(|i| (*topic, i)));
    }
    unheld
}

fn split(held: &BTreeSet<i32>, quota: usize) -> (BTreeSet<i32>, Vec<i32>) {
    (held.iter().take(quota).copied().collect(), held.iter().skip(quota).copied().collect())
}
