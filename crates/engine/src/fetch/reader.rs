//! The user's half of fetching: bytes become records in the user's task, when he asks for them.

use std::sync::Arc;

use milena_records::{
    AbortedTransactions, Batch, Decompressor, Limits, Record, RecordSet, SharedRecord,
    batch::{Records, Walk, WalkEnd},
};
use milena_types::{ApiKey, ErrorCode, Offset, TopicPartition};

use super::buffer::{CompletedFetch, FetchBuffer, Resume, Stay};
use super::single::Single;
use crate::error::{Error, Operation};
use crate::subscription::Position;

/// Takes fetches from a [`FetchBuffer`] and decodes them; the user's task owns it.
///
/// Every batch is checked, decompressed and walked once before any of it is handed out, so that what was handed out
/// holds no errors, and positions never pass a record that was not.
#[derive(Debug)]
pub struct Reader {
    pub(super) buffer: Arc<FetchBuffer>,
    records_max: usize,
    check_crcs: bool,
    decompressor: Decompressor,
    pub(super) current: Option<CompletedFetch>,
    /// The batch that is read one by one.
    pub(super) single: Option<Single>,
    /// The one partition that it reads, in this stay; `None` reads whatever nobody else does.
    claim: Option<(TopicPartition, Stay)>,
}

/// What one poll handed out; keep it and poll into it again, so that its memory is used again.
#[derive(Debug, Default)]
pub struct Polled {
    chunks: Vec<Chunk>,
    count: usize,
}

/// Records of one partition in the order of their offsets, out of one batch: one reference count for all of them.
#[derive(Debug)]
pub struct Chunk {
    partition: TopicPartition,
    records: Records,
    /// Records below it were handed out before, or were not asked for.
    from: Offset,
    count: usize,
    /// Behind them, as it was when they were handed out: a seek since then is none of theirs.
    end: Position,
    stay: Stay,
}

/// Walks the records of a [`Chunk`].
#[derive(Clone, Debug)]
pub struct ChunkIter<'a> {
    records: milena_records::batch::Iter<'a>,
    from: Offset,
    left: usize,
}

/// How far a fetch is read.
#[derive(Debug)]
pub(crate) struct Progress {
    set: RecordSet,
    /// `None` with `read_uncommitted`.
    aborted: Option<AbortedTransactions>,
    pub(super) open: Option<OpenBatch>,
    /// Told with the next poll: what was good before it was handed out first.
    pub(super) error: Option<milena_records::Error>,
}

/// The batch that the last poll stopped in.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) records: Records,
    pub(super) end: Position,
}

/// What comes next in a fetch.
pub(super) enum Step {
    /// Nothing: it is read to its end.
    End,
    /// A batch of which nothing may be handed out.
    Passed(Box<Progress>),
    /// A batch of records.
    Open(Box<Progress>, OpenBatch),
}

impl Reader {
    /// Reads from `buffer`, at most `records_max` records a poll.
    pub fn new(
        buffer: Arc<FetchBuffer>,
        records_max: usize,
        check_crcs: bool,
        limits: Limits,
    ) -> Self {
        let decompressor = Decompressor::new(limits, buffer.decompressed().clone());
        let (current, single, claim) = (None, None, None);
        let records_max = records_max.max(1);
        Self { buffer, records_max, check_crcs, decompressor, current, single, claim }
    }

    /// Reads `partition` alone, for as long as it is in this stay; see [`FetchBuffer::claim`].
    pub fn of_claimed(
        buffer: Arc<FetchBuffer>,
        (partition, stay): (TopicPartition, Stay),
        records_max: usize,
        check_crcs: bool,
        limits: Limits,
    ) -> Self {
        let mut reader = Self::new(buffer, records_max, check_crcs, limits);
        reader.claim = Some((partition, stay));
        reader
    }

    /// Gives back what was taken and not read to its end.
    pub fn put_back(&mut self) {
        self.end_run();
        if let Some(fetch) = self.current.take() {
            match self.buffer.resume(&fetch) {
                Resume::Now(_) | Resume::Later => self.buffer.put_back(fetch),
                Resume::Never => self.buffer.release(fetch),
            }
        }
    }

    /// From here on a poll hands out at most `records_max` records.
    pub fn set_records_max(&mut self, records_max: usize) {
        self.records_max = records_max.max(1);
    }

