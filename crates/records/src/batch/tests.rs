use bytes::Bytes;
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::batch::control::{ControlType, end_transaction};
use crate::{
    AbortedTransactions, Batch, BatchBuilder, Buffer, Compression, Compressor, Decompressor, Error,
    Header, Malformation, ProducerStamp, RecordSet, SealedBatch, TimestampType,
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
