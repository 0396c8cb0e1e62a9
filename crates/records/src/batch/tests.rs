use bytes::Bytes;
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::batch::builder::size_upper_bound;
use crate::batch::control::{ControlType, end_transaction};
use crate::batch::header::BatchHeader;
use crate::batch::iter::{Records, WalkEnd};
use crate::batch::sealed::BatchParts;
use crate::{
    AbortedTransactions, Batch, BatchBuilder, Buffer, Compression, CompressionType, Compressor,
    Decompressor, Error, Header, Malformation, ProducerStamp, RecordSet, SealedBatch,
    TimestampType,
};

#[test]
fn records_come_back_as_they_went_in() {
    let headers = [
        Header::new("same", b"1"),
        Header { key: b"same", value: None },
        Header { key: &[0xff, 0xfe], value: Some(b"") },
    ];
    let mut builder = BatchBuilder::new(Buffer::with_capacity(256));
    let size = builder.encoded_size(at(1000), Some(b"k"), Some(b"v"), headers);
    let before = builder.size();
    assert_eq!(builder.append(at(1000), Some(b"k"), Some(b"v"), headers), Ok(0));
    assert_eq!(builder.size() - before, size);
    assert_eq!(builder.append(at(900), None, Some(b""), []), Ok(1));
    assert_eq!(builder.append(at(1200), Some(b""), None, []), Ok(2));
    let sealed = seal(builder);
    let batch = Batch::parse(sealed.stamp(None).to_bytes()).unwrap();
    assert_eq!(batch.header().unwrap().max_timestamp(), Some(at(1200)));
    let decoded = batch.decode(&mut Decompressor::default()).unwrap();
    let records: Vec<_> = decoded.iter().map(Result::unwrap).collect();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].headers().iter().collect::<Vec<_>>(), headers);
    assert_eq!(records[0].headers().last("same"), Some(headers[1]));
    assert_eq!((records[1].key(), records[1].value()), (None, Some(&b""[..])));
    assert_eq!((records[2].key(), records[2].value()), (Some(&b""[..]), None));
    let times: Vec<_> = records.iter().map(|record| record.timestamp().unwrap().millis()).collect();
    assert_eq!(times, [1000, 900, 1200]);
    let shared: Vec<_> = decoded.clone().into_records().map(Result::unwrap).collect();
    assert_eq!(shared[0].key(), Some(&b"k"[..]));
    assert_eq!(shared[0].headers().iter().collect::<Vec<_>>(), headers);
    assert_eq!(shared[2].key_bytes(), Some(Bytes::new()));
    assert_eq!(shared[2].value(), None);
    assert_eq!(shared[2].offset().get(), 2);
}

/// R6: the first copy may still be in flight when the batch is stamped for a retry.
#[test]
fn a_batch_is_stamped_again_without_touching_the_copy_in_flight() {
    let sealed = sealed(["a", "b", "c"]);
    let first = sealed.stamp(Some(stamp(7, 0, 41)));
    let sent = first.to_bytes();
    let second = sealed.stamp(Some(stamp(8, 3, 0)));
    assert_eq!(first.to_bytes(), sent);
    assert_eq!(first.body.as_ptr(), second.body.as_ptr());
    for (parts, expected) in [(first, stamp(7, 0, 41)), (second, stamp(8, 3, 0))] {
        let batch = Batch::parse(parts.to_bytes()).unwrap();
        batch.verify().unwrap();
        assert_eq!(batch.header().unwrap().producer(), Some(expected));
    }
}

