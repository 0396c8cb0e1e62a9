//! Which topics are sent to, and who leads their partitions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{ApiKey, Topic, Uuid};
use milena_wire::ByteString;

use super::batch::Travel;
use super::partition::Partition;
use super::sender::{Output, Producer};
use super::state::State;
use super::topic::TopicHandle;
use crate::disposition::{Reaction, reaction};
use crate::metadata::TopicMetadata;
use crate::{Backoff, Error, Operation};

/// A topic that records are sent to.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) handle: TopicHandle,
    pub(super) wire_name: ByteString,
    pub(super) id: Option<Uuid>,
    /// When the metadata's owner was told last that it is in use.
    used: Option<Instant>,
    /// What of the metadata was looked at.
    seen: Option<Arc<TopicMetadata>>,
}

impl Producer {
    /// Looks at what callers did since the last time.
    pub(super) fn take_news(&mut self, now: Instant) {
        let news = self.accumulator.take_news();
        for topic in news.topics {
            self.want(now, topic);
        }
        for queue in news.queues {
            self.mark(queue.slot);
        }
        if news.someone_waits && self.accumulator.is_exhausted() {
            // Open batches leave before they are full, to make room.
            self.mark_all();
        }
    }

    /// Makes `topic` known, or looks for it again where it is.
    fn want(&mut self, now: Instant, topic: TopicHandle) {
        let name = topic.name().clone();
        if self.topics.contains_key(&name) {
            // Someone misses the topic, or a partition of it.
            self.wants_refresh = true;
        } else {
            let wire_name = ByteString::from(name.as_str());
            let state = TopicState { handle: topic, wire_name, id: None, used: None, seen: None };
            self.topics.insert(name.clone(), state);
        }
        self.touch(now, &name);
        match self.cluster.topic(name.as_str()).cloned() {
            Some(known) if known.is_usable() => self.learn(&name, known),
            // An earlier wait was told so; since then somebody may have given us the right (F43).
            Some(known) => {
                self.wants_refresh = true;
                if let Some(state) = self.topics.get_mut(&name) {
                    state.seen = Some(known);
                }
            }
            None => {}
        }
    }

    /// Tells the metadata's owner that `topic` is in use, now and then: idle topics are forgotten (KIP-526, R14).
    pub(super) fn touch(&mut self, now: Instant, topic: &Topic) {
        let Some(state) = self.topics.get_mut(topic) else { return };
        if state.used.is_none_or(|used| used + TOUCH_INTERVAL <= now) {
            state.used = Some(now);
            self.outputs.push_back(Output::UseTopic(topic.clone()));
        }
    }

    /// Looks at all that changed in the metadata.
    pub(super) fn learn_all(&mut self, now: Instant) {
        let cluster = Arc::clone(&self.cluster);
        let changed: Vec<_> = self
            .topics
            .iter()
            .filter_map(|(name, state)| {
                let known = cluster.topic(name.as_str())?;
                let is_seen = state.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, known));
                (!is_seen).then(|| (name.clone(), Arc::clone(known)))
            })
            .collect();
        for (name, topic) in changed {
            self.learn(&name, topic);
        }
        for name in self.topics.keys().cloned().collect::<Vec<_>>() {
            // A caller waits for the topic, or for a partition that it may be given.
            if self.topics.get(&name).is_some_and(|state| state.handle.0.is_waited_for()) {
                self.wants_refresh = true;
                self.touch(now, &name);
            }
        }
        // Whoever still waits for a leader asks again; how often is the metadata's own business.
        self.mark_all();
    }

    fn learn(&mut self, name: &Topic, topic: Arc<TopicMetadata>) {
        let Some(state) = self.topics.get_mut(name) else { return };
        if !topic.is_usable() {
            let error = topic.error.filter(|&code| is_final(code)).map(|code| {
                Error::from_code(ApiKey::METADATA, code)
                    .during(Operation::Send)
                    .with_topic(name.clone())
            });
            state.handle.0.updated(error);
            state.seen = Some(topic);
            return;
        }
        let is_recreated = state.id.is_some() && topic.id.is_some() && state.id != topic.id;
        state.id = topic.id.or(state.id);
        state.seen = Some(Arc::clone(&topic));
        let handle = state.handle.clone();
        if self.state == State::Running {
            let backoff =
                Backoff::new(self.settings.retry_backoff, self.settings.retry_backoff_max);
            for queue in handle.0.grow(topic.partition_count(), self.partitions.len()) {
                let (handle, first) = (handle.clone(), self.settings.first_sequence);
                self.partitions.push(Partition::new(queue, handle, backoff.clone(), first));
            }
        }
        for queue in handle.0.queues() {
            let Some(partition) = self.partitions.get_mut(queue.slot) else { continue };
            if is_recreated && self.idempotence.is_on() {
                partition.begin_anew();
            }
            // A partition that is missing may be on its way to us: the last leader stays (R17).
            if let Some(known) = topic.partition(queue.partition.partition) {
                let is_moved = known.leader.is_some() && partition.leader != known.leader;
                partition.leader = known.leader;
                partition.leader_epoch = known.leader_epoch.or(partition.leader_epoch);
                if is_moved {
                    partition.hurry();
                }
            }
            let leader = partition.leader;
            queue.set_standing(self.standing(leader));
            let slot = queue.slot;
            self.mark(slot);
        }
        handle.0.rank();
        handle.0.updated(None);
    }
}

impl Partition {
    /// A new leader is known: nothing is gained by waiting (trap 11).
    pub(super) fn hurry(&mut self) {
        for batch in &mut self.sent {
            if let Travel::Retry(from) = &mut batch.travel {
                *from = batch.opened;
            }
        }
    }
}

/// Whether waiting longer for the topic is in vain.
fn is_final(code: milena_types::ErrorCode) -> bool {
    matches!(reaction(ApiKey::METADATA, code), Reaction::Fail | Reaction::Fatal | Reaction::Abort)
}

/// Below the shortest time after which metadata forgets an idle topic, 5 s.
const TOUCH_INTERVAL: Duration = Duration::from_secs(1);
