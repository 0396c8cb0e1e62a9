//! As many partitions for each as possible, where members subscribe to different topics.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use milena_types::Uuid;

use super::{Partitions, Subscriptions};

/// Keeps what members have, gives away what nobody has, then evens out topic by topic.
pub(super) fn assign(subscriptions: &Subscriptions<'_>) -> Vec<Partitions> {
    let mut balance = Balance::new(subscriptions);
    balance.keep_held(subscriptions);
    balance.give_unowned();
    balance.even_out();
    balance.into_assigned()
}

struct Balance {
    /// Of each topic, who subscribes to it.
    subscribers: BTreeMap<Uuid, Vec<usize>>,
    /// Of each partition of a topic, who is to have it.
    owners: BTreeMap<Uuid, Vec<Option<usize>>>,
    /// How many partitions each member is to have.
    sizes: Vec<usize>,
}

impl Balance {
    fn new(subscriptions: &Subscriptions<'_>) -> Self {
        let mut subscribers = BTreeMap::<_, Vec<_>>::new();
        for (at, subscriber) in subscriptions.subscribers.iter().enumerate() {
            for topic in subscriber.topics {
                subscribers.entry(*topic).or_default().push(at);
            }
        }
        let unowned = |topic: &Uuid| {
            let count = subscriptions.topics.get(topic).copied().unwrap_or(0);
            (*topic, vec![None; usize::try_from(count).unwrap_or(0)])
        };
        let owners = subscribers.keys().map(unowned).collect();
        Self { subscribers, owners, sizes: vec![0; subscriptions.subscribers.len()] }
    }

    fn keep_held(&mut self, subscriptions: &Subscriptions<'_>) {
        for (at, subscriber) in subscriptions.subscribers.iter().enumerate() {
            let held =
                subscriber.held.iter().filter(|(topic, _)| subscriber.topics.contains(topic));
            for (topic, indexes) in held {
                for index in indexes {
                    if let Ok(index) = usize::try_from(*index) {
                        self.give(*topic, index, at);
                    }
                }
            }
        }
    }

    fn give_unowned(&mut self) {
        for topic in self.in_order(|_| true) {
            let mut members = self.by_load(topic);
            let owners = self.owners.get(&topic).into_iter().flatten().enumerate();
            let unowned: Vec<_> = owners.filter(|(_, owner)| owner.is_none()).collect();
            let unowned: Vec<_> = unowned.into_iter().map(|(index, _)| index).collect();
            for index in unowned {
                let Some((load, place, member)) = members.pop_first() else { break };
                members.insert((load + 1, place, member));
                self.give(topic, index, member);
            }
        }
    }

    /// Moves partitions from those with most to those with least, until a round of all topics moves none.
    fn even_out(&mut self) {
        let topics = self.in_order(|subscribers| subscribers >= 2);
        let mut last = None;
        for _ in 0..ROUNDS_MAX {
            for topic in &topics {
                if last == Some(topic) {
                    return;
                }
                let moved = self.even_out_topic(*topic);
                if moved || last.is_none() {
                    last = Some(topic);
                }
            }
        }
    }

    /// True if any partition changed hands.
    fn even_out_topic(&mut self, topic: Uuid) -> bool {
        let mut takers = self.by_load(topic);
        let mut givers = takers.clone();
        let mut holdings = BTreeMap::<usize, Vec<usize>>::new();
        for (index, owner) in self.owners.get(&topic).into_iter().flatten().enumerate() {
            if let Some(owner) = owner {
                holdings.entry(*owner).or_default().push(index);
            }
        }
        let mut has_moved = false;
        while let (Some(most), Some(least)) = (givers.last().copied(), takers.first().copied()) {
            if most.0 <= least.0 + 1 {
                break;
            }
            let Some(index) = holdings.get_mut(&most.2).and_then(Vec::pop) else {
                // It has nothing of this topic to give.
                givers.remove(&most);
                continue;
            };
            self.give(topic, index, least.2);
            has_moved = true;
            for (one, load) in [(most, most.0 - 1), (least, least.0 + 1)] {
                let is_giver = givers.remove(&one);
                takers.remove(&one);
                takers.insert((load, one.1, one.2));
                if is_giver {
                    givers.insert((load, one.1, one.2));
                }
            }
        }
        has_moved
    }

    /// The topic's subscribers: how much each has, its place among them, and who it is.
    fn by_load(&self, topic: Uuid) -> BTreeSet<(usize, usize, usize)> {
        let subscribers = self.subscribers.get(&topic).into_iter().flatten();
        let load = |member: usize| self.sizes.get(member).copied().unwrap_or(0);
        let mut sorted: Vec<_> = subscribers.map(|member| (load(*member), *member)).collect();
        sorted.sort_unstable();
        sorted
            .into_iter()
            .enumerate()
            .map(|(place, (load, member))| (load, place, member))
            .collect()
    }

    /// The topics with enough subscribers; first those with most partitions a subscriber, whose subscribers are hardest
    /// to keep even.
    fn in_order(&self, is_enough: impl Fn(usize) -> bool) -> Vec<Uuid> {
        let topics = self.subscribers.iter().filter(|(_, members)| is_enough(members.len()));
        let mut topics: Vec<_> = topics
            .map(|(topic, members)| {
                let partitions = self.owners.get(topic).map_or(0, Vec::len);
                (*topic, partitions, members.len())
            })
            .collect();
        topics.sort_by(|(one, p1, s1), (other, p2, s2)| {
            let density = Reverse(p1 * s2).cmp(&Reverse(p2 * s1));
            density.then(s1.cmp(s2)).then(one.cmp(other))
        });
        topics.into_iter().map(|(topic, ..)| topic).collect()
    }

    fn give(&mut self, topic: Uuid, index: usize, member: usize) {
        let owners = self.owners.get_mut(&topic);
        let Some(owner) = owners.and_then(|owners| owners.get_mut(index)) else { return };
        let before = owner.replace(member);
        if let Some(size) = before.and_then(|before| self.sizes.get_mut(before)) {
            *size -= 1;
        }
        if let Some(size) = self.sizes.get_mut(member) {
            *size += 1;
        }
    }

    fn into_assigned(self) -> Vec<Partitions> {
        let mut assigned = vec![Partitions::new(); self.sizes.len()];
        for (topic, owners) in self.owners {
            for (index, owner) in (0..).zip(owners) {
                if let Some(assigned) = owner.and_then(|owner| assigned.get_mut(owner)) {
                    assigned.entry(topic).or_default().insert(index);
                }
            }
        }
        assigned
    }
}

/// Kafka's number.
const ROUNDS_MAX: usize = 16;