#[test]
fn a_broker_moves_a_batch_without_reading_its_records() {
    let batch = Batch::parse(sealed(["a", "b"]).stamp(None).to_bytes()).unwrap();
    let mut header = *batch.header().unwrap();
    header.set_base_offset(Offset::new(100).unwrap());
    header.set_leader_epoch(LeaderEpoch::from_wire(4));
    header.set_log_append_time(at(5555));
    let moved = batch.with_header(&header);
    assert_eq!(moved.body.as_ptr(), batch.parts().body.as_ptr());
    let moved = Batch::parse(moved.to_bytes()).unwrap();
    assert_eq!(moved.header().unwrap().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(moved.next_offset().get(), 102);
    let decoded = moved.decode(&mut Decompressor::default()).unwrap();
    for (record, offset) in decoded.iter().map(Result::unwrap).zip([100, 101]) {
        assert_eq!(record.offset().get(), offset);
        assert_eq!(record.timestamp(), Some(at(5555)));
    }
}

#[test]
fn a_marker_says_how_its_transaction_ended() {
    let (producer, epoch) = (ProducerId::from_wire(9).unwrap(), ProducerEpoch::ZERO);
    for (commit, kind) in [(true, ControlType::COMMIT), (false, ControlType::ABORT)] {
        let marker = end_transaction(commit, producer, epoch, 5, at(1)).unwrap();
        let batch = Batch::parse(marker.with_header(marker.header()).to_bytes()).unwrap();
        assert!(batch.is_control() && batch.is_transactional());
        let decoded = batch.decode(&mut Decompressor::default()).unwrap();
        let control = decoded.control_record().unwrap().unwrap();
        assert_eq!((control.kind, control.coordinator_epoch), (kind, Some(5)));
    }
}

#[test]
fn a_set_that_is_cut_off_gives_its_whole_batches() {
    let one = sealed(["a"]).stamp(None).to_bytes();
    let set = [&one[..], &one[..], &one[..one.len() - 1]].concat();
    let mut batches = RecordSet::new(Bytes::from(set));
    assert_eq!(batches.by_ref().map(Result::unwrap).count(), 2);
    assert_eq!(batches.trailing_bytes(), one.len() - 1);
    assert_eq!(batches.next_offset(), Some(0));
    let ahead = data(1, 77).parts().to_bytes();
    assert_eq!(RecordSet::new(ahead.slice(..17)).next_offset(), Some(77));
    assert_eq!(RecordSet::new(ahead.slice(..16)).next_offset(), None);
    // The offset of a message that holds others is that of the last of them.
    for format in [0, 1] {
        let mut message = ahead.to_vec();
        message[16] = format;
        assert_eq!(RecordSet::new(Bytes::from(message)).next_offset(), None);
    }
}

#[test]
fn every_flipped_bit_under_the_checksum_is_found() {
    let good = sealed(["a", "bb", "ccc"]).stamp(Some(stamp(1, 2, 3))).to_bytes();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let walked = Batch::parse(Bytes::from(bytes))
            .and_then(|batch| batch.decode(&mut Decompressor::default()));
        // Base offset and leader epoch are not covered, so that brokers can set them.
        let free = bit / 8 < 8 || (12..16).contains(&(bit / 8));
        assert!(free || walked.is_err(), "bit {bit}");
    }
}

#[test]
fn a_count_that_lies_is_an_error() {
    let sealed = sealed(["a", "b", "c"]);
    let mut header = *sealed.header();
    for (count, reason) in [
        (2, Malformation::TrailingBytes),
        (4, Malformation::LastOffsetDelta),
        (-1, Malformation::RecordCount),
        (i32::MAX, Malformation::LastOffsetDelta),
    ] {
        header.record_count = count;
        let result = Batch::parse(sealed.with_header(&header).to_bytes()).and_then(|batch| {
            let decoded = batch.decode_unverified(&mut Decompressor::default())?;
            decoded.iter().try_for_each(|record| record.map(drop))
        });
        assert_eq!(result, Err(Error::Malformed { base_offset: 0, reason }), "{count}");
    }
    // Three records have room for three counts of the smallest record, and a byte.
    for (count, is_possible) in [(3, true), (4, false)] {
        header.last_offset_delta = count - 1;
        header.record_count = count;
        let batch = Batch::parse(sealed.with_header(&header).to_bytes()).unwrap();
        let result = batch.decode_unverified(&mut Decompressor::default());
        assert_eq!(result.is_ok(), is_possible, "{count}");
    }
    header.last_offset_delta = i32::MAX;
    header.record_count = i32::MAX;
    let batch = Batch::parse(sealed.with_header(&header).to_bytes()).unwrap();
    let result = batch.decode_unverified(&mut Decompressor::default());
    let reason = Malformation::RecordCount;
    assert_eq!(result.err(), Some(Error::Malformed { base_offset: 0, reason }));
}

