//! The records of one partition that the driver has not taken yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use milena_records::{BatchBuilder, Header};
use milena_types::TopicPartition;

use super::backlog::Backlog;
use super::delivery::BatchResult;
use super::memory::Reserved;
use super::record::{NewRecord, Own};
use super::standing::{SharedStanding, Standing};
use super::watch::{Watch, Watchers};

/// The open batch of a partition and the full ones behind it.
///
/// Callers append under its lock, which is held for the encoding of one record and nothing else. The driver takes
/// what is full, and the open batch when its time has come.
#[derive(Debug)]
pub(super) struct PartitionQueue {
    /// The partition's place among all that the driver knows.
    pub(super) slot: usize,
    pub(super) partition: TopicPartition,
    /// Batches open, full or taken, but not sent.
    depth: AtomicU32,
    /// Of all partitions together.
    backlog: Arc<Backlog>,
    standing: SharedStanding,
    /// Whether the driver was told of news that it has not looked at.
    is_noticed: AtomicBool,
    state: Mutex<QueueState>,
}

/// What a partition's lock guards.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    open: Option<OpenBatch>,
    full: VecDeque<OpenBatch>,
    /// Bytes of records without key since the partition became the sticky one.
    pub(super) sticky_bytes: usize,
    /// Nothing more is taken in.
    pub(super) is_closed: bool,
}

/// A batch that records may still be added to.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    pub(super) result: Arc<BatchResult>,
    pub(super) watchers: Watchers,
    /// When its first record came: linger and delivery timeout count from here.
    pub(super) opened: Instant,
    pub(super) reserved: Reserved,
}

impl PartitionQueue {
    pub(super) fn new(slot: usize, partition: TopicPartition, backlog: Arc<Backlog>) -> Self {
        Self {
            slot,
            partition,
            depth: AtomicU32::new(0),
            backlog,
            standing: SharedStanding::default(),
            is_noticed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the batches that are ready, oldest first, into `taken`: the full ones and, with `with_open`, the open one
    /// too. Returns when the batch that stays open was opened.
    pub(super) fn take(
        &self,
        with_open: bool,
        taken: &mut impl Extend<OpenBatch>,
    ) -> Option<Instant> {
        let mut state = self.lock();
        taken.extend(state.full.drain(..));
        if with_open {
            let open = state.open.take();
            open.iter().for_each(|_| self.backlog.closed());
            taken.extend(open);
        }
        state.open.as_ref().map(|open| open.opened)
    }

    /// Takes nothing more in, and gives out what there is.
    pub(super) fn close(&self, taken: &mut impl Extend<OpenBatch>) {
        self.lock().is_closed = true;
        self.take(true, taken);
    }

    /// Whether the driver is to be told: it was not, since it last looked.
    pub(super) fn notice(&self) -> bool {
        !self.is_noticed.swap(true, Ordering::AcqRel)
    }

    /// The driver looks.
    pub(super) fn seen(&self) {
        self.is_noticed.store(false, Ordering::Release);
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    /// A batch was opened; returns how many wait.
    pub(super) fn deepen(&self) -> u32 {
        self.depth.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The open batch, if there is one, is put away as full; `state` is what the lock guards. Returns whether there was.
    pub(super) fn close_open(&self, state: &mut QueueState) -> bool {
        let open = state.open.take();
        let had_open = open.is_some();
        if had_open {
            self.backlog.closed();
        }
        state.full.extend(open);
        had_open
    }

    /// A batch was sent for the first time, or given up before it was.
    pub(super) fn shorten(&self) {
        let depth = self.depth.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(depth > 0, "{} sent a batch that never waited", self.partition);
        self.backlog.left();
    }

    pub(super) fn has_leader(&self) -> bool {
        self.standing() != Standing::Leaderless
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.get()
    }

    pub(super) fn set_standing(&self, standing: Standing) {
        self.standing.set(standing);
    }
}

impl QueueState {
    /// Adds `record`, which takes at most `bytes`, to the open batch, if there is one with room, and returns its place.
    #[inline]
    pub(super) fn add<'a, H>(
        &mut self,
        record: &NewRecord<'a, H>,
        bytes: usize,
        batch_bytes: usize,
        watch: &mut Watch,
    ) -> Option<u32>
    where
        H: IntoIterator<Item = Header<'a>, IntoIter: Clone> + Clone,
    {
        let open = self.open.as_mut()?;
        if open.builder.size() + bytes > batch_bytes {
            return None;
        }
        open.append(record, watch)
    }

    /// Opens a batch for `record` behind the full ones; none is open.
    pub(super) fn open<'a, H>(
        &mut self,
        batch: OpenBatch,
        record: &NewRecord<'a, H>,
        watch: &mut Watch,
    ) -> Option<u32>
    where
        H: IntoIterator<Item = Header<'a>, IntoIter: Clone> + Clone,
    {
        self.open.insert(batch).append(record, watch)
    }

    /// The result of the open batch.
    #[inline]
    pub(super) fn open_result(&self) -> Option<&Arc<BatchResult>> {
        self.open.as_ref().map(|open| &open.result)
    }
}

impl OpenBatch {
    /// Encodes `record`; `None` where the format's own limits are reached, at 2^31 bytes or records.
    fn append<'a, H>(&mut self, record: &NewRecord<'a, H>, watch: &mut Watch) -> Option<u32>
    where
        H: IntoIterator<Item = Header<'a>, IntoIter: Clone> + Clone,
    {
        let NewRecord { timestamp, key, value, .. } = *record;
        let index = self.builder.append(timestamp, key, value, record.headers.clone()).ok()?;
        let index = u32::try_from(index).ok()?;
        self.watchers.add(index, std::mem::take(watch), || Own::of(record));
        Some(index)
    }
}
