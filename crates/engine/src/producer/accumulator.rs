//! Where records become batches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use milena_records::{BufferPool, Compression, Header};
use milena_types::Topic;

use super::appender::Appender;
use super::assign::Assigner;
use super::backlog::Backlog;
use super::counters::{Counters, ProducerMetrics};
use super::delivery::Delivery;
use super::memory::{Grant, Memory, Room};
use super::queue::PartitionQueue;
use super::record::NewRecord;
use super::settings::Settings;
use super::topic::{TopicHandle, TopicQueues, TopicReady};
use super::watch::Watch;
use crate::Error;

/// Takes records from any number of tasks and encodes them into batches, one per partition at a time.
///
/// Appending takes the lock of one partition, for as long as it takes to encode one record. The driver that owns the
/// [`Producer`](super::Producer) machine takes the batches out. Both share it by `Arc`.
pub struct Accumulator {
    pub(super) batch_bytes: usize,
    pub(super) record_bytes_max: usize,
    pub(super) assigner: Assigner,
    seed: u64,
    pub(super) memory: Arc<Memory>,
    pub(super) backlog: Arc<Backlog>,
    /// Buffers of full size that came back.
    pub(super) pool: BufferPool,
    topics: RwLock<BTreeMap<Topic, TopicHandle>>,
    news: Mutex<News>,
    pub(super) counters: Arc<Counters>,
    /// Why nothing more is taken in.
    closed: OnceLock<Error>,
}

/// What the driver has not looked at yet. Bounded by the topics and partitions that there are.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Topics to find the partitions of.
    pub(super) topics: Vec<TopicHandle>,
    /// Queues where a batch was opened or filled.
    pub(super) queues: Vec<Arc<PartitionQueue>>,
    /// Someone waits for room, or for a topic.
    pub(super) someone_waits: bool,
}

/// A record that was taken in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Appended {
    /// Resolves when the record's fate is known.
    pub delivery: Delivery,
    /// Whether the driver must be woken: a batch was opened or filled, and it does not know yet.
    pub wake: bool,
}

/// Why a record was not taken in, and what to wait for.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must know what to wait for")]
pub enum Refused {
    /// No room in the send buffer. Wake the driver, wait for [`Accumulator::room`] of `bytes` up to `max.block.ms`,
    /// and try again with the grant.
    NoRoom {
        /// What the record needs.
        bytes: usize,
    },
    /// The topic, or the partition that the record names, is not known. Wake the driver, wait for
    /// [`Accumulator::topic_ready`] up to `max.block.ms`, and try again.
    UnknownPartition,
    /// It will not be taken in: too large, or the producer is closed.
    Failed(Error),
}

impl Accumulator {
    /// An empty one. `seed` decides which partitions records without key go to.
    pub fn new(settings: &Settings, seed: u64) -> Self {
        let memory = Memory::new(settings.buffer_bytes);
        let batch_bytes = settings.batch_bytes.min(memory.bytes_max());
        // As many as the budget allows to be in use; a record larger than a batch has a buffer of its own.
        let pool = BufferPool::new(memory.bytes_max() / batch_bytes.max(1), batch_bytes);
        let is_compressed = settings.compression != Compression::NONE;
        // One that is being compressed by each, and one that is next.
        let sealed_at_once = if is_compressed { 2 * settings.sealers } else { 0 };
        Self {
            batch_bytes,
            record_bytes_max: settings.request_bytes_max.min(memory.bytes_max()),
            assigner: Assigner::new(settings),
            seed,
            memory: Arc::new(memory),
            backlog: Arc::new(Backlog::new(batch_bytes, sealed_at_once)),
            pool,
            topics: RwLock::default(),
            news: Mutex::default(),
            counters: Arc::default(),
            closed: OnceLock::new(),
        }
    }