/// R8: Redpanda lists them in any order. R11: a second marker must not harm.
#[test]
fn aborted_batches_are_hidden_whatever_the_order_of_the_list() {
    let id = |raw| ProducerId::from_wire(raw).unwrap();
    let offset = |raw| Offset::new(raw).unwrap();
    let listed = [(id(1), offset(7)), (id(2), offset(0)), (id(1), offset(2))];
    let mut aborted = AbortedTransactions::new(listed);
    let log = [
        data(2, 0),
        data(3, 1),
        data(1, 2),
        marker(1, 3),
        marker(1, 4),
        data(1, 5),
        marker(2, 6),
        data(1, 7),
        data(2, 8),
        marker(1, 9),
        data(1, 10),
    ];
    let mut decompressor = Decompressor::default();
    let mut visible = Vec::new();
    for batch in &log {
        let is_aborted = aborted.is_aborted(batch);
        if let Some(control) = batch.decode(&mut decompressor).unwrap().control_record().unwrap() {
            aborted.handle_control(batch, &control);
        } else if !is_aborted {
            visible.push(batch.last_offset().get());
        }
    }
    assert_eq!(visible, [1, 5, 8, 10]);
}

/// R3: librdkafka hid everything of the producer that came after.
#[test]
fn an_aborted_transaction_without_records_hides_nothing() {
    let id = ProducerId::from_wire(1).unwrap();
    let mut aborted = AbortedTransactions::new([(id, Offset::ZERO)]);
    let empty = marker(1, 0);
    assert!(!aborted.is_aborted(&empty));
    let decoded = empty.decode(&mut Decompressor::default()).unwrap();
    aborted.handle_control(&empty, &decoded.control_record().unwrap().unwrap());
    assert!(!aborted.is_aborted(&data(1, 1)));
}

#[test]
fn a_split_keeps_the_records_and_their_order() {
    let values: Vec<String> = (0..100).map(|i| format!("value {i}")).collect();
    let whole = sealed(values.iter().map(String::as_str));
    let parts = whole
        .split(400, Compression::NONE, &mut Compressor::new(), &mut Decompressor::default())
        .unwrap();
    assert!(parts.len() > 3 && parts.iter().all(|part| part.size() <= 400));
    assert_eq!(parts.iter().map(SealedBatch::record_count).sum::<i32>(), 100);
    let mut again = Vec::new();
    for part in &parts {
        for record in &part.decode(&mut Decompressor::default()).unwrap() {
            again.push(String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap());
        }
    }
    assert_eq!(again, values);
}

/// Each is the edge of a check; one further in would refuse what brokers write.
#[test]
fn a_header_at_the_edges_of_its_ranges_is_read_and_one_beyond_is_not() {
    let good = *sealed(["a", "b", "c"]).header();
    let check = |change: fn(&mut BatchHeader)| {
        let mut header = good;
        change(&mut header);
        BatchHeader::parse(&header.encode()).err().map(|error| {
            let Error::Malformed { reason, .. } = error else { panic!("{error}") };
            reason
        })
    };
    assert_eq!(check(|header| header.length = 49), None);
    assert_eq!(check(|header| header.length = 48), Some(Malformation::Length));
    assert_eq!(check(|header| header.base_offset = i64::MAX - 3), None);
    assert_eq!(check(|header| header.base_offset = i64::MAX - 2), Some(Malformation::Offset));
    assert_eq!(check(|header| header.base_offset = -1), Some(Malformation::Offset));
    assert_eq!(check(|header| header.record_count = 0), None);
    assert_eq!(check(|header| header.last_offset_delta = 1), Some(Malformation::LastOffsetDelta));
    let empty = |header: &mut BatchHeader| (header.record_count, header.last_offset_delta) = (0, 0);
    assert_eq!(check(empty), None);
    let before =
        |header: &mut BatchHeader| (header.record_count, header.last_offset_delta) = (0, -1);
    assert_eq!(check(before), Some(Malformation::LastOffsetDelta));
}

