//! How records of a share partition are handed to a member (KIP-932, KIP-1206; Kafka's `SharePartition.acquire`).

use std::sync::Arc;
use std::time::Instant;

use milena_types::Offset;

use super::batch::{InFlightBatch, span};
use super::partition::{Limits, SharePartition};
use super::record::{InFlight, RecordState};

/// What a member asks for.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub(crate) member: Arc<str>,
    /// At most so many records; batches are finished where `is_strict` does not say otherwise.
    pub(crate) records_max: i64,
    /// The mode `record_limit`: not one record more.
    pub(crate) is_strict: bool,
    /// Of how many records the acquired batches should be.
    pub(crate) batch_size: i64,
}

/// What was read of the log, from [`SharePartition::next_fetch_offset`] on.
#[derive(Clone, Debug)]
pub(crate) struct ReadBatches {
    pub(crate) fetch_offset: Offset,
    /// First and last offset of each batch, in order.
    pub(crate) batches: Vec<(Offset, Offset)>,
    /// Those whose records belong to aborted transactions, for a group that reads committed ones.
    pub(crate) aborted: Vec<(Offset, Offset)>,
}

/// Records that a member got together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Acquired {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
    pub(crate) delivery_count: i16,
}

/// What may be acquired at once, and under which lock.
struct Grant<'a> {
    demand: &'a Demand,
    limits: &'a Limits,
    until: Instant,
    /// The first offset that was read.
    first: Offset,
    /// The last offset that may be acquired.
    last: Offset,
}

impl SharePartition {
    /// Hands out what was read, as far as it is available.
    pub(crate) fn acquire(
        &mut self,
        now: Instant,
        demand: &Demand,
        limits: &Limits,
        read: &ReadBatches,
    ) -> Vec<Acquired> {
        let (Some((first, _)), Some((_, last))) = (read.batches.first(), read.batches.last())
        else {
            return Vec::new();
        };
        let (first, last) = (*first, *last);
        let (records_max, last) = self.room(demand, limits, read.fetch_offset, last);
        if last < self.start || records_max <= 0 {
            return Vec::new();
        }
        self.archive_skipped(read.fetch_offset, first);
        let until = now.checked_add(limits.lock).unwrap_or(now);
        let grant = Grant { demand, limits, until, first, last };
        let acquired = self.acquire_between(&grant, read, records_max);
        if !acquired.is_empty() {
            let unlock = self.next_unlock.map_or(until, |next| next.min(until));
            self.next_unlock = Some(unlock);
        }
        let acquired = self.drop_aborted(acquired, &read.aborted);
        if !self.may_acquire(limits) {
            // Nobody acknowledges what was given up here: where the window is full of it, nothing else would move it on.
            self.advance();
        }
        acquired
    }

    /// How many records may be acquired, and up to which offset.
    fn room(
        &self,
        demand: &Demand,
        limits: &Limits,
        fetch_offset: Offset,
        last: Offset,
    ) -> (i64, Offset) {
        let room = limits.records_max - self.in_flight();
        if room > 0 {
            return (demand.records_max.min(room), last);
        }
        // No new record, but those in flight may be delivered again.
        (demand.records_max.min(span(fetch_offset, self.end)), last.min(self.end))
    }

    fn acquire_between(
        &mut self,
        grant: &Grant<'_>,
        read: &ReadBatches,
        records_max: i64,
    ) -> Vec<Acquired> {
        let mut base = grant.first;
        match self.batches.range(..=base).next_back() {
            None => base = base.max(self.start),
            Some((key, batch)) if batch.last() >= base => base = *key,
            Some(_) => {}
        }
        let from = grant.first.min(base);
        let keys: Vec<_> = if from > grant.last {
            Vec::new()
        } else {
            self.batches.range(from..=grant.last).map(|(key, _)| *key).collect()
        };
        if keys.is_empty() {
            return self.acquire_new(grant, read, base, records_max).0;
        }
        let mut acquired = Vec::new();
        let mut count = 0;
        let mut is_done = false;
        let mut known_until = from;
        for key in keys {
            let Some(batch) = self.batches.get_mut(&key) else { continue };
            known_until = batch.last();
            if count >= records_max || is_done {
                break;
            }
            let is_throttled = is_throttled(batch, grant);
            if is_throttled && count > 0 {
                is_done = true;
                break;
            }
            let got = acquire_again(batch, grant, records_max - count, is_throttled, &mut acquired);
            count += got;
            is_done = is_throttled && got > 0;
        }
        if !is_done && count < records_max && known_until < grant.last {
            let (more, _) = self.acquire_new(grant, read, known_until.next(), records_max - count);
            acquired.extend(more);
        }
        acquired
    }

