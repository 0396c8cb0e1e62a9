//! Compaction: of each key only the newest record stays, at its offset.
//!
//! As in Kafka, the active segment is not compacted, and what is compacted away leaves a gap.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use milena_records::{Compression, Compressor, Record};
use milena_types::{Offset, ProducerId, Timestamp};

use super::batch::Batch;
use super::log::Log;
use super::segments::SegmentConfig;
use super::transactions::Transactions;

/// What a topic's configuration says of compaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CompactionConfig {
    /// `min.compaction.lag.ms`: younger records stay.
    pub(crate) min_lag_ms: i64,
    /// `delete.retention.ms`: how long a tombstone stays once it was compacted.
    pub(crate) delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub(crate) min_dirty_ratio: f64,
}

/// How far a log is compacted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compacted {
    /// Everything below was looked at.
    until: Offset,
    /// Until when tombstones and markers stay, by the offsets of their batches.
    horizons: BTreeMap<Offset, Timestamp>,
}

/// Batches by their base offsets, and what becomes of each: another batch, or nothing.
pub(crate) type Rewritten = Vec<(Offset, Option<Batch>)>;

impl Log {
    /// Compacts what lies below `until`, if enough of it is new, and says what has changed.
    pub(crate) fn compact(
        &mut self,
        config: &CompactionConfig,
        segments: SegmentConfig,
        until: Offset,
        now: Timestamp,
        transactions: &Transactions,
    ) -> Rewritten {
        let until = self.compactable_until(config, segments, until, now);
        if !self.is_worth_it(config, until, now) {
            return Rewritten::new();
        }
        let batches: Vec<_> =
            self.batches().take_while(|batch| batch.last_offset() < until).collect();
        let newest = newest_offsets(&batches, transactions);
        let mut horizons = std::mem::take(&mut self.compacted.horizons);
        let mut kept_horizons = BTreeMap::new();
        let mut rewritten = Rewritten::new();
        // Producers of which there are records that their next marker decides about.
        let mut marked: BTreeSet<ProducerId> = BTreeSet::new();
        for batch in self.batches.iter().take_while(|batch| batch.last_offset() < until) {
            let base = batch.base_offset();
            let horizon = horizons.remove(&base);
            let is_over = horizon.is_some_and(|horizon| horizon <= now);
            let fate = match batch.sent().filter(|_| batch.is_control()) {
                Some(sent) => {
                    let is_needed = marked.remove(&sent.producer_id) || !is_over;
                    if is_needed { Fate::Same { has_end: true } } else { Fate::Gone }
                }
                None if transactions.is_aborted(batch) => Fate::Gone,
                None => fate(batch, is_over, &newest),
            };
            if !batch.is_control() && batch.is_transactional() && !matches!(fate, Fate::Gone) {
                marked.extend(batch.sent().map(|sent| sent.producer_id));
            }
            let has_end = match fate {
                Fate::Same { has_end } => has_end,
                Fate::Gone => {
                    rewritten.push((base, None));
                    false
                }
                Fate::Changed { batch, has_end } => {
                    rewritten.push((base, Some(batch)));
                    has_end
                }
            };
            if has_end {
                let later = now.millis().saturating_add(config.delete_retention_ms);
                kept_horizons.insert(base, horizon.unwrap_or(Timestamp::from_millis(later)));
            }
        }
        self.compacted = Compacted { until, horizons: kept_horizons };
        self.replace(rewritten.clone());
        rewritten
    }

    /// Puts other batches, or none, in the place of some.
    pub(crate) fn replace(&mut self, rewritten: Rewritten) {
        let mut rewritten: BTreeMap<_, _> = rewritten.into_iter().collect();
        self.batches.retain_mut(|batch| match rewritten.remove(&batch.base_offset()) {
            None => true,
            Some(None) => false,
            Some(Some(other)) => {
                *batch = other;
                true
            }
        });
        self.bytes = self.batches.iter().map(|batch| batch.bytes() as u64).sum();
    }

    /// Where the active segment begins, or the first with a record that is too young.
    fn compactable_until(
        &self,
        config: &CompactionConfig,
        segments: SegmentConfig,
        until: Offset,
        now: Timestamp,
    ) -> Offset {
        let is_young = |at: Timestamp| now.millis().saturating_sub(at.millis()) < config.min_lag_ms;
        let mut segments = self.segments(segments).peekable();
        while let Some(segment) = segments.next() {
            if segments.peek().is_none() || segment.max_timestamp.is_some_and(is_young) {
                return segment.base_offset.min(until);
            }
        }
        until
    }