#[test]
fn a_header_tells_what_it_was_given() {
    let mut builder = BatchBuilder::new(Buffer::default());
    assert!(builder.is_empty());
    builder.append(at(70), None, Some(b"a"), []).unwrap();
    builder.append(at(90), None, Some(b"b"), []).unwrap();
    assert_eq!((builder.is_empty(), builder.record_count()), (false, 2));
    let sealed = seal(builder);
    assert_eq!((sealed.record_count(), sealed.max_timestamp()), (2, Some(at(90))));
    let mut header = *sealed.header();
    assert_eq!((header.leader_epoch(), header.producer_id()), (None, None));
    assert_eq!((header.base_timestamp(), header.delete_horizon()), (Some(at(70)), None));
    header.attributes |= 1 << 6;
    assert_eq!(header.delete_horizon(), Some(at(70)));
    header.set_leader_epoch(LeaderEpoch::from_wire(3));
    header.set_producer(Some(ProducerStamp { transactional: false, ..stamp(5, 1, 9) }));
    assert_eq!(header.leader_epoch(), LeaderEpoch::from_wire(3));
    assert_eq!(header.producer_id(), ProducerId::from_wire(5));
    assert!(!header.is_transactional() && !header.is_control());
    header.set_producer(Some(stamp(5, 1, 9)));
    assert!(header.is_transactional());
    header.set_producer(None);
    assert_eq!((header.is_transactional(), header.producer()), (false, None));
    assert_eq!((header.record_count(), header.last_offset_delta()), (2, 1));
}

#[test]
fn a_batch_has_the_size_that_it_says() {
    let sealed = sealed(["a", "bb", "ccc"]);
    let parts = sealed.stamp(None);
    let bytes = parts.to_bytes();
    assert_eq!((parts.len(), sealed.size(), sealed.uncompressed_size()), (bytes.len(), 88, 88));
    assert_eq!((bytes.len(), sealed.header().batch_bytes(), parts.is_empty()), (88, 88, false));
    let batch = Batch::parse(bytes.clone()).unwrap();
    assert_eq!((batch.size(), batch.bytes(), batch.magic()), (88, &bytes, 2));
    assert!(!batch.is_transactional() && !batch.is_control());
    assert_eq!((batch.producer_id(), batch.last_offset().get()), (None, 2));
    let stamped = Batch::parse(sealed.stamp(Some(stamp(4, 0, 0))).to_bytes()).unwrap();
    assert!(stamped.is_transactional() && !stamped.is_control());
    assert_eq!(stamped.producer_id(), ProducerId::from_wire(4));
    assert_eq!(batch.header().unwrap().checksum(), sealed.header().checksum());
    assert_eq!(batch.compression(), Ok(CompressionType::None));
    let decoded = batch.decode(&mut Decompressor::default()).unwrap();
    assert_eq!((decoded.record_count(), decoded.records_bytes()), (Some(3), 27));
    assert_eq!(decoded.control_record(), Ok(None));
    let mut short = bytes.to_vec();
    short.push(0);
    let error = Batch::parse(short.into()).unwrap_err();
    assert_eq!(error, Error::Malformed { base_offset: 0, reason: Malformation::Length });
}

/// What compression does not make smaller is sent as it is; what it does, with the size that it had before.
#[test]
fn a_batch_is_compressed_where_that_makes_it_smaller() {
    let seal = |value: &[u8]| {
        let mut builder = BatchBuilder::new(Buffer::default());
        builder.append(at(0), None, Some(value), []).unwrap();
        builder.seal(Compression::new(CompressionType::Lz4), &mut Compressor::new()).unwrap()
    };
    let (small, large) = (seal(b"noise"), seal(&[7; 1000]));
    assert_eq!(small.header().compression(), Ok(CompressionType::None));
    assert_eq!(large.header().compression(), Ok(CompressionType::Lz4));
    assert_eq!(small.size(), small.uncompressed_size());
    assert_eq!(large.uncompressed_size(), 61 + 1000 + 9);
    assert!(large.size() < 150, "{}", large.size());
}

