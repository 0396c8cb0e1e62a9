//! Requests that wait: a Fetch or ShareFetch for data, a Produce for its replicas (Kafka's purgatory).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use milena_types::TopicPartition;

use super::{State, Timer};
use crate::api::fetch::FetchPlan;
use crate::api::produce::ProducePlan;
use crate::api::share_fetch::SharePlan;
use crate::ticket::Ticket;

/// What waits, and for which partitions.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    by_ticket: BTreeMap<Ticket, Wait>,
    by_partition: BTreeMap<TopicPartition, BTreeSet<Ticket>>,
}

/// A request that waits.
#[derive(Debug)]
pub(crate) enum Wait {
    Fetch(FetchPlan),
    Produce(ProducePlan),
    ShareFetch(SharePlan),
}

impl Wait {
    fn partitions(&self) -> &[TopicPartition] {
        match self {
            Self::Fetch(plan) => plan.partitions(),
            Self::Produce(plan) => plan.partitions(),
            Self::ShareFetch(plan) => plan.partitions(),
        }
    }
}

impl State {
    /// Lets a request wait until one of its partitions changes enough, at the latest until `deadline`.
    pub(crate) fn park(&mut self, ticket: Ticket, wait: Wait, deadline: Instant) {
        for partition in wait.partitions() {
            self.waits.by_partition.entry(partition.clone()).or_default().insert(ticket);
        }
        self.waits.by_ticket.insert(ticket, wait);
        self.timers.set(Timer::Wait(ticket), Some(deadline));
    }

    /// Looks again at the requests that wait for this partition, which has changed.
    pub(crate) fn wake(&mut self, now: Instant, partition: &TopicPartition) {
        self.touch(partition);
        self.arm_cleaning(now, &partition.topic);
        let Some(tickets) = self.waits.by_partition.get(partition) else { return };
        let tickets: Vec<_> = tickets.iter().copied().collect();
        for ticket in tickets {
            let ready = match self.waits.by_ticket.get(&ticket) {
                Some(Wait::Fetch(plan)) => plan.is_ready(self),
                Some(Wait::Produce(plan)) => plan.is_ready(self),
                Some(Wait::ShareFetch(plan)) => plan.is_ready(self),
                None => false,
            };
            if ready {
                self.finish_wait(now, ticket);
            }
        }
    }

    pub(super) fn expire_wait(&mut self, now: Instant, ticket: Ticket) {
        self.finish_wait(now, ticket);
    }

    /// Forgets a request whose connection is gone.
    pub(crate) fn forget_wait(&mut self, ticket: Ticket) {
        self.take_wait(ticket);
    }

    fn finish_wait(&mut self, now: Instant, ticket: Ticket) {
        let response = match self.take_wait(ticket) {
            Some(Wait::Fetch(plan)) => plan.answer(self, now),
            Some(Wait::Produce(plan)) => plan.answer(self),
            Some(Wait::ShareFetch(plan)) => plan.answer(self, now),
            None => return,
        };
        self.answered.push((ticket, response));
    }

    fn take_wait(&mut self, ticket: Ticket) -> Option<Wait> {
        let wait = self.waits.by_ticket.remove(&ticket)?;
        self.timers.set(Timer::Wait(ticket), None);
        for partition in wait.partitions() {
            if let Some(tickets) = self.waits.by_partition.get_mut(partition) {
                tickets.remove(&ticket);
                if tickets.is_empty() {
                    self.waits.by_partition.remove(partition);
                }
            }
        }
        Some(wait)
    }
}