    /// Whether there is enough that was not looked at, or a tombstone that may go.
    fn is_worth_it(&self, config: &CompactionConfig, until: Offset, now: Timestamp) -> bool {
        let (mut clean, mut dirty) = (0_u64, 0_u64);
        for batch in self.batches.iter().take_while(|batch| batch.last_offset() < until) {
            let is_clean = batch.last_offset() < self.compacted.until;
            *(if is_clean { &mut clean } else { &mut dirty }) += batch.bytes() as u64;
        }
        let mut horizons = self.compacted.horizons.iter();
        let may_end = horizons.any(|(base, horizon)| *horizon <= now && *base < until);
        let is_dirty = dirty > 0 && dirty as f64 >= config.min_dirty_ratio * (clean + dirty) as f64;
        is_dirty || may_end
    }
}

impl Compacted {
    /// The log ends earlier.
    pub(super) fn truncate(&mut self, end: Offset) {
        self.until = self.until.min(end);
        self.horizons.split_off(&end);
    }
}

/// What becomes of a batch; `has_end` if it holds a tombstone or marker, which goes in time.
enum Fate {
    Same { has_end: bool },
    Changed { batch: Batch, has_end: bool },
    Gone,
}

/// The offset of the newest record of each key.
fn newest_offsets(batches: &[&Batch], transactions: &Transactions) -> BTreeMap<Vec<u8>, Offset> {
    let mut newest = BTreeMap::new();
    let written = batches.iter().filter(|one| !one.is_control() && !transactions.is_aborted(one));
    for batch in written {
        batch.for_each_record(|record| {
            if let Some(key) = record.key() {
                newest.insert(key.to_vec(), record.offset());
            }
        });
    }
    newest
}

fn fate(batch: &Batch, is_over: bool, newest: &BTreeMap<Vec<u8>, Offset>) -> Fate {
    let mut has_end = false;
    let mut kept = Kept::new(batch);
    let mut records = 0;
    let read = batch.for_each_record(|record| {
        records += 1;
        let is_newest = record.key().is_some_and(|key| newest.get(key) == Some(&record.offset()));
        let is_tombstone = record.value().is_none();
        if is_newest && !(is_tombstone && is_over) {
            has_end |= is_tombstone;
            kept.push(record);
        }
    });
    if !read || kept.records == records {
        // What cannot be read is the reader's to complain about.
        return Fate::Same { has_end };
    }
    if kept.records == 0 {
        return Fate::Gone;
    }
    kept.into_batch().map_or(Fate::Same { has_end }, |batch| Fate::Changed { batch, has_end })
}

/// The records of a batch that stay, at their offsets.
struct Kept<'a> {
    batch: &'a Batch,
    body: BytesMut,
    records: i32,
    max_timestamp: i64,
}

impl<'a> Kept<'a> {
    fn new(batch: &'a Batch) -> Self {
        Self { batch, body: BytesMut::new(), records: 0, max_timestamp: NO_TIME }
    }

    fn push(&mut self, record: &Record<'_>) {
        let base_time = self.batch.base_timestamp().map_or(NO_TIME, Timestamp::millis);
        let time = record.timestamp().map_or(NO_TIME, Timestamp::millis);
        let mut fields = BytesMut::new();
        // Attributes: none are defined.
        fields.put_u8(0);
        put_number(&mut fields, time.wrapping_sub(base_time));
        put_number(&mut fields, record.offset().get() - self.batch.base_offset().get());
        put_nullable(&mut fields, record.key());
        put_nullable(&mut fields, record.value());
        put_number(&mut fields, record.headers().len() as i64);
        for header in record.headers().iter() {
            put_nullable(&mut fields, Some(header.key));
            put_nullable(&mut fields, header.value);
        }
        put_number(&mut self.body, fields.len() as i64);
        self.body.put_slice(&fields);
        self.records += 1;
        self.max_timestamp = self.max_timestamp.max(time);
    }

    /// By the codec of the batch; uncompressed where that would make it longer.
    fn into_batch(self) -> Option<Batch> {
        let mut compression = self.batch.compression()?;
        let mut body = Vec::new();
        let compressed =
            Compressor::new().compress(Compression::new(compression), &self.body, &mut body);
        if compressed.is_err() || body.len() >= self.body.len() {
            compression = milena_records::CompressionType::None;
            body = self.body.to_vec();
        }
        self.batch.with_records(compression, self.records, self.max_timestamp, Bytes::from(body))
    }
}

fn put_nullable(to: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => put_number(to, -1),
        Some(field) => {
            put_number(to, field.len() as i64);
            to.put_slice(field);
        }
    }
}

/// Zig-zag, seven bits a byte.
fn put_number(to: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        to.put_u8((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    to.put_u8(rest as u8);
}

/// As records and batches without a time say it.
const NO_TIME: i64 = -1;