/// Brokers and tools read these without the records, and without a decompressor.
#[test]
fn a_compressed_batch_tells_its_codec_and_checksum() {
    for kind in CompressionType::ALL {
        let mut builder = BatchBuilder::new(Buffer::default());
        builder.append(at(0), None, Some(&[7; 1000]), []).unwrap();
        let sealed = builder.seal(Compression::new(kind), &mut Compressor::new()).unwrap();
        let parts = sealed.stamp(None);
        let bytes = parts.to_bytes();
        let batch = Batch::parse(bytes.clone()).unwrap();
        assert_eq!(batch.compression(), Ok(kind));
        let stored = u32::from_be_bytes(*bytes[17..].first_chunk().unwrap());
        let header = batch.header().unwrap();
        assert_eq!((header.checksum(), header.compression()), (stored, Ok(kind)));
        assert_eq!(stored, crate::crc::crc32c(&bytes[21..]));
        assert!(!BatchParts { body: Bytes::new(), ..parts }.is_empty(), "a header is something");
    }
    let nothing = BatchParts { head: Bytes::new(), body: Bytes::new() };
    assert_eq!((nothing.len(), nothing.is_empty()), (0, true));
}

/// `max.request.size` is held against this, as Java's producer does; told by `DefaultRecordBatch`.
#[test]
fn the_upper_bound_of_a_size_is_java_s() {
    let none: [Header<'_>; 0] = [];
    assert_eq!(size_upper_bound(None, None, none), 61 + 21 + 1 + 1 + 1);
    assert_eq!(size_upper_bound(Some(b"key"), Some(&[0; 100]), none), 61 + 21 + 4 + 102 + 1);
    let headers = [Header::new("a", b"1"), Header { key: b"bb", value: None }];
    assert_eq!(size_upper_bound(None, None, headers), 61 + 21 + 1 + 1 + 1 + 4 + 4);
}

#[test]
fn a_builder_makes_room_once_and_starts_empty() {
    let builder = BatchBuilder::new(Buffer::from(vec![1, 2, 3]));
    assert_eq!((builder.size(), builder.record_count()), (61, 0));
    assert!(BatchBuilder::new(Buffer::with_capacity(1000)).capacity() >= 1000);
    let error =
        BatchBuilder::new(Buffer::default()).seal(Compression::NONE, &mut Compressor::new());
    assert_eq!(error.err(), Some(Error::BatchEmpty));
}

/// A consumer walks ahead, and hands out later.
#[test]
fn a_walk_counts_from_an_offset_up_to_a_number_and_can_be_gone_back() {
    let whole = moved(sealed(["a", "b", "c", "d", "e"]), None, 10);
    let mut records = whole.decode(&mut Decompressor::default()).unwrap().into_records();
    let offset = |raw| Offset::new(raw).unwrap();
    assert_eq!(records.iter().size_hint(), (0, Some(6)));
    let start = records.mark();
    let walk = records.walk(offset(11), 2);
    assert_eq!((walk.count, walk.last), (2, Some(offset(12))));
    assert!(matches!(walk.end, WalkEnd::Full));
    let values = |records: &Records| -> Vec<Vec<u8>> {
        records.iter().map(|record| record.unwrap().value().unwrap().to_vec()).collect()
    };
    assert_eq!(values(&records), [b"d", b"e"]);
    let walk = records.walk(Offset::ZERO, 5);
    assert_eq!((walk.count, walk.last), (2, Some(offset(14))));
    assert!(matches!(walk.end, WalkEnd::Finished));
    assert!(records.next().is_none());
    records.rewind(start);
    let first = records.next().unwrap().unwrap();
    assert_eq!((first.offset(), first.value()), (offset(10), Some(&b"a"[..])));
    assert_eq!(values(&records).len(), 4);
    let walk = records.walk(Offset::ZERO, 0);
    assert_eq!((walk.count, walk.last), (0, None));
    assert_eq!(values(&records).len(), 4);
}

#[test]
fn a_walk_ends_at_bytes_that_are_no_record() {
    let sealed = sealed(["a", "b"]);
    let mut header = *sealed.header();
    header.record_count = 1;
    let batch = Batch::parse(sealed.with_header(&header).to_bytes()).unwrap();
    let decoded = batch.decode_unverified(&mut Decompressor::default()).unwrap();
    let mut records = decoded.into_records();
    let walk = records.walk(Offset::ZERO, 10);
    assert_eq!(walk.count, 1);
    let WalkEnd::Failed(error) = walk.end else { panic!("{:?}", walk.end) };
    assert_eq!(error, Error::Malformed { base_offset: 0, reason: Malformation::TrailingBytes });
    assert!(records.next().is_none());
}

/// Offsets within a batch rise, and none is beyond the last that the header names.
#[test]
fn records_out_of_order_are_an_error() {
    let sealed = sealed(["a", "b", "c"]);
    // Each record takes 8 bytes here, and its offset is the fourth of them.
    for (offset_of_second, is_fine) in [(0, false), (1, true), (2, false), (3, false)] {
        let mut bytes = sealed.stamp(None).to_bytes().to_vec();
        bytes[61 + 8 + 3] = offset_of_second * 2;
        let batch = Batch::parse(bytes.into()).unwrap();
        let decoded = batch.decode_unverified(&mut Decompressor::default()).unwrap();
        let walked: Result<Vec<_>, _> = decoded.iter().collect();
        assert_eq!(walked.is_ok(), is_fine, "{offset_of_second}");
    }
}

/// Kept records share the batch's buffer, and say the same as borrowed ones.
#[test]
fn a_record_that_is_kept_says_the_same() {
    let headers = [Header::new("a", b"1"), Header { key: b"b", value: None }];
    let mut builder = BatchBuilder::new(Buffer::default());
    builder.append(at(7), None, Some(b"first"), []).unwrap();
    builder.append(at(9), Some(b"key"), Some(b""), headers).unwrap();
    let batch = Batch::parse(seal(builder).stamp(None).to_bytes()).unwrap();
    let decoded = batch.decode(&mut Decompressor::default()).unwrap();
    let borrowed = (&decoded).into_iter().nth(1).unwrap().unwrap();
    let kept = decoded.share(&borrowed);
    assert_eq!((kept.offset().get(), kept.timestamp()), (1, Some(at(9))));
    assert_eq!((kept.key(), kept.value()), (Some(&b"key"[..]), Some(&b""[..])));
    assert_eq!(kept.key_bytes(), Some(Bytes::from_static(b"key")));
    assert_eq!(kept.value_bytes(), Some(Bytes::new()));
    let again = kept.borrowed();
    assert_eq!((again.offset(), again.timestamp()), (borrowed.offset(), borrowed.timestamp()));
    assert_eq!((again.key(), again.value()), (borrowed.key(), borrowed.value()));
    let mut walk = again.headers().into_iter();
    assert_eq!((again.headers().len(), again.headers().is_empty(), walk.len()), (2, false, 2));
    assert_eq!((walk.next(), walk.len()), (Some(headers[0]), 1));
    assert_eq!((walk.next(), walk.next(), walk.len()), (Some(headers[1]), None, 0));
    assert_eq!((again.headers().last("b"), again.headers().last("c")), (Some(headers[1]), None));
    let first = decoded.iter().next().unwrap().unwrap();
    let kept = decoded.share(&first);
    assert_eq!((kept.key(), kept.key_bytes(), kept.headers().is_empty()), (None, None, true));
    assert_eq!(kept.value_bytes(), Some(Bytes::from_static(b"first")));
}

/// Compaction may have removed the marker's record; other control records name no coordinator.
#[test]
fn control_records_of_other_kinds_have_no_coordinator_epoch() {
    let record = |key: &'static [u8], value: Option<&'static [u8]>| {
        let mut builder = BatchBuilder::new(Buffer::default());
        builder.append(at(0), Some(key), value, []).unwrap();
        let mut sealed = seal(builder);
        sealed.make_control(ProducerStamp { base_sequence: None, ..stamp(1, 0, 0) });
        let batch = Batch::parse(sealed.with_header(sealed.header()).to_bytes()).unwrap();
        batch.decode(&mut Decompressor::default()).unwrap().control_record()
    };
    let change = record(&[0, 0, 0, 2], None).unwrap().unwrap();
    assert_eq!((change.kind, change.coordinator_epoch), (ControlType::LEADER_CHANGE, None));
    assert_eq!((change.kind.get(), ControlType::new(2)), (2, change.kind));
    let malformed = Error::Malformed { base_offset: 0, reason: Malformation::ControlRecord };
    assert_eq!(record(&[0, 0, 0], None), Err(malformed));
    assert_eq!(record(&[0, 0, 0, 1], None), Err(malformed));
    assert_eq!(record(&[0, 0, 0, 1], Some(&[0, 0, 0, 0, 1])), Err(malformed));
}

/// A batch is cut at the last record that fits, not at the first that is one byte short.
#[test]
fn a_split_fills_its_parts_to_the_byte() {
    let whole = sealed(["a", "b", "c", "d"]);
    let record_bytes = (whole.size() - 61) / 4;
    let counts = |batch_bytes| -> Vec<i32> {
        let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::default());
        let parts = whole.split(batch_bytes, Compression::NONE, &mut compressor, &mut decompressor);
        parts.unwrap().iter().map(SealedBatch::record_count).collect()
    };
    assert_eq!(counts(61 + 2 * record_bytes), [2, 2]);
    assert_eq!(counts(61 + 2 * record_bytes - 1), [1, 1, 1, 1]);
    assert_eq!(counts(61 + 3 * record_bytes), [3, 1]);
    assert_eq!(counts(0), [1, 1, 1, 1]);
}

