//! What one `poll` hands out.

use std::{fmt, slice};

use milena_engine::Error;
use milena_engine::consumer::{Chunk, ChunkIter, CommittedOffset, Polled};
use milena_engine::transaction::GroupMetadata;
use milena_types::TopicPartition;

use super::{ConsumerHandle, Message, MessageRef};
use crate::driver::consumer::Offsets;

/// Records that one `poll` handed out: of each partition in the order of their offsets.
///
/// Iterating borrows them; [`into_messages`](Self::into_messages) makes each one's own.
pub struct Batch {
    polled: Polled,
    /// Behind the records, of each partition.
    ends: Offsets,
    handle: ConsumerHandle,
}

impl Batch {
    pub(super) fn new(polled: Polled, handle: ConsumerHandle) -> Self {
        let chunks = polled.chunks().iter();
        let ends = chunks
            .filter_map(|chunk| {
                let position = handle.buffer.position(chunk.partition())?;
                let mut end = CommittedOffset::new(position.offset);
                end.leader_epoch = position.leader_epoch;
                Some((chunk.partition().clone(), end))
            })
            .collect();
        Self { polled, ends, handle }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.polled.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.polled.is_empty()
    }

    /// The records, borrowed.
    pub fn iter(&self) -> Messages<'_> {
        Messages { chunks: self.polled.chunks().iter(), current: None, left: self.polled.len() }
    }

    /// The partitions that have records here.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.ends.keys()
    }

    /// The records, each one's own: at the price of a reference count a record.
    pub fn into_messages(mut self) -> impl Iterator<Item = Message> {
        let chunks: Vec<_> = self.polled.drain().collect();
        chunks.into_iter().flat_map(|chunk| {
            let partition = chunk.partition().clone();
            chunk.into_shared().map(move |record| Message::new(partition.clone(), record))
        })
    }

    /// Behind the records, of each partition.
    pub(crate) fn ends(&self) -> &Offsets {
        &self.ends
    }

    /// In whose name the offsets behind these records go into a transaction.
    pub(crate) async fn group_metadata(&self) -> Result<GroupMetadata, Error> {
        let partitions = self.ends.keys().cloned().collect();
        self.handle.call(move |machine, _| machine.group_metadata(&partitions)).await?
    }

    /// Commits the positions behind these records, and waits until they are stored.
    ///
    /// # Errors
    /// As [`ConsumerHandle::commit`].
    pub async fn commit(&self) -> Result<(), Error> {
        if self.ends.is_empty() {
            return Ok(());
        }
        self.handle.commit_some(Some(self.ends.clone())).await
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = MessageRef<'a>;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.iter()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("records", &self.len()).field("ends", &self.ends).finish()
    }
}

/// Walks a [`Batch`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    chunks: slice::Iter<'a, Chunk>,
    current: Option<(&'a TopicPartition, ChunkIter<'a>)>,
    left: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = MessageRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<MessageRef<'a>> {
        loop {
            if let Some((partition, records)) = &mut self.current
                && let Some(record) = records.next()
            {
                self.left -= 1;
                return Some(MessageRef::new(partition, record));
            }
            let chunk = self.chunks.next()?;
            self.current = Some((chunk.partition(), chunk.iter()));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Messages<'_> {}
