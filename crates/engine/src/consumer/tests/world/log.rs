//! The logs of the scripted cluster.

use bytes::Bytes;
use milena_records::{
    BatchBuilder, Buffer, Compression, Compressor, ProducerStamp, batch::control,
};
use milena_types::{
    ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
};
use milena_wire::messages::fetch_response::AbortedTransaction;

/// One partition's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) batches: Vec<Stored>,
    pub(crate) start: i64,
    pub(crate) epoch: i32,
    pub(crate) leader: i32,
    /// Who else serves reads, and what he answers; the leader names him to those who say where they are (KIP-392).
    pub(crate) follower: Option<(i32, ErrorCode)>,
    /// What the leader answers instead of records.
    pub(crate) refusal: Option<ErrorCode>,
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// End offsets of past epochs: (epoch, first offset behind it).
    pub(crate) epochs: Vec<(i32, i64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) base: i64,
    pub(crate) last: i64,
    pub(crate) bytes: Bytes,
}

impl Log {
    pub(crate) fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| batch.last + 1)
    }

    /// Appends `count` records whose values are their offsets.
    pub(crate) fn append(&mut self, count: i64, producer: Option<i64>) {
        let base = self.end();
        let mut builder = BatchBuilder::new(Buffer::with_capacity(1024));
        for offset in base..base + count {
            let value = offset.to_string();
            let at = Timestamp::from_millis(offset);
            builder.append(at, None, Some(value.as_bytes()), []).unwrap();
        }
        let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
        let stamp = producer.map(|id| ProducerStamp {
            producer_id: ProducerId::from_wire(id).unwrap(),
            producer_epoch: ProducerEpoch::ZERO,
            base_sequence: Some(Sequence::ZERO),
            transactional: true,
        });
        let mut header = *sealed.header();
        header.set_base_offset(Offset::new(base).unwrap());
        header.set_leader_epoch(LeaderEpoch::from_wire(self.epoch));
        header.set_producer(stamp);
        let bytes = sealed.with_header(&header).to_bytes();
        self.batches.push(Stored { base, last: base + count - 1, bytes });
    }

    /// Ends a transaction of `producer` that began at `first`.
    pub(crate) fn end_transaction(&mut self, producer: i64, first: i64, commit: bool) {
        let base = self.end();
        let id = ProducerId::from_wire(producer).unwrap();
        let at = Timestamp::from_millis(0);
        let sealed = control::end_transaction(commit, id, ProducerEpoch::ZERO, 0, at).unwrap();
        let mut header = *sealed.header();
        header.set_base_offset(Offset::new(base).unwrap());
        header.set_leader_epoch(LeaderEpoch::from_wire(self.epoch));
        let bytes = sealed.with_header(&header).to_bytes();
        self.batches.push(Stored { base, last: base, bytes });
        if !commit {
            let aborted = AbortedTransaction { producer_id: producer, first_offset: first };
            self.aborted.push(aborted);
        }
    }

    /// A new leader whose log ends at `end`.
    pub(crate) fn elect(&mut self, leader: i32, end: i64) {
        self.batches.retain(|batch| batch.last < end);
        self.epochs.push((self.epoch, self.end()));
        self.epoch += 1;
        self.leader = leader;
    }

    /// Whole batches from `offset` on, up to `bytes_max` but one at least; a cut batch may follow, as brokers do.
    pub(crate) fn read(&self, offset: i64, bytes_max: usize) -> Bytes {
        let mut out: Vec<u8> = Vec::new();
        for batch in self.batches.iter().filter(|batch| batch.last >= offset) {
            if !out.is_empty() && out.len() + batch.bytes.len() > bytes_max {
                let room = bytes_max.saturating_sub(out.len());
                out.extend_from_slice(&batch.bytes[..room.min(batch.bytes.len())]);
                break;
            }
            out.extend_from_slice(&batch.bytes);
        }
        out.into()
    }

    /// KIP-320: the largest epoch up to `epoch`, and where it ends.
    pub(crate) fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        if epoch >= self.epoch {
            return (self.epoch, self.end());
        }
        let known = self.epochs.iter().rev().find(|(known, _)| *known <= epoch);
        known.copied().unwrap_or((-1, -1))
    }
}