/// Whoever reads the error finds the place by it.
#[test]
fn what_is_cut_off_is_named_by_its_offset_where_it_has_one() {
    let whole = data(1, 77).parts().to_bytes();
    for (bytes, base_offset) in [(0, -1), (7, -1), (8, 77), (17, 77), (whole.len() - 1, 77)] {
        let error = Error::Malformed { base_offset, reason: Malformation::Length };
        assert_eq!(Batch::parse(whole.slice(..bytes)).err(), Some(error), "{bytes} bytes");
    }
}

fn data(producer: i64, offset: i64) -> Batch {
    moved(sealed(["x"]), Some(stamp(producer, 0, 0)), offset)
}

fn marker(producer: i64, offset: i64) -> Batch {
    let id = ProducerId::from_wire(producer).unwrap();
    let marker = end_transaction(false, id, ProducerEpoch::ZERO, 0, at(0)).unwrap();
    moved(marker, None, offset)
}

fn moved(sealed: SealedBatch, stamp: Option<ProducerStamp>, offset: i64) -> Batch {
    let mut header = *sealed.header();
    if stamp.is_some() {
        header.set_producer(stamp);
    }
    header.set_base_offset(Offset::new(offset).unwrap());
    Batch::parse(sealed.with_header(&header).to_bytes()).unwrap()
}

fn stamp(producer: i64, epoch: i16, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        producer_id: ProducerId::from_wire(producer).unwrap(),
        producer_epoch: ProducerEpoch::from_wire(epoch).unwrap(),
        base_sequence: Sequence::from_wire(sequence),
        transactional: true,
    }
}

fn sealed<'v>(values: impl IntoIterator<Item = &'v str>) -> SealedBatch {
    let mut builder = BatchBuilder::new(Buffer::default());
    for value in values {
        builder.append(at(0), None, Some(value.as_bytes()), []).unwrap();
    }
    seal(builder)
}

fn seal(builder: BatchBuilder) -> SealedBatch {
    builder.seal(Compression::NONE, &mut Compressor::new()).unwrap()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}
