//! What the user said that he is done with.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use milena_engine::consumer::{CommittedOffset, FetchBuffer, Stay};
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

/// How far a partition is done with.
#[derive(Clone, Copy, Debug)]
struct Furthest {
    stay: Stay,
    end: Offset,
    /// The group has it. It is kept all the same: a slower task's mark below it must not take the group back.
    is_stored: bool,
}

impl Marks {
    pub(super) fn put(&self, mark: Mark) {
        let Mark { partition, end, stay } = mark;
        let mut marks = self.lock();
        let mark = Furthest { stay, end, is_stored: false };
        let furthest = marks.entry(partition).or_insert(mark);
        // A later stay is further than any offset of an earlier one.
        if (stay, end) > (furthest.stay, furthest.end) {
            *furthest = mark;
        }
    }

    /// What is to be committed. Marks of partitions that were taken away since are dropped: what they cover is another
    /// member's to read, or comes again.
    pub(super) fn read(&self, buffer: &FetchBuffer) -> Read {
        let mut marks = self.lock();
        // Closed, it has no partitions at all; that is for the commit to say.
        if !buffer.is_closed() {
            marks.retain(|tp, furthest| buffer.stay(tp) == Some(furthest.stay));
        }
        let mut read = Read::default();
        for (tp, furthest) in marks.iter().filter(|(_, furthest)| !furthest.is_stored) {
            read.put(tp.clone(), CommittedOffset::new(furthest.end), furthest.stay);
        }
        read
    }

    /// These offsets are stored: marks further on stay.
    pub(super) fn committed(&self, offsets: &Offsets) {
        for (tp, furthest) in &mut *self.lock() {
            furthest.is_stored |=
                offsets.get(tp).is_some_and(|stored| stored.offset == furthest.end);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Furthest>> {
        // Nothing that can panic happens under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
