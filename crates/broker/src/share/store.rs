//! Every share partition of the cluster: what is stored of it, and what its leader holds in memory.

use std::collections::BTreeMap;

use bytes::BytesMut;
use milena_types::{LeaderEpoch, Offset, Uuid};

use super::partition::{SharePartition, StoredRecords};
use super::record::RecordState;
use crate::store::{Malformed, Source, Spelled};

/// Names a share partition: group, topic and partition.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ShareKey {
    pub(crate) group: String,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
}

/// The share partitions that there are, that is of which groups keep an offset.
#[derive(Debug, Default)]
pub(crate) struct SharePartitions {
    by_key: BTreeMap<ShareKey, StoredPartition>,
}

/// What a share coordinator keeps, and the window that the leader has open over it.
#[derive(Clone, Debug)]
pub(crate) struct StoredPartition {
    /// `None` until the group has read: the first reader decides by `share.auto.offset.reset`.
    pub(crate) start: Option<Offset>,
    /// How many records from the start on are done with; `None` as the start.
    pub(crate) done: Option<i64>,
    /// That of the leader that opened the window last.
    pub(crate) leader_epoch: LeaderEpoch,
    records: Vec<StoredRecords>,
    window: Option<SharePartition>,
}

impl StoredPartition {
    /// One that begins at `start`, or where its first reader says.
    pub(crate) fn new(start: Option<Offset>) -> Self {
        Self {
            start,
            done: start.map(|_| 0),
            leader_epoch: LeaderEpoch::ZERO,
            records: Vec::new(),
            window: None,
        }
    }

    /// The leader's window; opened by a leader of `epoch` where there is none.
    pub(crate) fn open(&mut self, epoch: LeaderEpoch, initial: Offset) -> &mut SharePartition {
        if self.window.is_none() {
            self.leader_epoch = epoch;
        }
        let (start, records) = (self.start.unwrap_or(initial), &self.records);
        self.window.get_or_insert_with(|| SharePartition::load(start, records))
    }

    /// The leader's window, if it is open.
    pub(crate) fn window(&self) -> Option<&SharePartition> {
        self.window.as_ref()
    }

    pub(crate) fn window_mut(&mut self) -> Option<&mut SharePartition> {
        self.window.as_mut()
    }

    /// Writes down what became of records, and then lets the window move on. What is stored lags behind by one step, as
    /// it does in Kafka; lags that are told take what is done with into account.
    pub(crate) fn write(&mut self) {
        let Some(window) = &mut self.window else { return };
        let (start, done) = (window.start(), window.done());
        let is_same = self.start == Some(start);
        self.done = if is_same { self.done.max(Some(done)) } else { Some(done) };
        self.start = Some(start);
        window.settle();
    }

    /// The leader forgets its window, as it does without sessions, and when another one leads.
    pub(crate) fn close(&mut self) {
        let (Some(window), Some(stored)) = (self.window.take(), self.start) else { return };
        let before = Offset::new(window.start().get() - 1).filter(|before| *before >= stored);
        // What is stored lags behind; a window that is opened over it begins where this one did.
        let passed = before.map(|last| StoredRecords {
            first: stored,
            last,
            state: RecordState::Acknowledged,
            delivery_count: 0,
        });
        self.records = passed.into_iter().chain(window.unload()).collect();
    }
}

/// Without the window: what was acquired and not acknowledged may be acquired again.
impl Spelled for StoredPartition {
    fn put(&self, to: &mut BytesMut) {
        let mut closed = self.clone();
        closed.close();
        (closed.start, closed.done).put(to);
        closed.leader_epoch.put(to);
        closed.records.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self {
            start: Spelled::take(from)?,
            done: Spelled::take(from)?,
            leader_epoch: Spelled::take(from)?,
            records: Spelled::take(from)?,
            window: None,
        })
    }
}

impl Spelled for StoredRecords {
    fn put(&self, to: &mut BytesMut) {
        (self.first, self.last).put(to);
        let state: u8 = match self.state {
            RecordState::Available | RecordState::Acquired => 0,
            RecordState::Acknowledged => 2,
            RecordState::Archived => 4,
        };
        (state, self.delivery_count).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let (first, last) = Spelled::take(from)?;
        let (state, delivery_count): (u8, i16) = Spelled::take(from)?;
        let state = match state {
            0 => RecordState::Available,
            2 => RecordState::Acknowledged,
            4 => RecordState::Archived,
            _ => return Err(Malformed),
        };
        Ok(Self { first, last, state, delivery_count })
    }
}

impl SharePartitions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ShareKey, &StoredPartition)> {
        self.by_key.iter()
    }

    pub(crate) fn get(&self, key: &ShareKey) -> Option<&StoredPartition> {
        self.by_key.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &ShareKey) -> Option<&mut StoredPartition> {
        self.by_key.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: ShareKey, partition: StoredPartition) {
        self.by_key.insert(key, partition);
    }

    pub(crate) fn remove(&mut self, key: &ShareKey) {
        self.by_key.remove(key);
    }

    /// The keys of which this is true.
    pub(crate) fn keys_where(&self, is_meant: impl Fn(&ShareKey) -> bool) -> Vec<ShareKey> {
        self.by_key.keys().filter(|key| is_meant(key)).cloned().collect()
    }
}
