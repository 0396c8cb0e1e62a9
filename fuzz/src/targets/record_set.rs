//! Input: a byte whose lowest bit says whether checksums are put right first, then a record set.

use bytes::Bytes;
use milena_records::{
    Batch, BatchBuilder, Buffer, Compression, Compressor, DecodedBatch, Decompressor, Error,
    Header, RecordSet,
};
use milena_types::Timestamp;

use crate::memory;

/// The walk ends; records borrowed and shared are the same; and what was read can be built again.
pub(crate) fn run(data: &[u8]) {
    let Some((flags, set)) = data.split_first() else { return };
    let mut bytes = set.to_vec();
    if flags & 1 == 1 {
        correct(&mut bytes);
    }
    let bytes = Bytes::from(bytes);
    let mut decompressor = Decompressor::default();
    let mut walked = 0;
    let mut decoded_bytes = 0;
    let mut batches = RecordSet::new(bytes.clone());
    while let Some(batch) = batches.next() {
        let Ok(batch) = batch else { break };
        assert!(batch.size() > 0, "a batch of no bytes would be walked for ever");
        walked += batch.size();
        assert_eq!(walked + batches.trailing_bytes(), bytes.len(), "bytes went astray");
        if decoded_bytes > DECODED_BYTES_MAX {
            // A bomb a batch makes a slow input, not a wrong one.
            break;
        }
        let decoded = memory::within(MEMORY_BYTES_MAX, || batch.decode(&mut decompressor));
        if let Ok(decoded) = decoded {
            decoded_bytes += decoded.records_bytes();
            records(&batch, decoded);
        }
    }
    assert!(batches.next().is_none(), "nothing follows the end");
}

/// Walks the records in both ways, and builds the batch again.
fn records(batch: &Batch, decoded: DecodedBatch) {
    _ = decoded.control_record();
    let mut count = 0;
    let mut whole = true;
    for record in &decoded {
        let Ok(record) = record else {
            whole = false;
            break;
        };
        count += 1;
        if count <= COMPARED_RECORDS_MAX {
            let shared = decoded.share(&record);
            assert_eq!(shared.offset(), record.offset());
            assert_eq!(shared.timestamp(), record.timestamp());
            assert_eq!((shared.key(), shared.value()), (record.key(), record.value()));
            assert_eq!(shared.headers().iter().count(), record.headers().len());
            assert!(shared.headers().iter().eq(record.headers().iter()));
        }
    }
    if let (true, Some(announced)) = (whole, decoded.record_count()) {
        assert_eq!(count, usize::try_from(announced).unwrap_or(0), "records announced");
    }
    if whole && (1..=COMPARED_RECORDS_MAX).contains(&count) {
        rebuild(&decoded);
    }
    if count <= COMPARED_RECORDS_MAX {
        let mut kept = decoded.clone().into_records();
        assert_eq!(kept.by_ref().take_while(Result::is_ok).count(), count, "records kept");
        assert!(kept.next().is_none(), "nothing follows the end");
    }
    let parts = batch.parts();
    assert_eq!(parts.len(), batch.size(), "parts are the whole");
}

/// What was read, sent on by a producer, reads the same but for offsets.
fn rebuild(decoded: &DecodedBatch) {
    let mut builder = BatchBuilder::new(Buffer::with_capacity(0));
    for record in decoded.iter().flatten() {
        let timestamp = record.timestamp().unwrap_or(NO_TIMESTAMP);
        let headers = record.headers();
        let size = builder.encoded_size(timestamp, record.key(), record.value(), headers);
        let before = builder.size();
        let appended = builder.append(timestamp, record.key(), record.value(), headers);
        appended.unwrap_or_else(|e| panic!("cannot be appended: {e}"));
        assert_eq!(builder.size(), before + size, "bytes that a record takes");
    }
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new());
    let sealed = sealed.unwrap_or_else(|e| panic!("cannot be sealed: {e}"));
    let batch = Batch::parse(sealed.stamp(None).to_bytes());
    let batch = batch.unwrap_or_else(|e| panic!("a batch of ours: {e}"));
    let again = batch.decode(&mut Decompressor::default());
    let again = again.unwrap_or_else(|e| panic!("a batch of ours: {e}"));
    let mut records = again.iter();
    for record in decoded.iter().flatten() {
        let Some(Ok(same)) = records.next() else { panic!("a record of ours is lost") };
        assert_eq!(same.timestamp(), record.timestamp(), "timestamp");
        assert_eq!((same.key(), same.value()), (record.key(), record.value()), "key and value");
        let same: Vec<Header<'_>> = same.headers().iter().collect();
        assert!(same.into_iter().eq(record.headers().iter()), "headers");
    }
    assert!(records.next().is_none(), "a record more than were appended");
}

/// Puts right the checksum of every batch that can be found, so that what lies behind it is read.
fn correct(bytes: &mut [u8]) {
    let mut start = 0;
    for batch in RecordSet::new(Bytes::copy_from_slice(bytes)) {
        let Ok(batch) = batch else { break };
        if let Err(Error::Checksum { computed, .. }) = batch.verify() {
            let at = start + if batch.magic() == 2 { CRC_AT } else { LEGACY_CRC_AT };
            if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
                *place = computed.to_be_bytes();
            }
        }
        start += batch.size();
    }
}

const CRC_AT: usize = 17;
const LEGACY_CRC_AT: usize = 12;

/// What a batch may hold at the default limit of 64 MiB: the buffer doubles, and a codec has its context.
const MEMORY_BYTES_MAX: usize = (2 * 64 + 8) << 20;

/// As much of one input is decoded as one batch may be.
const DECODED_BYTES_MAX: usize = 64 << 20;

/// Above this, comparing takes longer than finding the next input.
const COMPARED_RECORDS_MAX: usize = 1000;

/// How the format says that there is none.
const NO_TIMESTAMP: Timestamp = Timestamp::from_millis(-1);
