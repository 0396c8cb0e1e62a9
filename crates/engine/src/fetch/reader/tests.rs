use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_records::{
    BatchBuilder, Buffer, Compression, CompressionType, Compressor, ProducerStamp,
};
use milena_types::{LeaderEpoch, NodeId, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::*;
use crate::fetch::Which;
use crate::fetch::budget::Room;
use crate::fetch::buffer::AbortedTransaction;
use crate::subscription::Revision;

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn at(raw: i64) -> Position {
    Position::new(Offset::new(raw).unwrap(), None)
}

/// A batch of `count` records from `base` on; compaction may have taken the last ones.
fn batch(base: i64, count: i64, span: i32) -> Vec<u8> {
    batch_of(None, base, count, span)
}

fn batch_of(producer: Option<ProducerStamp>, base: i64, count: i64, span: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Buffer::with_capacity(256));
    for offset in base..base + count {
        let value = offset.to_string();
        let time = Timestamp::from_millis(offset);
        builder.append(time, None, Some(value.as_bytes()), []).unwrap();
    }
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
    let mut header = *sealed.header();
    header.set_base_offset(Offset::new(base).unwrap());
    header.set_producer(producer);
    let mut bytes = sealed.with_header(&header).to_bytes().to_vec();
    bytes[23..27].copy_from_slice(&(span - 1).to_be_bytes());
    bytes
}

struct Fixture {
    buffer: Arc<FetchBuffer>,
    reader: Reader,
    revision: Revision,
}

impl Fixture {
    fn checking() -> Self {
        let fixture = Self::new(100);
        let reader = Reader::new(Arc::clone(&fixture.buffer), 100, true, Limits::default());
        Self { reader, ..fixture }
    }

    fn new(records_max: usize) -> Self {
        let buffer = Arc::new(FetchBuffer::default());
        let revision = Revision::START;
        buffer.assign(tp(), revision);
        buffer.place(&tp(), revision, Some(at(0)));
        // The batches here are cut by hand, so that their checksums are stale.
        let reader = Reader::new(Arc::clone(&buffer), records_max, false, Limits::default());
        Self { buffer, reader, revision }
    }

    fn push(&self, bytes: Vec<u8>) {
        self.push_beside(None, bytes);
    }

    fn push_beside(&self, aborted: Option<Vec<AbortedTransaction>>, bytes: Vec<u8>) {
        let lease = self.buffer.held(NodeId::new(1)).lease(bytes.len());
        let records = lease.part(Bytes::from(bytes));
        let (partition, revision, broker) = (tp(), self.revision, NodeId::new(1));
        let progress = None;
        let fetch = CompletedFetch { partition, revision, broker, records, aborted, progress };
        self.buffer.push(vec![fetch]);
    }

    fn poll(&mut self) -> Vec<i64> {
        let mut polled = Polled::new();
        self.reader.poll(&mut polled).unwrap();
        polled
            .chunks()
            .iter()
            .flat_map(|chunk| chunk.iter().map(|one| one.offset().get()))
            .collect()
    }

    fn one(&mut self) -> Option<i64> {
        self.reader.poll_one().unwrap().map(|(_, record, _)| record.offset().get())
    }

    fn held(&self) -> usize {
        self.buffer.held(NodeId::new(1)).bytes()
    }

    fn position(&self) -> i64 {
        self.buffer.position(&tp()).unwrap().offset.get()
    }
}

/// The epoch of a committed offset is that of the record before it: a later one hides from the leader that the log was cut
/// between the two.
#[test]
fn what_is_done_with_carries_the_epoch_of_its_own_batch() {
    let of_epoch = |epoch: i32, mut bytes: Vec<u8>| {
        bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
        bytes
    };
    let mut fixture = Fixture::new(10);
    fixture.push([of_epoch(3, batch(0, 1, 1)), of_epoch(4, batch(1, 2, 2))].concat());
    assert_eq!((fixture.one(), fixture.one()), (Some(0), Some(1)));
    let done = |fixture: &Fixture| fixture.buffer.offsets(Which::Returned)[&tp()];
    let place = |offset, epoch| Position::new(at(offset).offset, LeaderEpoch::from_wire(epoch));
    assert_eq!(done(&fixture), place(1, 3), "the record at 1 is in hand");
    assert_eq!(fixture.one(), Some(2));
    assert_eq!(done(&fixture), place(2, 4));
}

