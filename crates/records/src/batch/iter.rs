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

    #[inline]
    fn advance(&mut self) -> Result<Option<Record<'a>>, Malformation> {
        match &mut self.state.layout {
            Layout::V2 { base_timestamp, left, previous_delta, last_delta } => {
                if *left <= 0 {
                    return if self.rest.is_empty() {
                        Ok(None)
                    } else {
                        Err(Malformation::TrailingBytes)
                    };
                }
                let length = varint::take_int(&mut self.rest).ok_or(Malformation::Varint)?;
                let length = usize::try_from(length).map_err(|_| Malformation::RecordLength)?;
                let (fields, rest) =
                    self.rest.split_at_checked(length).ok_or(Malformation::RecordLength)?;
                self.rest = rest;
                let (record, delta) =
                    Record::parse(fields, self.state.base_offset, *base_timestamp)?;
                if delta <= *previous_delta || delta > *last_delta {
                    return Err(Malformation::OffsetOrder);
                }
                *previous_delta = delta;
                *left -= 1;
                Ok(Some(record))
            }
            Layout::Legacy { magic, offset_shift, previous } => {
                if self.rest.is_empty() {
                    return Ok(None);
                }
                let record = legacy::take_record(&mut self.rest, *magic, *offset_shift)?;
                if record.offset.get() <= *previous {
                    return Err(Malformation::OffsetOrder);
                }
                *previous = record.offset.get();
                Ok(Some(record))
            }
        }
    }

    /// Leaves nothing to be walked.
    #[cold]
    fn stop(&mut self) {
        self.rest = &[];
        if let Layout::V2 { left, .. } = &mut self.state.layout {
            *left = 0;
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<Record<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(record) => {
                let mut record = record?;
                if let Some(appended) = self.state.append_time {
                    record.timestamp = appended;
                }
                Some(Ok(record))
            }
            Err(reason) => {
                self.stop();
                Some(Err(self.state.malformed(reason)))
            }
        }
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

    /// The next record, borrowed: costs no reference count.
    pub fn next_borrowed(&mut self) -> Option<Result<Record<'_>, Error>> {
        let rest = self.records.get(self.position..).unwrap_or_default();
        let mut iter = Iter::new(rest, self.state);
        let record = iter.next();
        self.position = self.records.len() - iter.rest.len();
        self.state = iter.state;
        record
    }
}

impl Iterator for Records {
    type Item = Result<SharedRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // The reference count is the price of a record that outlives the walk; the borrow must end before it is taken.
        let rest = self.records.get(self.position..).unwrap_or_default();
        let mut iter = Iter::new(rest, self.state);
        let record = iter.next();
        self.position = self.records.len() - iter.rest.len();
        self.state = iter.state;
        Some(record?.map(|record| SharedRecord::new(&self.records, &record)))
    }
}
