//! Walks the records of a decoded batch, whatever its format.

use bytes::Bytes;
use milena_types::Offset;

use crate::batch::header::BatchHeader;
use crate::error::{Error, Malformation};
use crate::legacy;
use crate::record::{Record, SharedRecord};
use crate::varint;

/// Where a walk stands, apart from the bytes ahead of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    base_offset: i64,
    /// Replaces each record's time.
    append_time: Option<i64>,
    layout: Layout,
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    V2 {
        base_timestamp: i64,
        left: i32,
        previous_delta: i32,
        last_delta: i32,
    },
    /// Messages one after the other; `offset_shift` makes relative offsets absolute.
    Legacy {
        magic: i8,
        offset_shift: i64,
        previous: i64,
    },
}

impl State {
    pub(crate) fn v2(header: &BatchHeader, append_time: Option<i64>) -> Self {
        let layout = Layout::V2 {
            base_timestamp: header.base_timestamp,
            left: header.record_count,
            previous_delta: -1,
            last_delta: header.last_offset_delta,
        };
        Self { base_offset: header.base_offset, append_time, layout }
    }

    pub(crate) fn legacy(
        offset: Offset,
        append_time: Option<i64>,
        magic: i8,
        offset_shift: i64,
    ) -> Self {
        let layout = Layout::Legacy { magic, offset_shift, previous: -1 };
        Self { base_offset: offset.get(), append_time, layout }
    }

    pub(crate) fn announced(&self) -> Option<i32> {
        match self.layout {
            Layout::V2 { left, .. } => Some(left),
            Layout::Legacy { .. } => None,
        }
    }

    pub(crate) fn malformed(&self, reason: Malformation) -> Error {
        Error::Malformed { base_offset: self.base_offset, reason }
    }

    /// Takes the next record off the front of `rest`; nothing is left after an error.
    #[inline]
    fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<Result<Record<'a>, Error>> {
        let record = match &mut self.layout {
            Layout::V2 { left, .. } if *left <= 0 => {
                if rest.is_empty() {
                    return None;
                }
                Err(Malformation::TrailingBytes)
            }
            Layout::V2 { base_timestamp, left, previous_delta, last_delta } => {
                take_record(rest, self.base_offset, *base_timestamp).and_then(|(record, delta)| {
                    if delta <= *previous_delta || delta > *last_delta {
                        return Err(Malformation::OffsetOrder);
                    }
                    *previous_delta = delta;
                    *left -= 1;
                    Ok(record)
                })
            }
            Layout::Legacy { .. } if rest.is_empty() => return None,
            Layout::Legacy { magic, offset_shift, previous } => {
                take_message(rest, *magic, *offset_shift, previous)
            }
        };
        match record {
            Ok(mut record) => {
                if let Some(appended) = self.append_time {
                    record.timestamp = appended;
                }
                Some(Ok(record))
            }
            Err(reason) => Some(Err(self.stop(rest, reason))),
        }
    }

    /// Leaves nothing to be walked.
    #[cold]
    fn stop(&mut self, rest: &mut &[u8], reason: Malformation) -> Error {
        *rest = &[];
        if let Layout::V2 { left, .. } = &mut self.layout {
            *left = 0;
        }
        self.malformed(reason)
    }
}

/// Takes a record of format 2 and its offset delta.
#[inline]
fn take_record<'a>(
    rest: &mut &'a [u8],
    base_offset: i64,
    base_timestamp: i64,
) -> Result<(Record<'a>, i32), Malformation> {
    let length = varint::take_int(rest).ok_or(Malformation::Varint)?;
    let length = usize::try_from(length).map_err(|_| Malformation::RecordLength)?;
    let (fields, behind) = rest.split_at_checked(length).ok_or(Malformation::RecordLength)?;
    *rest = behind;
    Record::parse(fields, base_offset, base_timestamp)
}

/// Takes a message of formats 0 and 1; apart from the others, which are all that most walks see.
#[inline(never)]
fn take_message<'a>(
    rest: &mut &'a [u8],
    magic: i8,
    offset_shift: i64,
    previous: &mut i64,
) -> Result<Record<'a>, Malformation> {
    let record = legacy::take_record(rest, magic, offset_shift)?;
    if record.offset.get() <= *previous {
        return Err(Malformation::OffsetOrder);
    }
    *previous = record.offset.get();
    Ok(record)
}

/// The records of a batch, borrowed; ends after the first error.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
    state: State,
}

impl<'a> Iter<'a> {
    pub(crate) fn new(records: &'a [u8], state: State) -> Self {
        Self { rest: records, state }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<Record<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.state.next(&mut self.rest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One more than announced, for the error about bytes after the last record.
        let most = self.state.announced().and_then(|left| usize::try_from(left).ok());
        (0, most.map(|most| most.saturating_add(1)))
    }
}

/// The records of a batch, with their buffer: it can be put aside and taken up again between two records.
#[derive(Clone, Debug)]
pub struct Records {
    records: Bytes,
    position: usize,
    state: State,
}

impl Records {
    pub(crate) fn new(records: Bytes, state: State) -> Self {
        Self { records, position: 0, state }
    }

    /// The records that are left, borrowed.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(self.records.get(self.position..).unwrap_or_default(), self.state)
    }

    /// Where the walk stands.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { position: self.position, state: self.state }
    }

    /// Goes back to where `mark` was made, in the same records.
    pub fn rewind(&mut self, mark: Mark) {
        Mark { position: self.position, state: self.state } = mark;
    }

    /// Walks on over up to `records_max` records at or behind `from`, checking each, and counts them.
    pub fn walk(&mut self, from: Offset, records_max: usize) -> Walk {
        let mut rest = self.records.get(self.position..).unwrap_or_default();
        let mut walk = Walk { count: 0, last: None, end: WalkEnd::Full };
        while walk.count < records_max {
            match self.state.next(&mut rest) {
                Some(Ok(record)) if record.offset() < from => {}
                Some(Ok(record)) => {
                    walk.count += 1;
                    walk.last = Some(record.offset());
                }
                Some(Err(error)) => {
                    walk.end = WalkEnd::Failed(error);
                    break;
                }
                None => {
                    walk.end = WalkEnd::Finished;
                    break;
                }
            }
        }
        self.position = self.records.len() - rest.len();
        walk
    }
}

/// A place in [`Records`], to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    position: usize,
    state: State,
}

/// How far [`Records::walk`] came.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what was counted, and why the walk ended")]
pub struct Walk {
    /// Records counted.
    pub count: usize,
    /// The offset of the last of them.
    pub last: Option<Offset>,
    /// Why it ended.
    pub end: WalkEnd,
}

/// Why a walk ended.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a walk that ends otherwise would be another walk")]
pub enum WalkEnd {
    /// As many were counted as were wanted.
    Full,
    /// Behind the last record.
    Finished,
    /// At bytes that are no record; nothing comes after them.
    Failed(Error),
}

impl Iterator for Records {
    type Item = Result<SharedRecord, Error>;

    /// The next record, which holds the buffer by a reference count.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.records.get(self.position..).unwrap_or_default();
        let record = self.state.next(&mut rest);
        self.position = self.records.len() - rest.len();
        Some(record?.map(|record| SharedRecord::new(&self.records, &record)))
    }
}