/// What the user commits he is done with; the rest of what is in his hand he is not.
#[test]
fn what_is_committed_is_done_with() {
    let mut fixture = Fixture::new(10);
    fixture.push(batch(0, 5, 5));
    assert_eq!(fixture.poll().len(), 5);
    let done = |fixture: &Fixture| fixture.buffer.offsets(Which::Returned)[&tp()].offset.get();
    assert_eq!(done(&fixture), 0);
    for (committed, expected) in [(3, 3), (2, 3), (9, 3), (5, 5)] {
        let end = crate::commit::CommittedOffset::new(at(committed).offset);
        fixture.buffer.return_to(&[(tp(), end)].into());
        assert_eq!(done(&fixture), expected);
    }
}

/// The position would move back behind what was handed out, and the rest come twice.
#[test]
fn a_wrapper_below_its_inner_offsets_does_not_move_the_position_back() {
    let message = |offset: i64, attributes: u8, value: &[u8]| {
        let mut bytes = offset.to_be_bytes().to_vec();
        bytes.extend((14 + value.len() as i32).to_be_bytes());
        // No checksum, format 0, no key.
        bytes.extend([0, 0, 0, 0, 0, attributes, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend((value.len() as i32).to_be_bytes());
        bytes.extend(value);
        bytes
    };
    let inner: Vec<u8> = (0..4).flat_map(|offset| message(offset, 0, b"v")).collect();
    let mut packed = Vec::new();
    let gzip = CompressionType::Gzip;
    Compressor::new().compress(Compression::new(gzip), &inner, &mut packed).unwrap();
    let mut fixture = Fixture::new(10);
    fixture.push(message(1, gzip.id(), &packed));
    assert_eq!(fixture.poll(), [0, 1, 2, 3]);
    assert_eq!(fixture.position(), 4);
}

/// Trap 25: the position goes behind what the batch spans, not behind the last record that is left of it.
#[test]
fn a_compacted_tail_is_passed_over() {
    let mut fixture = Fixture::new(100);
    fixture.push([batch(0, 2, 10), batch(10, 1, 1)].concat());
    assert_eq!(fixture.poll(), [0, 1, 10]);
    assert_eq!(fixture.position(), 11);
    fixture.push(batch(11, 3, 50));
    assert_eq!(fixture.poll(), [11, 12, 13]);
    assert_eq!(fixture.position(), 61);
}

#[test]
fn records_below_the_position_are_not_handed_out() {
    let mut fixture = Fixture::new(100);
    fixture.buffer.place(&tp(), fixture.revision, Some(at(3)));
    fixture.push([batch(0, 2, 2), batch(2, 3, 3)].concat());
    assert_eq!(fixture.poll(), [3, 4]);
}

#[test]
fn a_limit_inside_a_batch_is_kept_and_gone_on_from() {
    let mut fixture = Fixture::new(4);
    fixture.push([batch(0, 6, 6), batch(6, 3, 3)].concat());
    assert_eq!(fixture.poll(), [0, 1, 2, 3]);
    assert_eq!(fixture.position(), 4);
    assert_eq!(fixture.poll(), [4, 5, 6, 7]);
    assert_eq!(fixture.poll(), [8]);
    assert_eq!(fixture.held(), 0, "read bytes no longer count");
}

/// Another reader takes over where the first one stopped.
#[test]
fn what_is_put_back_is_read_by_the_next_reader() {
    let mut fixture = Fixture::new(2);
    fixture.push(batch(0, 6, 6));
    assert_eq!(fixture.poll(), [0, 1]);
    fixture.reader.put_back();
    let mut next = Reader::new(Arc::clone(&fixture.buffer), 2, false, Limits::default());
    next.set_records_max(3);
    let mut polled = Polled::new();
    next.poll(&mut polled).unwrap();
    assert_eq!((polled.len(), polled.is_empty(), fixture.position()), (3, false, 5));
    assert_eq!((polled.chunks()[0].len(), polled.chunks()[0].is_empty()), (3, false));
    next.poll(&mut polled).unwrap();
    assert_eq!(polled.len(), 1);
    next.poll(&mut polled).unwrap();
    assert!(polled.is_empty());
}

/// R22: the revocation comes between two polls, while the reader holds half a batch.
#[test]
fn what_the_reader_holds_of_a_revoked_partition_is_dropped() {
    let mut fixture = Fixture::new(2);
    fixture.push(batch(0, 6, 6));
    assert_eq!(fixture.poll(), [0, 1]);
    fixture.buffer.hold(&[tp()]);
    assert_eq!(fixture.poll(), [0_i64; 0]);
    assert_eq!(fixture.held(), 0);
}

/// The driver waits for room that only a paused partition holds: it must hear when it can take that room back.
#[test]
fn a_paused_fetch_that_the_reader_puts_back_stirs_a_hungry_driver() {
    let mut fixture = Fixture::new(2);
    fixture.push(batch(0, 4, 4));
    assert_eq!(fixture.poll(), [0, 1]);
    fixture.buffer.pause(&tp(), true);
    assert!(fixture.buffer.evict(NodeId::new(1), 0, |_| true).is_empty(), "the reader has it");
    let full = Room { held_max: 0, brokers: 1 };
    assert!(!fixture.buffer.has_room(NodeId::new(1), full));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(fixture.buffer.poll_stirred(&mut cx).is_pending());
    assert!(fixture.poll().is_empty());
    assert!(fixture.buffer.poll_stirred(&mut cx).is_ready());
    assert_eq!(fixture.buffer.evict(NodeId::new(1), 0, |_| true), [tp()]);
}

#[test]
fn what_the_reader_holds_of_a_paused_partition_comes_after_the_pause() {
    let mut fixture = Fixture::new(2);
    fixture.push(batch(0, 5, 5));
    assert_eq!(fixture.poll(), [0, 1]);
    fixture.buffer.pause(&tp(), true);
    assert_eq!(fixture.poll(), [0_i64; 0]);
    fixture.buffer.pause(&tp(), false);
    assert_eq!(fixture.poll(), [2, 3]);
    assert_eq!(fixture.poll(), [4]);
}

/// What lies behind damage in the buffer must not be handed out in its place.
#[test]
fn nothing_behind_damaged_bytes_is_handed_out() {
    let mut fixture = Fixture::new(100);
    let mut damaged = batch(3, 3, 3);
    damaged[16] = 9;
    fixture.push([batch(0, 3, 3), damaged].concat());
    fixture.push(batch(6, 3, 3));
    assert_eq!(fixture.poll(), [0, 1, 2]);
    assert_eq!(fixture.poll(), [0_i64; 0]);
    assert_eq!(fixture.buffer.take_rejected(), [(tp(), fixture.revision)]);
    let next = fixture.revision.next();
    fixture.buffer.restart(&tp(), next);
    assert_eq!((fixture.position(), fixture.held()), (3, 0));
}

/// What the header says must not count before the checksum does: one bit makes records a marker, or those of another
/// producer, who aborted. Both would be passed over without a word.
///
/// Base offset, length and leader epoch, which lie before the magic byte, are covered by no checksum and are not meant.
#[test]
fn a_flipped_bit_from_the_magic_byte_on_hides_no_record() {
    let producer = ProducerStamp {
        producer_id: ProducerId::from_wire(0).unwrap(),
        producer_epoch: ProducerEpoch::ZERO,
        base_sequence: Some(Sequence::ZERO),
        transactional: true,
    };
    // Whose ids are a bit away.
    let aborted = || {
        let of = |bit| AbortedTransaction {
            producer_id: ProducerId::from_wire(1_i64 << bit).unwrap(),
            first_offset: Offset::ZERO,
        };
        (0..40_u32).map(of).collect()
    };
    let bytes = batch_of(Some(producer), 0, 3, 3);
    for (isolated, bit) in [false, true]
        .into_iter()
        .flat_map(|one| (16 * 8..bytes.len() * 8).map(move |bit| (one, bit)))
    {
        let mut fixture = Fixture::checking();
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fixture.push_beside(isolated.then(aborted), [flipped, batch(3, 3, 3)].concat());
        let refused = fixture.reader.poll(&mut Polled::new());
        assert!(refused.is_err(), "byte {}, bit {}", bit / 8, bit % 8);
        assert_eq!(fixture.position(), 0);
    }
}

/// Row 35, at its root: two positions, one behind what is in hand and one before it.
#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn what_is_in_hand_is_not_returned() {
    let mut fixture = Fixture::new(2);
    fixture.push(batch(0, 4, 4));
    let now = Instant::now();
    let returned = |fixture: &Fixture| fixture.buffer.offsets(Which::Returned)[&tp()].offset.get();
    fixture.buffer.enter_poll(now);
    assert_eq!(fixture.poll(), [0, 1]);
    fixture.buffer.leave_poll(now);
    assert_eq!((returned(&fixture), fixture.position()), (0, 2));
    assert_eq!(fixture.buffer.idle_since(), Some(now));
    fixture.buffer.enter_poll(now);
    assert_eq!((returned(&fixture), fixture.buffer.idle_since()), (2, None));
    let later = now + Duration::from_secs(1);
    fixture.buffer.begin_hearing(now);
    fixture.buffer.leave_poll(later);
    fixture.buffer.enter_poll(later);
    fixture.buffer.begin_hearing(later);
    assert_eq!(fixture.buffer.idle_since(), Some(now), "he asks, and hears of one thing still");
    fixture.buffer.end_hearing();
    assert_eq!(fixture.buffer.idle_since(), None);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn a_waiting_user_is_woken_by_records_and_events_only() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(0.into()));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let woken = || count.0.load(std::sync::atomic::Ordering::Relaxed);
    let mut fixture = Fixture::new(100);
    assert_eq!(fixture.buffer.poll_ready(&mut cx), Poll::Pending);
    fixture.buffer.pause(&tp(), true);
    fixture.push(batch(0, 1, 1));
    assert_eq!(woken(), 0, "a paused partition has nothing to give");
    fixture.buffer.pause(&tp(), false);
    assert_eq!(woken(), 1);
    assert_eq!(fixture.buffer.poll_ready(&mut cx), Poll::Ready(()));
    assert!(!fixture.buffer.has_room(NodeId::new(1), Room { held_max: 0, brokers: 1 }));
    assert_eq!(fixture.buffer.poll_stirred(&mut cx), Poll::Pending);
    assert_eq!(fixture.poll(), [0]);
    assert_eq!(woken(), 1, "what the user has in hand takes room");
    fixture.buffer.enter_poll(Instant::now());
    assert_eq!(woken(), 2, "room was made for the driver that asked for it");
}

