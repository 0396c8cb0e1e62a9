//! Segments, reckoned: a log has no files here, so that a segment begins where Kafka would have begun a file.

use milena_types::{Offset, Timestamp};

use super::log::Log;

/// What a topic's configuration says of segments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentConfig {
    /// `segment.bytes`.
    pub(crate) bytes: u64,
    /// `segment.ms`: how much later than its first batch a segment takes another.
    pub(crate) ms: i64,
}

/// Batches that Kafka would have in one file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Segment {
    pub(super) base_offset: Offset,
    /// That of its newest batch.
    pub(super) last_offset: Offset,
    /// `None` where no record of it has a time.
    pub(super) max_timestamp: Option<Timestamp>,
}

impl Log {
    /// The segments, oldest first; the last is the active one.
    pub(super) fn segments(&self, config: SegmentConfig) -> impl Iterator<Item = Segment> {
        let mut batches = self.batches.iter().peekable();
        std::iter::from_fn(move || {
            let first = batches.next()?;
            let mut bytes = first.bytes() as u64;
            let mut since = first.max_timestamp();
            let mut segment = Segment {
                base_offset: first.base_offset(),
                last_offset: first.last_offset(),
                max_timestamp: since,
            };
            while let Some(batch) = batches.next_if(|batch| {
                let later = batch.max_timestamp().zip(since);
                let age = later.map_or(0, |(at, since)| at.millis().saturating_sub(since.millis()));
                bytes + batch.bytes() as u64 <= config.bytes && age <= config.ms
            }) {
                bytes += batch.bytes() as u64;
                since = since.or(batch.max_timestamp());
                segment.last_offset = batch.last_offset();
                segment.max_timestamp = segment.max_timestamp.max(batch.max_timestamp());
            }
            Some(segment)
        })
    }
}
