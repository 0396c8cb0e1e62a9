//! What the user said that he is done with.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use milena_engine::consumer::{FetchBuffer, Stay};
use milena_types::{Offset, TopicPartition};

use super::{Message, MessageRef};
use crate::driver::consumer::{Offsets, Read};

/// The place of a record, for [`ConsumerHandle::mark`](crate::ConsumerHandle::mark): made of a [`Message`] or a
/// [`MessageRef`], and kept where the record itself need not be.
#[derive(Clone, Debug)]
pub struct Mark {
    partition: TopicPartition,
    end: Offset,
    stay: Stay,
}

impl From<&Message> for Mark {
    fn from(message: &Message) -> Self {
        let partition = message.topic_partition().clone();
        Self { partition, end: message.offset().next(), stay: message.stay() }
    }
}

impl From<MessageRef<'_>> for Mark {
    fn from(message: MessageRef<'_>) -> Self {
        let partition = message.topic_partition().clone();
        Self { partition, end: message.offset().next(), stay: message.stay() }
    }
}

/// The furthest mark of each partition; every handle and its consumer share them.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<BTreeMap<TopicPartition, Furthest>>);

/// A later stay is further than any offset of an earlier one.
type Furthest = (Stay, Offset);

impl Marks {
    pub(super) fn put(&self, mark: Mark) {
        let Mark { partition, end, stay } = mark;
        let mut marks = self.lock();
        let furthest = marks.entry(partition).or_insert((stay, end));
        *furthest = (stay, end).max(*furthest);
    }

    /// What is to be committed. Marks of partitions that were taken away since are dropped: what they cover is another
    /// member's to read, or comes again.
    pub(super) fn read(&self, buffer: &FetchBuffer) -> Read {
        let mut marks = self.lock();
        // Closed, it has no partitions at all; that is for the commit to say.
        if !buffer.is_closed() {
            marks.retain(|tp, (stay, _)| buffer.stay(tp) == Some(*stay));
        }
        let mut read = Read::default();
        for (tp, (stay, end)) in &*marks {
            read.put(tp.clone(), milena_engine::consumer::CommittedOffset::new(*end), *stay);
        }
        read
    }

    /// These offsets are stored: marks further on stay.
    pub(super) fn committed(&self, offsets: &Offsets) {
        let is_stored = |tp: &TopicPartition, end: Offset| {
            offsets.get(tp).is_some_and(|stored| stored.offset == end)
        };
        self.lock().retain(|tp, (_, end)| !is_stored(tp, *end));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Furthest>> {
        // Nothing that can panic happens under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