/// A commit in between must cover what was handed out before the record in hand, and nothing else.
#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn records_taken_one_by_one_are_counted_each() {
    let mut fixture = Fixture::new(100);
    fixture.push([batch(0, 3, 10), batch(10, 2, 2)].concat());
    let now = Instant::now();
    fixture.buffer.enter_poll(now);
    assert_eq!(fixture.one(), Some(0));
    fixture.buffer.leave_poll(now);
    let later = now + Duration::from_secs(9);
    let offsets = |fixture: &Fixture| {
        let at = |which| fixture.buffer.offsets(which)[&tp()].offset.get();
        (at(Which::Returned), at(Which::HandedOut))
    };
    assert_eq!(offsets(&fixture), (0, 1));
    assert!(fixture.reader.next_in_run().is_none(), "who looks ends the run");
    assert_eq!(fixture.one(), Some(1));
    assert_eq!(fixture.reader.next_in_run().map(|next| next.1.offset().get()), Some(2));
    assert_eq!(offsets(&fixture), (2, 3));
    fixture.buffer.look(later);
    assert_eq!(fixture.buffer.idle_since(), Some(later), "to take records is to poll");
    assert_eq!(fixture.one(), Some(10), "compaction left nothing between");
    assert_eq!(offsets(&fixture), (10, 11));
    assert_eq!([fixture.one(), fixture.one()], [Some(11), None]);
    assert_eq!(fixture.position(), 12);
    assert_eq!(fixture.held(), 0);
}

