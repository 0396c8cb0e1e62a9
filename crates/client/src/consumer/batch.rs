//! What one `poll` hands out.

use std::{fmt, slice};

use milena_engine::consumer::{Chunk, ChunkIter, CommittedOffset, Consumer as Machine, Polled};
use milena_engine::transaction::GroupMetadata;
use milena_engine::{Error, Operation};
use milena_types::TopicPartition;

use super::{ConsumerHandle, Message, MessageRef};
use crate::driver::consumer::{Offsets, Read};

/// Records that one `poll` handed out: of each partition in the order of their offsets.
///
/// Iterating borrows them; [`into_messages`](Self::into_messages) makes each one's own.
pub struct Batch {
    polled: Polled,
    read: Read,
    handle: ConsumerHandle,
}

impl Batch {
    pub(super) fn new(polled: Polled, handle: ConsumerHandle) -> Self {
        let mut read = Read::default();
        for chunk in polled.chunks() {
            let mut end = CommittedOffset::new(chunk.end().offset);
            end.leader_epoch = chunk.end().leader_epoch;
            read.put(chunk.partition().clone(), end, chunk.stay());
        }
        Self { polled, read, handle }
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
        self.read.ends.keys()
    }

    /// The records, each one's own: at the price of a reference count a record.
    pub fn into_messages(mut self) -> impl Iterator<Item = Message> {
        let chunks: Vec<_> = self.polled.drain().collect();
        chunks.into_iter().flat_map(|chunk| {
            let (partition, stay) = (chunk.partition().clone(), chunk.stay());
            chunk.into_shared().map(move |record| Message::new(partition.clone(), record, stay))
        })
    }

    /// Behind the records, of each partition.
    pub(crate) fn ends(&self) -> &Offsets {
        &self.read.ends
    }

    /// In whose name the offsets behind these records go into a transaction.
    pub(crate) async fn group_metadata(&self) -> Result<GroupMetadata, Error> {
        let stays = self.read.stays.clone();
        let metadata = move |machine: &mut Machine, _| {
            machine.ensure_held(&stays)?;
            machine.group_metadata(&stays.into_keys().collect())
        };
        self.handle.call(Operation::Commit, metadata).await?
    }

    /// Commits the positions behind these records, and waits until they are stored.
    ///
    /// # Errors
    /// As [`ConsumerHandle::commit`]. `Rebalanced` also where a partition was taken away and has come back since: it
    /// began anew at what was committed in between, and its records come again.
    pub async fn commit(&self) -> Result<(), Error> {
        if self.read.ends.is_empty() {
            return Ok(());
        }
        let read = self.read.clone();
        self.handle.commit_read(Box::new(move || read)).await
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
        f.debug_struct("Batch")
            .field("records", &self.len())
            .field("ends", &self.read.ends)
            .finish()
    }
}

/// Walks a [`Batch`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    chunks: slice::Iter<'a, Chunk>,
    current: Option<(&'a Chunk, ChunkIter<'a>)>,
    left: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = MessageRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<MessageRef<'a>> {
        loop {
            if let Some((chunk, records)) = &mut self.current
                && let Some(record) = records.next()
            {
                self.left -= 1;
                return Some(MessageRef::new(chunk.partition(), record, chunk.stay()));
            }
            let chunk = self.chunks.next()?;
            self.current = Some((chunk, chunk.iter()));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Messages<'_> {}
