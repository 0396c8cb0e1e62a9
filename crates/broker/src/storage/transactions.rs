//! Which transactions are open in a partition, and which were aborted (KIP-98).

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use milena_types::{Offset, ProducerId};

use super::batch::Batch;
use super::compact::Rewritten;
use crate::store::{Malformed, Source, Spelled};

/// The transactions of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transactions {
    /// Where each open one begins.
    open: BTreeMap<ProducerId, Offset>,
    /// By the offset of their marker.
    aborted: Vec<Aborted>,
}

/// A transaction whose records readers of committed data skip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: ProducerId,
    pub(crate) first: Offset,
    pub(crate) marker: Offset,
}

impl Transactions {
    /// Notes a batch that was stored at `base_offset`; `is_commit` says how, if it is a marker.
    pub(crate) fn note(&mut self, batch: &Batch, base_offset: Offset, is_commit: bool) {
        let Some(sent) = batch.sent().filter(|_| batch.is_transactional()) else { return };
        if !batch.is_control() {
            self.open.entry(sent.producer_id).or_insert(base_offset);
        } else if let Some(first) = self.open.remove(&sent.producer_id).filter(|_| !is_commit) {
            self.aborted.push(Aborted {
                producer_id: sent.producer_id,
                first,
                marker: base_offset,
            });
        }
    }

    /// Whether this producer has a transaction open here.
    pub(crate) fn is_open(&self, producer_id: ProducerId) -> bool {
        self.open.contains_key(&producer_id)
    }

    /// Where this producer's open transaction begins.
    pub(crate) fn open_since(&self, producer_id: ProducerId) -> Option<Offset> {
        self.open.get(&producer_id).copied()
    }

    /// The offset below which every transaction is decided: the start of the oldest open one, at most `high_watermark`.
    pub(crate) fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        self.open.values().min().map_or(high_watermark, |first| high_watermark.min(*first))
    }

    /// The aborted transactions with records in `from..until`.
    pub(crate) fn aborted_between(
        &self,
        from: Offset,
        until: Offset,
    ) -> impl Iterator<Item = Aborted> {
        self.aborted.iter().copied().filter(move |one| one.first < until && one.marker >= from)
    }

    /// Whether the records of this batch belong to an aborted transaction.
    pub(crate) fn is_aborted(&self, batch: &Batch) -> bool {
        let Some(sent) = batch.sent().filter(|_| batch.is_transactional()) else { return false };
        let at = batch.base_offset();
        let mut aborted = self.aborted.iter();
        aborted.any(|one| one.producer_id == sent.producer_id && one.first <= at && at < one.marker)
    }

    /// Forgets what a truncated log no longer holds. Of a transaction whose marker was cut off and whose beginning was not
    /// nobody knows any more that it has ended, nor how: it is open again.
    pub(crate) fn truncate<'a>(&mut self, end: Offset, left: impl Iterator<Item = &'a Batch>) {
        self.open.retain(|_, first| *first < end);
        let (kept, undone) = self.aborted.iter().partition::<Vec<_>, _>(|one| one.marker < end);
        self.aborted = kept;
        for one in undone.into_iter().filter(|one| one.first < end) {
            self.open.entry(one.producer_id).or_insert(one.first);
        }
        // Which transactions were committed is told by the log alone. What it no longer tells, as the start is deleted, is
        // remembered of the others.
        let mut told = Self::default();
        for batch in left {
            told.note(batch, batch.base_offset(), true);
        }
        for (producer_id, first) in told.open {
            self.open.entry(producer_id).or_insert(first);
        }
    }

    /// Forgets aborted transactions whose markers were compacted away, after their records. A reader that is still told
    /// of one would take what its producer wrote later for aborted too.
    pub(crate) fn forget_compacted(&mut self, rewritten: &Rewritten) {
        let gone = rewritten.iter().filter(|(_, batch)| batch.is_none());
        let gone: BTreeSet<Offset> = gone.map(|(base_offset, _)| *base_offset).collect();
        self.aborted.retain(|one| !gone.contains(&one.marker));
    }

    /// Forgets aborted transactions that lie wholly below the start of the log.
    pub(crate) fn trim(&mut self, start: Offset) {
        self.aborted.retain(|one| one.marker >= start);
    }
}

impl Spelled for Transactions {
    fn put(&self, to: &mut BytesMut) {
        let open: Vec<_> = self.open.iter().map(|(id, first)| (*id, *first)).collect();
        let aborted = self.aborted.iter().map(|one| (one.producer_id, (one.first, one.marker)));
        open.put(to);
        aborted.collect::<Vec<_>>().put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let open: Vec<(ProducerId, Offset)> = Spelled::take(from)?;
        let aborted: Vec<(ProducerId, (Offset, Offset))> = Spelled::take(from)?;
        let aborted = aborted.into_iter().map(|(producer_id, (first, marker))| Aborted {
            producer_id,
            first,
            marker,
        });
        Ok(Self { open: open.into_iter().collect(), aborted: aborted.collect() })
    }
}