/// R22 and R10, without a lock for each record: the next one is refused, and comes from where the seek says.
#[test]
fn a_seek_or_a_revocation_takes_effect_between_two_records_of_a_run() {
    let mut fixture = Fixture::new(100);
    fixture.push(batch(0, 9, 9));
    assert_eq!(fixture.one(), Some(0));
    let sought = fixture.revision.next();
    fixture.buffer.place(&tp(), sought, Some(at(5)));
    assert!(fixture.reader.next_in_run().is_none());
    assert_eq!((fixture.one(), fixture.position()), (None, 5), "its bytes are of before");
    fixture.revision = sought;
    fixture.push(batch(0, 9, 9));
    assert_eq!([fixture.one(), fixture.one()], [Some(5), Some(6)]);
    fixture.buffer.pause(&tp(), true);
    assert_eq!(fixture.one(), None);
    fixture.buffer.pause(&tp(), false);
    assert_eq!(fixture.one(), Some(7));
    fixture.buffer.hold(&[tp()]);
    assert_eq!((fixture.one(), fixture.position()), (None, 8));
}

#[test]
fn a_batch_poll_goes_on_where_single_records_ended() {
    let mut fixture = Fixture::new(3);
    fixture.push([batch(0, 4, 4), batch(4, 4, 4)].concat());
    assert_eq!([fixture.one(), fixture.one()], [Some(0), Some(1)]);
    assert_eq!(fixture.poll(), [2, 3, 4]);
    assert_eq!([fixture.one(), fixture.one(), fixture.one()], [Some(5), Some(6), Some(7)]);
    assert_eq!(fixture.one(), None);
}