    /// Takes records into flight that never were.
    fn acquire_new(
        &mut self,
        grant: &Grant<'_>,
        read: &ReadBatches,
        first: Offset,
        records_max: i64,
    ) -> (Vec<Acquired>, i64) {
        // A batch of the log may begin before the log does, and then holds records that are gone.
        let first = first.max(if self.batches.is_empty() { self.end } else { self.start });
        let mut last = grant.last;
        if first > last {
            return (Vec::new(), 0);
        }
        if records_max < span(first, last) {
            let wished = first.saturating_add(records_max - 1);
            let holder = read.batches.iter().find(|(from, to)| (*from..=*to).contains(&wished));
            // A batch is not left half unless the mode asks for it, or it claims an absurd number of records.
            let sane = first.saturating_add(BATCH_RECORDS_MAX);
            last = holder.map_or(wished, |(_, to)| *to).min(sane.max(wished));
        }
        self.end = self.end.max(last);
        let acquired = self.insert_new(grant, read, first, last, records_max);
        if self.batches.keys().next() == Some(&first) {
            self.start = first;
        }
        let count = acquired.iter().map(|one| span(one.first, one.last)).sum();
        (acquired, count)
    }

    fn insert_new(
        &mut self,
        grant: &Grant<'_>,
        read: &ReadBatches,
        first: Offset,
        last: Offset,
        records_max: i64,
    ) -> Vec<Acquired> {
        let mut record = InFlight::available(0);
        record.acquire(&grant.demand.member, grant.until);
        if grant.demand.is_strict && span(first, last) > records_max {
            let end = first.saturating_add(records_max - 1);
            let mut batch = InFlightBatch::new(first, last, record);
            batch.split();
            batch.change(end.next(), last, |record| *record = InFlight::available(0));
            self.batches.insert(first, batch);
            return vec![Acquired { first, last: end, delivery_count: 1 }];
        }
        let mut acquired = Vec::new();
        let mut from = first;
        if !grant.demand.is_strict && span(first, last) > grant.demand.batch_size {
            for (base, _) in read.batches.iter().take_while(|(base, _)| *base <= last) {
                if base.get() - from.get() >= grant.demand.batch_size.max(1) {
                    let before = Offset::new(base.get() - 1).unwrap_or(from);
                    acquired.push(Acquired { first: from, last: before, delivery_count: 1 });
                    from = *base;
                }
            }
        }
        acquired.push(Acquired { first: from, last, delivery_count: 1 });
        for one in &acquired {
            let batch = InFlightBatch::new(one.first, one.last, record.clone());
            self.batches.insert(one.first, batch);
        }
        acquired
    }

    /// What the log no longer has between where it was to be read and where it goes on: compacted away.
    fn archive_skipped(&mut self, fetch_offset: Offset, first: Offset) {
        if fetch_offset >= first {
            return;
        }
        let holder = self.batches.range(..=fetch_offset).next_back();
        let from = holder.filter(|(_, batch)| batch.last() >= fetch_offset);
        let from = from.map_or(fetch_offset, |(key, _)| *key);
        let before = Offset::new(first.get() - 1).unwrap_or(fetch_offset);
        for (_, batch) in self.batches.range_mut(from..first) {
            batch.archive(fetch_offset, before, RecordState::Available);
        }
    }

    /// Gives up the records of aborted transactions, which the member does not see.
    fn drop_aborted(
        &mut self,
        mut acquired: Vec<Acquired>,
        aborted: &[(Offset, Offset)],
    ) -> Vec<Acquired> {
        for (first, last) in aborted {
            let holder = self.batches.range(..=*first).next_back();
            let from = holder.map_or(*first, |(key, _)| *key);
            for (_, batch) in self.batches.range_mut(from..=*last) {
                batch.archive(*first, *last, RecordState::Acquired);
            }
            acquired = acquired.into_iter().flat_map(|one| cut_out(one, *first, *last)).collect();
        }
        acquired
    }
}