    /// Fills `polled` with what can be handed out now, which may be nothing, and moves the positions behind it.
    ///
    /// Records of a partition that was revoked, paused or sought since they were fetched are not among it.
    ///
    /// # Errors
    /// Bytes that are no records, with partition and cause; what was read before it is handed out first. The same
    /// offset is fetched again, so the error returns if the log itself is damaged: seek behind it to go on.
    pub fn poll(&mut self, polled: &mut Polled) -> Result<(), Error> {
        polled.clear();
        self.end_run();
        while polled.count < self.records_max && self.may_open(polled) {
            let Some((mut fetch, position)) = self.next_fetch() else { break };
            match self.read(&mut fetch, position, polled) {
                Ok(true) => self.current = Some(fetch),
                Ok(false) => self.buffer.release(fetch),
                Err(error) => {
                    self.buffer.reject(fetch);
                    if polled.count == 0 {
                        return Err(error);
                    }
                    // Fetched again from behind what is handed out now, it comes up then.
                    break;
                }
            }
        }
        Ok(())
    }

    /// Small compressed batches may be large records: what one poll decompresses is bounded by its bytes too.
    fn may_open(&self, polled: &Polled) -> bool {
        polled.count == 0 || self.buffer.decompressed().frozen_bytes() < DECOMPRESSED_MAX
    }

    /// The fetch to read on in.
    pub(super) fn next_fetch(&mut self) -> Option<(CompletedFetch, Position)> {
        if let Some(fetch) = self.current.take() {
            match self.buffer.resume(&fetch) {
                Resume::Now(position) => return Some((fetch, position)),
                Resume::Later => self.buffer.put_back(fetch),
                Resume::Never => self.buffer.release(fetch),
            }
        }
        match &self.claim {
            Some((partition, stay)) => self.buffer.take_claimed(partition, *stay),
            None => self.buffer.take(),
        }
    }

    /// Reads one batch, or what fits of it; true if there is more in the fetch.
    fn read(
        &mut self,
        fetch: &mut CompletedFetch,
        position: Position,
        polled: &mut Polled,
    ) -> Result<bool, Error> {
        let (mut progress, mut open) = match self.step(fetch, position)? {
            Step::End => return Ok(false),
            Step::Passed(progress) => {
                // A marker behind the records is done with when they are.
                let last = polled.chunks.last_mut();
                if let Some(end) = self.pass(fetch, progress, position)
                    && let Some(last) = last.filter(|last| last.partition == fetch.partition)
                {
                    last.end = end;
                }
                return Ok(true);
            }
            Step::Open(progress, open) => (progress, open),
        };
        let start = open.records.clone();
        let Walk { count, last, end } =
            open.records.walk(position.offset, self.records_max - polled.count);
        let is_finished = matches!(end, WalkEnd::Finished);
        if let WalkEnd::Failed(error) = end {
            progress.error = Some(error);
        }
        let end = match (is_finished, last) {
            (true, last) => open.end_behind(last.map_or(position.offset, Offset::next)),
            (false, Some(last)) => Position::new(last.next(), open.end.leader_epoch),
            (false, None) => position,
        };
        let Some(stay) = self.buffer.hand_out(fetch, end) else { return Ok(false) };
        if count > 0 {
            let (partition, from) = (fetch.partition.clone(), position.offset);
            polled.chunks.push(Chunk { partition, records: start, from, count, end, stay });
            polled.count += count;
        }
        if !is_finished && progress.error.is_none() {
            progress.open = Some(open);
        }
        fetch.progress = Some(progress);
        Ok(true)
    }

    /// Goes to the next batch of a fetch, or on in the one that is open.
    pub(super) fn step(
        &mut self,
        fetch: &mut CompletedFetch,
        position: Position,
    ) -> Result<Step, Error> {
        let failed = |error: milena_records::Error, partition: &TopicPartition| {
            Error::from_code(ApiKey::FETCH, ErrorCode::CORRUPT_MESSAGE)
                .during(Operation::Fetch)
                .with_partition(partition)
                .with_detail(error.to_string())
                .because(error)
        };
        let mut progress = fetch.progress.take().unwrap_or_else(|| {
            Box::new(Progress {
                set: RecordSet::new(fetch.records.clone()),
                aborted: fetch.aborted.take().map(|aborted| {
                    AbortedTransactions::new(
                        aborted.iter().map(|one| (one.producer_id, one.first_offset)),
                    )
                }),
                open: None,
                error: None,
            })
        });
        if let Some(error) = progress.error.take() {
            return Err(failed(error, &fetch.partition));
        }
        if let Some(open) = progress.open.take() {
            return Ok(Step::Open(progress, open));
        }
        let Some(batch) = progress.set.next() else { return Ok(Step::End) };
        let open = batch
            .and_then(|batch| self.open(&mut progress, &batch, position))
            .map_err(|error| failed(error, &fetch.partition))?;
        Ok(match open {
            Some(open) => Step::Open(progress, open),
            None => Step::Passed(progress),
        })
    }