/// One reference count a batch: the records of a batch point into one buffer.
#[test]
fn records_are_not_copied() {
    let mut fixture = Fixture::new(100);
    let bytes = batch(0, 50, 50);
    fixture.push(bytes);
    let mut polled = Polled::new();
    fixture.reader.poll(&mut polled).unwrap();
    let chunk = &polled.chunks()[0];
    let values: Vec<*const u8> = chunk.iter().map(|one| one.value().unwrap().as_ptr()).collect();
    assert!(values.is_sorted(), "they lie in one piece");
    let mut left = chunk.iter();
    left.next();
    assert_eq!((left.len(), chunk.len(), chunk.is_empty()), (49, 50, false));
    let shared: Vec<_> = polled.drain().next().unwrap().into_shared().collect();
    assert_eq!(shared[49].value().unwrap().as_ptr(), values[49]);
}

/// Whoever keeps what he was given for good would else get nothing more, and wait for ever.
#[test]
fn a_poll_gives_something_however_much_is_held() {
    let mut fixture = Fixture::new(100);
    let mut buffer = fixture.buffer.decompressed().take(DECOMPRESSED_MAX);
    buffer.push(0);
    let kept = buffer.freeze();
    assert!(fixture.buffer.decompressed().frozen_bytes() >= DECOMPRESSED_MAX);
    fixture.push([batch(0, 3, 3), batch(3, 3, 3)].concat());
    assert_eq!(fixture.poll(), [0, 1, 2], "one batch, and no more than that");
    assert_eq!(fixture.poll(), [3, 4, 5]);
    drop(kept);
    fixture.push([batch(6, 3, 3), batch(9, 3, 3)].concat());
    assert_eq!(fixture.poll(), [6, 7, 8, 9, 10, 11]);
}

/// Nobody knows which broker's batches the user holds decompressed: each counts for its part.
#[test]
fn what_is_held_decompressed_counts_against_all_brokers_alike() {
    let fixture = Fixture::new(100);
    let mut buffer = fixture.buffer.decompressed().take(1 << 20);
    buffer.push(0);
    let kept = buffer.freeze();
    let held = fixture.buffer.decompressed().frozen_bytes();
    let broker = NodeId::new(1);
    let lease = fixture.buffer.held(broker).lease(10);
    for brokers in [1, 2, 4] {
        let exact = 10 + held / brokers;
        assert!(fixture.buffer.has_room(broker, Room { held_max: exact, brokers }));
        assert!(!fixture.buffer.has_room(broker, Room { held_max: exact - 1, brokers }));
    }
    drop((kept, lease));
    assert!(fixture.buffer.has_room(broker, Room { held_max: 0, brokers: 1 }));
}