/// Hands out what is available of a batch that was in flight before; returns how many records.
fn acquire_again(
    batch: &mut InFlightBatch,
    grant: &Grant<'_>,
    records_max: i64,
    is_throttled: bool,
    acquired: &mut Vec<Acquired>,
) -> i64 {
    let is_cut = grant.demand.is_strict && batch.len() > records_max;
    let must_split = !batch.is_within(grant.first, grant.last) || is_cut || is_throttled;
    let (first, last, len) = (batch.first(), batch.last(), batch.len());
    if let Some(record) = batch.whole_mut() {
        if !record.is_available() {
            return 0;
        }
        if !must_split {
            record.acquire(&grant.demand.member, grant.until);
            let delivery_count = record.delivery_count();
            acquired.push(Acquired { first, last, delivery_count });
            return len;
        }
        batch.split();
    }
    let taken = choose(batch, grant, records_max);
    let mut count = 0;
    // What is next to each other in a batch and was delivered as often is told as one.
    let mut told: Option<Acquired> = None;
    for (first, last, delivery_count) in taken {
        let acquire = |record: &mut InFlight| record.acquire(&grant.demand.member, grant.until);
        batch.change(first, last, acquire);
        count += span(first, last);
        match &mut told {
            Some(one) if one.last.next() == first && one.delivery_count == delivery_count => {
                one.last = last;
            }
            _ => acquired.extend(told.replace(Acquired { first, last, delivery_count })),
        }
    }
    acquired.extend(told);
    count
}

/// Which records of a split batch are handed out: first and last offset, and which delivery it is.
///
/// Records that were delivered often come in ever smaller portions, and alone the last time, so that one bad record
/// does not use up the deliveries of its neighbours.
fn choose(
    batch: &InFlightBatch,
    grant: &Grant<'_>,
    records_max: i64,
) -> Vec<(Offset, Offset, i16)> {
    let deliveries_max = grant.limits.deliveries_max;
    let throttle_from = throttle_from(deliveries_max);
    let isolates_last = deliveries_max > THROTTLE_FROM_MIN;
    let mut portion: Option<i64> = None;
    let mut chosen = Vec::new();
    let mut count = 0;
    let available =
        batch.runs_within(grant.first..=grant.last).filter(|(_, _, record)| record.is_available());
    for (first, last, record) in available {
        let delivered = record.delivery_count();
        let is_last_time = isolates_last && delivered == deliveries_max - 1;
        if is_last_time && count > 0 {
            break;
        }
        if delivered >= throttle_from && portion.is_none() {
            let halvings = u32::try_from(delivered - throttle_from + 1).unwrap_or(0);
            let size = batch.len().checked_shr(halvings).unwrap_or(0).max(1);
            // A portion that is exceeded already limits nothing, as in Kafka.
            portion = Some(if size > count { size } else { i64::MAX });
        }
        let strict = if grant.demand.is_strict { records_max } else { i64::MAX };
        let limit = strict.min(portion.unwrap_or(i64::MAX));
        let room = if is_last_time { 1 } else { limit - count };
        let last = last.min(first.saturating_add(room - 1));
        chosen.push((first, last, delivered.saturating_add(1)));
        count += span(first, last);
        if is_last_time || count >= limit {
            break;
        }
    }
    chosen
}

fn is_throttled(batch: &InFlightBatch, grant: &Grant<'_>) -> bool {
    let throttle_from = throttle_from(grant.limits.deliveries_max);
    if let Some(record) = batch.whole() {
        return record.is_available() && record.delivery_count() >= throttle_from;
    }
    let mut read = batch.runs_within(grant.first..=grant.last);
    read.any(|(_, _, record)| record.is_available() && record.delivery_count() >= throttle_from)
}

/// From which delivery count on records come in smaller portions.
fn throttle_from(deliveries_max: i16) -> i16 {
    THROTTLE_FROM_MIN.max(deliveries_max / 2 + deliveries_max % 2)
}

fn cut_out(one: Acquired, first: Offset, last: Offset) -> impl Iterator<Item = Acquired> {
    if one.last < first || one.first > last {
        return [Some(one), None].into_iter().flatten();
    }
    let before = Offset::new(first.get() - 1).filter(|before| *before >= one.first);
    let before = before.map(|last| Acquired { last, ..one });
    let after = (one.last > last).then(|| Acquired { first: last.next(), ..one });
    [before, after].into_iter().flatten()
}

/// Kafka's `MINIMUM_THROTTLE_RECORDS_DELIVERY_LIMIT`.
const THROTTLE_FROM_MIN: i16 = 2;

/// More records than any honest batch holds; each that is acknowledged apart costs memory.
const BATCH_RECORDS_MAX: i64 = 1 << 20;