    /// The topic called `name`. The first call for a name tells the driver that the topic is wanted; a handle that is
    /// kept saves the look-up.
    pub fn topic(&self, name: &str) -> TopicHandle {
        let known = self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| self.add_topic(name))
    }

    /// Encodes `record` into the open batch of its partition.
    ///
    /// `clock` is read only where a batch is opened, so that the time costs nothing per record. A `grant` is used up
    /// if the record opens a batch, and goes back otherwise.
    ///
    /// # Errors
    /// What stands in the way, and how to wait for it; the record is untouched.
    pub fn try_append<'a, H>(
        &self,
        topic: &TopicHandle,
        record: &NewRecord<'a, H>,
        grant: Option<Grant>,
        clock: impl Fn() -> Instant,
    ) -> Result<Appended, Refused>
    where
        H: IntoIterator<Item = Header<'a>, IntoIter: Clone> + Clone,
    {
        self.try_append_watched(topic, record, &mut Watch::Nobody, grant, clock)
    }

    /// As [`try_append`](Self::try_append), and has `watch` told what becomes of the record.
    ///
    /// # Errors
    /// As there; `watch` is untouched too.
    pub fn try_append_watched<'a, H>(
        &self,
        topic: &TopicHandle,
        record: &NewRecord<'a, H>,
        watch: &mut Watch,
        mut grant: Option<Grant>,
        clock: impl Fn() -> Instant,
    ) -> Result<Appended, Refused>
    where
        H: IntoIterator<Item = Header<'a>, IntoIter: Clone> + Clone,
    {
        let mut appender = self.appender(topic);
        let delivery = appender.append(record, watch, &mut grant, clock)?;
        let delivery = delivery.to_delivery();
        Ok(Appended { delivery, wake: appender.end() })
    }

    /// Appends many records of `topic` in a row, and holds a partition's lock between them.
    pub fn appender<'q>(&'q self, topic: &'q TopicHandle) -> Appender<'q> {
        Appender::new(self, &topic.0)
    }

    /// Queues up for `bytes` of room, as [`Refused::NoRoom`] asks. The driver must be woken, to send what is not full.
    pub fn room(&self, bytes: usize) -> Room {
        let room = self.memory.reserve(bytes);
        self.news().someone_waits = true;
        room
    }

    /// Waits until `partition` of `topic`, or any if it is `None`, is known. The driver must be woken, to look for it.
    pub fn topic_ready(&self, topic: &TopicHandle, partition: Option<i32>) -> TopicReady {
        let ready = topic.0.wait(partition);
        if let Some(error) = self.closed.get() {
            topic.0.updated(Some(error.clone()));
        } else {
            let mut news = self.news();
            news.someone_waits = true;
            news.topics.push(topic.clone());
        }
        ready
    }

    /// Whether so many closed batches wait behind those on their way that more are sent no sooner for being there. A
    /// caller may rest until [`is_relieved`](Self::is_relieved), or append all the same, for as long as there is room.
    #[inline]
    pub fn is_pressed(&self) -> bool {
        self.backlog.is_high()
    }

    /// Whether so few closed batches wait that more are wanted.
    pub fn is_relieved(&self) -> bool {
        self.backlog.is_low()
    }

    /// Whether something that closed batches wait for has come since the last call: the answer of a broker without room
    /// for them, or a sealed batch.
    pub fn take_progress(&self) -> bool {
        self.backlog.take_progress()
    }

    /// Bytes that records hold at the moment, of `buffer.memory`.
    pub fn bytes_used(&self) -> usize {
        self.memory.bytes_used()
    }

    /// What was sent so far, and what there is in the buffer.
    pub fn metrics(&self) -> ProducerMetrics {
        let mut metrics = self.counters.snapshot();
        let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        metrics.buffer_bytes_used = size(self.memory.bytes_used());
        metrics.buffer_bytes_max = size(self.memory.bytes_max());
        metrics
    }

    /// How many detached records failed since the last call, and why the first of them did; `None` if none did.
    pub fn take_detached_failures(&self) -> Option<(u64, Error)> {
        self.counters.take_detached_failures()
    }

    /// Counts a detached record that was not taken in.
    pub fn detached_failed(&self, error: &Error) {
        self.counters.detached_failed(1, error);
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether someone waits for room.
    pub(super) fn is_exhausted(&self) -> bool {
        self.memory.is_exhausted()
    }

    /// Takes what happened since the last call.
    pub(super) fn take_news(&self) -> News {
        let news = std::mem::take(&mut *self.news());
        // Before the queues are read: what is appended from here on is news again.
        news.queues.iter().for_each(|queue| queue.seen());
        news
    }

    /// Takes nothing more in; whoever waits for a topic or comes later gets `error`. What is in stays.
    pub(super) fn close(&self, error: Error) {
        let error = self.closed.get_or_init(|| error).clone();
        for topic in self.topics() {
            for queue in topic.0.queues() {
                queue.lock().is_closed = true;
            }
            topic.0.updated(Some(error.clone()));
        }
    }

    pub(super) fn topics(&self) -> Vec<TopicHandle> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn add_topic(&self, name: &str) -> TopicHandle {
        let topic = {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = topics.get(name) {
                return known.clone();
            }
            // Each topic draws its own numbers, the same ones in every run.
            let seed = self.seed.wrapping_add(topics.len() as u64).wrapping_mul(0x9e37_79b9);
            let topic = TopicHandle(Arc::new(TopicQueues::new(
                Topic::from(name),
                seed,
                Arc::clone(&self.backlog),
            )));
            topics.insert(topic.name().clone(), topic.clone());
            topic
        };
        self.news().topics.push(topic.clone());
        topic
    }

    /// Tells the driver of `queue`; returns whether it must be woken.
    pub(super) fn notice(&self, queue: &Arc<PartitionQueue>) -> bool {
        let is_first = queue.notice() && {
            let mut news = self.news();
            news.queues.push(Arc::clone(queue));
            // Whoever made the list begin has woken the driver.
            news.queues.len() == 1
        };
        self.backlog.is_worth_waking(is_first)
    }

    /// Whether there is something that the driver has not looked at.
    pub(super) fn has_news(&self) -> bool {
        let news = self.news();
        news.someone_waits || !news.queues.is_empty() || !news.topics.is_empty()
    }

    pub(super) fn unless_closed(&self, refused: Refused) -> Refused {
        match self.closed.get() {
            Some(error) => Refused::Failed(error.clone()),
            None => refused,
        }
    }

    /// The setting that bounds a record.
    pub(super) fn limit_key(&self) -> &'static str {
        if self.record_bytes_max < self.memory.bytes_max() {
            "max.request.size"
        } else {
            "buffer.memory"
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator")
            .field("bytes_used", &self.bytes_used())
            .field("bytes_max", &self.memory.bytes_max())
            .field("closed", &self.closed.get())
            .finish_non_exhaustive()
    }
}
