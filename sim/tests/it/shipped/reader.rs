//! A user who reads as a member of the group, goes and comes back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use milena::config::OffsetReset;
use milena::{Batch, Consumer, ConsumerHandle, Kafka, RebalanceListener, TopicPartition};
use milena_sim::history::{CallKind, Read, Start, Stay};
use tokio::time::{Instant, sleep, timeout_at};

use super::plan::{Leave, ReaderPlan};
use super::world::{GROUP, SLACK, Shared, TOPIC, value};

/// What a member holds: of each partition under which assignment, and whether a record of it came already.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<BTreeMap<TopicPartition, (u64, bool)>>>);

impl Held {
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    fn let_go(&self, partitions: &[TopicPartition]) {
        self.0.lock().unwrap().retain(|held, _| !partitions.contains(held));
    }
}

/// One who reads.
pub(super) struct Reader {
    pub(super) n: usize,
    pub(super) plan: ReaderPlan,
    pub(super) settings: Vec<(&'static str, String)>,
    pub(super) kafka: Kafka,
    pub(super) shared: Shared,
    pub(super) held: Held,
    pub(super) rng: Rng,
}

impl Reader {
    /// Reads until all is over; comes and goes as planned before.
    pub(super) async fn run(mut self) {
        for stay in self.plan.stays.clone().into_iter().map(Some).chain([None]) {
            let mut consumer = self.consumer().await;
            let until = stay.map(|(lasts, ..)| Instant::now() + lasts);
            let shared = self.shared.clone();
            tokio::select! {
                biased;
                () = ends(&shared, until) => {}
                () = self.work(&mut consumer) => {}
            }
            match stay {
                Some((_, Leave::Drop, _)) => drop(consumer),
                Some((_, Leave::Close, _)) | None => {
                    let within = Duration::from_secs(self.rng.u64(0..10));
                    let deadline = shared.now() + within + SLACK;
                    let call = shared.call(CallKind::Close, self.n, deadline);
                    let is_good = consumer.close(within).await.is_ok();
                    shared.returned(call, is_good);
                }
            }
            shared.note_commits();
            if let Some((.., away)) = stay {
                self.held.0.lock().unwrap().clear();
                sleep(away).await;
            }
        }
    }

    async fn consumer(&self) -> Consumer {
        let mut builder = self.kafka.consumer(GROUP).auto_offset_reset(OffsetReset::Earliest);
        builder = builder.max_poll_records(self.plan.max_poll_records);
        for (key, value) in &self.settings {
            builder = builder.set(key, value).unwrap();
        }
        let (n, shared, held) = (self.n, self.shared.clone(), self.held.clone());
        let listener = Listener { n, shared, held };
        builder.subscribe([TOPIC]).on_rebalance(listener).build().await.unwrap()
    }

    async fn work(&mut self, consumer: &mut Consumer) {
        loop {
            let polled = consumer.poll(Duration::from_secs(5)).await;
            self.shared.note_commits();
            match polled {
                Ok(batch) => {
                    self.note(&batch);
                    sleep(Duration::from_millis(self.rng.u64(0..=self.plan.works_ms))).await;
                    if self.rng.bool() && !batch.is_empty() {
                        // Where it is refused the next one may be taken.
                        let _ = batch.commit().await;
                        self.shared.note_commits();
                    }
                }
                Err(error) if error.is_fatal() => {
                    panic!("member {} cannot go on: {error}", self.n)
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Writes down what was handed out.
    fn note(&self, batch: &Batch) {
        let (consumer, at) = (self.n, self.shared.now());
        let mut held = self.held.0.lock().unwrap();
        self.shared.with(|history| {
            for message in batch.iter() {
                let (of, offset) = (message.topic_partition().clone(), message.offset());
                // No assignment is 0: what comes without one breaks a property.
                let (assignment, has_begun) = held.get(&of).copied().unwrap_or_default();
                if assignment > 0 && !has_begun {
                    held.insert(of.clone(), (assignment, true));
                    let (of, at, known) = (of.clone(), offset, at);
                    history.starts.push(Start {
                        consumer,
                        assignment,
                        life: 0,
                        of,
                        at,
                        asked: None,
                        known,
                    });
                }
                let value = value(message.value().unwrap());
                let (life, from, done) = (0, of, None);
                history.reads.push(Read {
                    consumer,
                    assignment,
                    life,
                    from,
                    offset,
                    value,
                    at,
                    done,
                });
            }
        });
    }
}

async fn ends(shared: &Shared, until: Option<Instant>) {
    match until {
        Some(until) => drop(timeout_at(until, shared.over()).await),
        None => shared.over().await,
    }
}

struct Listener {
    n: usize,
    shared: Shared,
    held: Held,
}

impl RebalanceListener for Listener {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        let from = self.shared.now();
        self.shared.note_commits();
        for of in partitions {
            let consumer = self.n;
            let assignment = self.shared.with(|history| {
                let assignment = history.stays.len() as u64 + 1;
                history.stays.push(Stay { consumer, assignment, of: of.clone(), from });
                assignment
            });
            self.held.0.lock().unwrap().insert(of.clone(), (assignment, false));
        }
    }

    async fn revoked(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.held.let_go(partitions);
    }

    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.held.let_go(partitions);
    }
}
