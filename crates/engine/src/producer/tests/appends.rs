//! What an append does besides: who is woken, whose turn it is, and which locks are free meanwhile.

use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use super::flow::poll;
use super::hand::{Hand, plain, record};
use crate::ErrorKind;
use crate::producer::{
    Accumulator, Appender, NewRecord, PartitionContext, Refused, Settings, Watch,
};

/// Nothing leaves before it is full.
fn lingering() -> Settings {
    Settings { linger: Duration::from_secs(5), ..plain() }
}

/// Appends `record`, and says which one of its batch it is.
fn append(
    hand: &Hand,
    appender: &mut Appender<'_>,
    record: &NewRecord<'_>,
) -> Result<u32, Refused> {
    let placed = appender.append(record, &mut Watch::Nobody, &mut None, || hand.now);
    placed.map(|placed| placed.record)
}

/// The driver sleeps until somebody says that there is something new, and hears of it once.
#[test]
fn whoever_opens_or_fills_a_batch_wakes_the_driver() {
    let mut hand = Hand::new(lingering());
    let topic = hand.accumulator.topic("t");
    let wakes = |hand: &Hand, partitions: &[i32]| {
        let mut appender = hand.accumulator.appender(&topic);
        for &partition in partitions {
            append(hand, &mut appender, &record(Some(partition), &[0; 100])).unwrap();
        }
        appender.end()
    };
    assert!(wakes(&hand, &[0, 1]), "two batches are open");
    assert!(!wakes(&hand, &[0]), "the driver knows of the partition");
    hand.pump();
    assert!(!wakes(&hand, &[1]), "there is room in the open batch");
    assert!(wakes(&hand, &[1, 1]), "it is full");
    assert!(!wakes(&hand, &[]));
}

/// The batch that is full would wait for its linger, though somebody waits for its room.
#[test]
fn a_batch_that_is_full_is_told_of_even_where_no_other_has_room() {
    let mut hand = Hand::new(Settings { buffer_bytes: 400, ..lingering() });
    let topic = hand.accumulator.topic("t");
    let mut appender = hand.accumulator.appender(&topic);
    assert_eq!(append(&hand, &mut appender, &record(Some(0), &[0; 200])).unwrap(), 0);
    let _ = appender.end();
    hand.pump();
    hand.expect_nothing();
    let mut appender = hand.accumulator.appender(&topic);
    let refused = append(&hand, &mut appender, &record(Some(0), &[0; 200]));
    assert!(matches!(refused, Err(Refused::NoRoom { bytes: 400 })), "{refused:?}");
    assert!(appender.end());
    let _request = hand.next();
}

/// KIP-794 counts the bytes that the partition of the moment has had; what names its partition is not among them.
#[test]
fn records_that_name_a_partition_do_not_end_its_turn() {
    let hand = Hand::new(lingering());
    let topic = hand.accumulator.topic("t");
    let mut appender = hand.accumulator.appender(&topic);
    append(&hand, &mut appender, &record(None, &[0; 50])).unwrap();
    let _ = appender.end();
    let partition = topic.0.sticky.current(&*topic.0, true);
    let queue = topic.0.queue(partition).unwrap();
    let bytes = queue.lock().sticky_bytes;
    assert!(bytes > 50 && bytes < 100, "{bytes}");
    let mut appender = hand.accumulator.appender(&topic);
    let place = append(&hand, &mut appender, &record(Some(partition), &[0; 280])).unwrap();
    assert_eq!(place, 0, "it took a batch of its own");
    let _ = appender.end();
    assert!(topic.0.sticky.is_current(partition));
    assert_eq!(queue.lock().sticky_bytes, bytes);
    // Nor does the batch that they have filled: its share is not used up.
    let mut appender = hand.accumulator.appender(&topic);
    assert_eq!(append(&hand, &mut appender, &record(None, &[0; 50])).unwrap(), 0);
    let _ = appender.end();
    assert!(topic.0.sticky.is_current(partition));
    assert_eq!(queue.lock().sticky_bytes, 2 * bytes);
}

/// The room that was waited for may be all that there is, and the record that waited need not be the next.
#[test]
fn a_grant_is_used_up_by_what_fits_into_it_alone() {
    for (granted, used) in [(400, 400), (399, 799)] {
        let hand = Hand::new(Settings { buffer_bytes: 400.max(used), ..lingering() });
        let topic = hand.accumulator.topic("t");
        let Poll::Ready(grant) = poll(pin!(hand.accumulator.room(granted))) else {
            panic!("no room");
        };
        let mut grant = Some(grant);
        let mut appender = hand.accumulator.appender(&topic);
        let record = record(Some(0), &[0; 50]);
        appender.append(&record, &mut Watch::Nobody, &mut grant, || hand.now).unwrap();
        assert_eq!((grant.is_some(), hand.accumulator.bytes_used()), (granted < 400, used));
        let _ = appender.end();
    }
}

/// Its share is used up before its turn has begun.
#[test]
fn a_record_larger_than_a_batch_takes_the_partition_of_the_moment() {
    let hand = Hand::new(lingering());
    let topic = hand.accumulator.topic("t");
    let first = topic.0.sticky.current(&*topic.0, true);
    let mut appender = hand.accumulator.appender(&topic);
    assert_eq!(append(&hand, &mut appender, &record(None, &[0; 500])).unwrap(), 0);
    assert!(appender.end());
    assert_eq!(topic.0.queue(first).unwrap().depth(), 1);
}

/// A user's partitioner may do anything, even send to the partition that took the last record.
#[test]
fn a_partitioner_that_sends_finds_every_lock_free() {
    let home: Arc<OnceLock<Weak<Accumulator>>> = Arc::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let partitioner = {
        let (home, told) = (Arc::clone(&home), Arc::clone(&told));
        move |context: &PartitionContext<'_>| {
            let accumulator = home.get()?.upgrade()?;
            // A lock is let go of before its news is told. Nothing is sent where one is held, since that never ends.
            let queues = accumulator.take_news().queues.len();
            told.lock().unwrap().push(queues);
            if queues > 0 {
                let topic = accumulator.topic(context.topic().as_str());
                let mut appender = accumulator.appender(&topic);
                let (mut watch, mut grant) = (Watch::Nobody, None);
                let inner = record(Some(0), &[1; 20]);
                let placed = appender.append(&inner, &mut watch, &mut grant, || unreachable!());
                assert_eq!(placed.unwrap().record, 1);
            }
            Some(0)
        }
    };
    let hand = Hand::new(Settings { partitioning: partitioner.into(), ..lingering() });
    home.set(Arc::downgrade(&hand.accumulator)).unwrap();
    let topic = hand.accumulator.topic("t");
    let mut appender = hand.accumulator.appender(&topic);
    let places = [(); 2].map(|()| append(&hand, &mut appender, &record(None, &[0; 20])).unwrap());
    assert_eq!((places, &*told.lock().unwrap()), ([0, 2], &vec![0, 1]));
}

/// No topic ever has it: to wait for it would be to wait, or to ask again and again, for nothing.
#[test]
fn a_partition_below_zero_is_refused() {
    let hand = Hand::new(plain());
    let topic = hand.accumulator.topic("t");
    for partition in [-1, i32::MIN] {
        let record = record(Some(partition), &[0; 10]);
        let refused = hand.accumulator.try_append(&topic, &record, None, || hand.now);
        let Err(Refused::Failed(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::Misuse);
        let ready = pin!(hand.accumulator.topic_ready(&topic, Some(partition)));
        assert!(poll(ready).is_pending(), "it is not there");
    }
}
