//! Neighbouring partitions for each member.

use std::collections::BTreeMap;

use milena_types::Uuid;

use super::{Partitions, Subscriber, Subscriptions};

/// How far the partitions of a topic are given away.
#[derive(Default)]
struct Share {
    partitions: i32,
    subscribers: i32,
    /// How many members got theirs.
    served: i32,
    next: i32,
}

impl Share {
    /// The next member's partitions; the first members get one more where they cannot be shared evenly.
    fn take(&mut self) -> std::ops::Range<i32> {
        let even = self.partitions.checked_div(self.subscribers).unwrap_or(0);
        let odd = self.partitions.checked_rem(self.subscribers).unwrap_or(0);
        let count = if self.served < odd { even + 1 } else { even };
        self.served += 1;
        let from = self.next;
        self.next = (from + count).min(self.partitions);
        from..self.next
    }
}

/// Shares each topic among its subscribers in the order of their instance ids, then of their member ids.
pub(super) fn assign(subscriptions: &Subscriptions<'_>) -> Vec<Partitions> {
    let subscribers = &subscriptions.subscribers;
    let mut shares = BTreeMap::<Uuid, Share>::new();
    for topic in subscribers.iter().flat_map(|subscriber| subscriber.topics) {
        let partitions = subscriptions.topics.get(topic).copied().unwrap_or(0);
        let share =
            shares.entry(*topic).or_insert_with(|| Share { partitions, ..Share::default() });
        share.subscribers += 1;
    }
    let mut order: Vec<_> = subscribers.iter().enumerate().collect();
    order.sort_by_key(|(_, subscriber): &(usize, &Subscriber<'_>)| {
        (subscriber.instance_id.is_none(), subscriber.instance_id, subscriber.id)
    });
    let mut assigned = vec![Partitions::new(); subscribers.len()];
    for (at, subscriber) in order {
        let Some(assigned) = assigned.get_mut(at) else { continue };
        for topic in subscriber.topics {
            let range = shares.get_mut(topic).map(Share::take).unwrap_or_default();
            if !range.is_empty() {
                assigned.insert(*topic, range.collect());
            }
        }
    }
    assigned
}
