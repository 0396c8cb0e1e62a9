//! Which partitions records without key or partition prefer: near ones, whose broker takes what is sent to it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use milena_types::NodeId;

use super::broker::Broker;
use super::partition::Next;
use super::sender::Producer;
use super::settings::Settings;
use crate::metadata::Cluster;

/// How gladly a partition is drawn; the best of a topic's are drawn alone, as in KIP-1123 and KIP-794.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Standing {
    /// Its leader is in the producer's rack, or racks do not matter.
    Near,
    /// Its leader is in another rack.
    Far,
    /// Near, but its leader leaves batches waiting (`partitioner.availability.timeout.ms`).
    LateNear,
    /// Far, and its leader leaves batches waiting.
    LateFar,
    /// It has no leader: what is sent there waits.
    Leaderless,
}

impl Standing {
    const ALL: [Self; 5] = [Self::Near, Self::Far, Self::LateNear, Self::LateFar, Self::Leaderless];

    fn of(leader: Option<NodeId>, is_late: bool, cluster: &Cluster, rack: Option<&str>) -> Self {
        let Some(leader) = leader else { return Self::Leaderless };
        let is_near = rack.is_none_or(|ours| {
            cluster.broker(leader).and_then(|broker| broker.rack.as_deref()) == Some(ours)
        });
        match (is_near, is_late) {
            (true, false) => Self::Near,
            (false, false) => Self::Far,
            (true, true) => Self::LateNear,
            (false, true) => Self::LateFar,
        }
    }
}

/// A [`Standing`] that the driver sets and any task reads.
#[derive(Debug)]
pub(super) struct SharedStanding(AtomicU8);

impl Default for SharedStanding {
    fn default() -> Self {
        Self(AtomicU8::new(Standing::Leaderless as u8))
    }
}

impl SharedStanding {
    pub(super) fn get(&self) -> Standing {
        let place = usize::from(self.0.load(Ordering::Relaxed));
        Standing::ALL.get(place).copied().unwrap_or(Standing::Leaderless)
    }

    pub(super) fn set(&self, standing: Standing) {
        self.0.store(standing as u8, Ordering::Relaxed);
    }
}

/// Whether a broker takes what waits for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Availability {
    /// Since when something has waited for it and nothing has gone out.
    waits_since: Option<Instant>,
    is_late: bool,
}

impl Broker {
    /// When it counts as late, unless it takes something before.
    pub(super) fn late_at(&self, settings: &Settings) -> Option<Instant> {
        let since = self.availability.waits_since.filter(|_| !self.availability.is_late)?;
        timeout(settings).map(|timeout| since + timeout)
    }
}

impl Producer {
    /// Takes note of how `node` did after its line was looked at; `has_sent` says whether a request went out.
    pub(super) fn observe(&mut self, now: Instant, node: NodeId, has_sent: bool) {
        if timeout(&self.settings).is_none() {
            return;
        }
        let waits = self.is_waited_for(now, node);
        let Some(broker) = self.brokers.get_mut(&node) else { return };
        let availability = &mut broker.availability;
        if has_sent || !waits {
            availability.waits_since = waits.then_some(now);
            if std::mem::take(&mut availability.is_late) {
                self.place_led_by(node);
            }
        } else if availability.waits_since.is_none() {
            availability.waits_since = Some(now);
        }
    }

    /// Whether something stands in the line of `node`, whose window is closed.
    pub(super) fn is_waited_for(&self, now: Instant, node: NodeId) -> bool {
        let rules = self.rules(now);
        let is_ready = |slot: &usize| {
            let partition = self.partitions.get(*slot);
            partition.is_some_and(|p| p.leader == Some(node) && p.next(rules) != Next::Nothing)
        };
        self.brokers.get(&node).is_some_and(|broker| {
            !broker.is_open(now, self.settings.in_flight_max) && broker.line.iter().any(is_ready)
        })
    }

    /// Brokers that have left batches waiting for too long are avoided from here on.
    pub(super) fn find_late(&mut self, now: Instant) {
        let is_due = |broker: &Broker| broker.late_at(&self.settings).is_some_and(|at| at <= now);
        let due = self.brokers.iter().filter(|(_, broker)| is_due(broker));
        for node in due.map(|(&node, _)| node).collect::<Vec<_>>() {
            // What waited may have moved to another leader.
            let waits = self.is_waited_for(now, node);
            let Some(broker) = self.brokers.get_mut(&node) else { continue };
            broker.availability.is_late = waits;
            if waits {
                self.place_led_by(node);
            } else {
                broker.availability.waits_since = None;
            }
        }
    }

    /// How gladly a partition led by `leader` is drawn.
    pub(super) fn standing(&self, leader: Option<NodeId>) -> Standing {
        let broker = leader.and_then(|leader| self.brokers.get(&leader));
        let is_late = broker.is_some_and(|broker| broker.availability.is_late);
        Standing::of(leader, is_late, &self.cluster, self.settings.rack.as_deref())
    }

    fn place_led_by(&mut self, node: NodeId) {
        let standing = self.standing(Some(node));
        for partition in self.partitions.iter().filter(|p| p.leader == Some(node)) {
            partition.queue.set_standing(standing);
        }
        for topic in self.topics.values() {
            topic.handle.0.rank();
        }
    }
}

/// How long a broker may leave batches waiting, where that matters.
fn timeout(settings: &Settings) -> Option<Duration> {
    let timeout = settings.availability_timeout;
    (settings.is_adaptive && !timeout.is_zero()).then_some(timeout)
}