    /// Goes past a batch that is control, aborted, or was handed out before: the position moves with the next records,
    /// or where this is the last, to its end, which is then given.
    pub(super) fn pass(
        &self,
        fetch: &mut CompletedFetch,
        progress: Box<Progress>,
        position: Position,
    ) -> Option<Position> {
        let is_last = progress.set.clone().next().is_none();
        let end = Some(&fetch.records).filter(|_| is_last).and_then(progress_end);
        fetch.progress = Some(progress);
        let end = end?;
        let epoch = end.leader_epoch.or(position.leader_epoch);
        let end = Position::new(end.offset.max(position.offset), epoch);
        self.buffer.hand_out(fetch, end).map(|_| end)
    }

    /// Opens a batch, unless nothing of it may be handed out.
    fn open(
        &mut self,
        progress: &mut Progress,
        batch: &Batch,
        position: Position,
    ) -> Result<Option<OpenBatch>, milena_records::Error> {
        // Before the header is believed: with one bit changed, records are a marker, or another's who aborted.
        if self.check_crcs {
            batch.verify()?;
        }
        if let Some(aborted) = &mut progress.aborted {
            if aborted.is_aborted(batch) {
                return Ok(None);
            }
            if batch.is_control() {
                let decoded = batch.decode_unverified(&mut self.decompressor)?;
                if let Some(control) = decoded.control_record()? {
                    aborted.handle_control(batch, &control);
                }
                return Ok(None);
            }
        }
        if batch.is_control() || batch.next_offset() <= position.offset {
            return Ok(None);
        }
        let records = batch.decode_unverified(&mut self.decompressor)?.into_records();
        let epoch = batch.header().and_then(milena_records::BatchHeader::leader_epoch);
        let end = Position::new(batch.next_offset(), epoch.or(position.leader_epoch));
        Ok(Some(OpenBatch { records, end }))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end_run();
        if let Some(fetch) = self.current.take() {
            self.buffer.release(fetch);
        }
    }
}

impl OpenBatch {
    /// Behind what the batch spans, whatever compaction left of it (trap 25).
    ///
    /// A wrapper of the oldest format says less than what its inner messages say for themselves, which is `behind`.
    pub(super) fn end_behind(&self, behind: Offset) -> Position {
        Position::new(self.end.offset.max(behind), self.end.leader_epoch)
    }
}

impl Polled {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records handed out.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What was handed out; of each partition in the order of offsets.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Takes the chunks out, for a reader that hands records on one by one.
    pub fn drain(&mut self) -> impl Iterator<Item = Chunk> {
        self.count = 0;
        self.chunks.drain(..)
    }

    /// Lets go of the records.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.count = 0;
    }
}

impl Chunk {
    /// Where they are from.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never: a chunk without records is not handed out.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The position behind them, for a commit.
    pub fn end(&self) -> Position {
        self.end
    }

    /// The stay of the partition in which they were read.
    pub fn stay(&self) -> Stay {
        self.stay
    }

    /// The records, borrowed.
    pub fn iter(&self) -> ChunkIter<'_> {
        ChunkIter { records: self.records.iter(), from: self.from, left: self.count }
    }

    /// The records, each of which can be kept at the price of a reference count.
    pub fn into_shared(self) -> impl Iterator<Item = SharedRecord> {
        let records = self.records.filter_map(Result::ok);
        records.filter(move |record| record.offset() >= self.from).take(self.count)
    }
}

impl<'a> IntoIterator for &'a Chunk {
    type Item = Record<'a>;
    type IntoIter = ChunkIter<'a>;

    fn into_iter(self) -> ChunkIter<'a> {
        self.iter()
    }
}

impl<'a> Iterator for ChunkIter<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        while self.left > 0 {
            // The walk that counted them met no error.
            let record = self.records.next()?.ok()?;
            if record.offset() >= self.from {
                self.left -= 1;
                return Some(record);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ChunkIter<'_> {}

/// Behind the last batch of a fetch.
fn progress_end(records: &bytes::Bytes) -> Option<Position> {
    let extent = super::extent::Extent::of(records);
    Some(Position::new(extent.next?, extent.leader_epoch))
}

/// A poll that holds this much of decompressed batches opens no more of them.
const DECOMPRESSED_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests;
