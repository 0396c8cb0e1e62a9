use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Wake;

use super::*;
use crate::ErrorKind;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn batch() -> Arc<BatchResult> {
    Arc::new(BatchResult::new(TopicPartition::new("orders", 3), Arc::default()))
}

fn delivery(batch: &Arc<BatchResult>, record: u32) -> Delivery {
    let own = Own { timestamp: Timestamp::from_millis(77), sizes: Sizes::UNKNOWN };
    Delivery::new(Arc::clone(batch), record, own)
}

fn poll(delivery: &mut Delivery, count: &Arc<Count>) -> Poll<Result<RecordMetadata, Error>> {
    let waker = Waker::from(Arc::clone(count));
    Pin::new(delivery).poll(&mut Context::from_waker(&waker))
}

fn stored(first: u32, offset: i64) -> Outcome {
    Ok(Stored { first, base_offset: Offset::new(offset), log_append_time: None })
}

fn offset(delivery: &Delivery) -> i64 {
    delivery.result().unwrap().unwrap().offset().unwrap().get()
}

#[test]
fn one_settlement_wakes_every_record_of_the_batch() {
    let batch = batch();
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
    let mut deliveries: Vec<_> = (0..3).map(|record| delivery(&batch, record)).collect();
    for (delivery, count) in deliveries.iter_mut().zip(&counts) {
        assert!(poll(delivery, count).is_pending());
    }
    batch.settle(0, 3, true, stored(0, 100));
    for (record, (delivery, count)) in deliveries.iter_mut().zip(&counts).enumerate() {
        assert_eq!(count.0.load(SeqCst), 1);
        let Poll::Ready(Ok(metadata)) = poll(delivery, count) else { panic!("not resolved") };
        assert_eq!(metadata.offset(), Offset::new(100 + record as i64));
        assert_eq!(metadata.topic_partition(), &TopicPartition::new("orders", 3));
        assert_eq!(metadata.timestamp(), Timestamp::from_millis(77));
    }
}

/// A task that awaits a thousand records one by one must not leave a thousand wakers behind.
#[test]
fn one_task_takes_one_seat() {
    let batch = batch();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    for record in 0..1000 {
        let mut delivery = delivery(&batch, record);
        for _ in 0..3 {
            assert!(Pin::new(&mut delivery).poll(&mut Context::from_waker(&waker)).is_pending());
        }
    }
    assert_eq!(batch.parts().waiting.len(), 1);
    batch.settle(0, 1000, true, stored(0, 0));
    assert_eq!(count.0.load(SeqCst), 1);
}

/// Select loops poll with a new waker each time; the old one must neither pile up nor be woken in its place.
#[test]
fn a_new_waker_replaces_the_old_one() {
    let batch = batch();
    let mut delivery = delivery(&batch, 0);
    let counts: Vec<_> = (0..5).map(|_| Arc::new(Count::default())).collect();
    for count in &counts {
        assert!(poll(&mut delivery, count).is_pending());
    }
    assert_eq!(batch.parts().waiting.len(), 1);
    batch.settle(0, 1, true, stored(0, 0));
    let woken: Vec<_> = counts.iter().map(|count| count.0.load(SeqCst)).collect();
    assert_eq!(woken, [0, 0, 0, 0, 1]);
}

#[test]
fn a_shared_seat_is_left_without_disturbing_its_owner() {
    let batch = batch();
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let waker = Waker::from(Arc::clone(&first));
    let (mut a, mut b) = (delivery(&batch, 0), delivery(&batch, 1));
    assert!(Pin::new(&mut a).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(Pin::new(&mut b).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(poll(&mut b, &second).is_pending());
    batch.settle(0, 2, true, stored(0, 0));
    assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (1, 1));
}

#[test]
fn a_split_batch_settles_range_by_range() {
    let batch = batch();
    let deliveries: Vec<_> = (0..4).map(|record| delivery(&batch, record)).collect();
    batch.settle(2, 2, false, stored(2, 50));
    assert!(deliveries[1].result().is_none());
    assert_eq!(offset(&deliveries[2]), 50);
    assert_eq!(offset(&deliveries[3]), 51);
    batch.settle(0, 2, false, Err(Error::new(ErrorKind::RecordTooLarge)));
    let error = deliveries[1].result().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
}

/// Seats are given out anew after each settlement; an old one must not evict who sits there then.
#[test]
fn a_range_that_settles_keeps_the_others_waiting() {
    let batch = batch();
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
    let mut deliveries: Vec<_> = (0..3).map(|record| delivery(&batch, record)).collect();
    for index in [0, 1, 2] {
        assert!(poll(&mut deliveries[index], &counts[index]).is_pending());
    }
    batch.settle(0, 1, false, stored(0, 5));
    for index in [2, 1] {
        assert!(poll(&mut deliveries[index], &counts[index]).is_pending());
    }
    batch.settle(1, 2, false, stored(1, 9));
    let woken: Vec<_> = counts.iter().map(|count| count.0.load(SeqCst)).collect();
    assert_eq!(woken, [1, 2, 2]);
}

#[test]
fn what_is_settled_stays() {
    let batch = batch();
    let delivery = delivery(&batch, 0);
    batch.settle(0, 1, true, stored(0, 9));
    batch.settle(0, 1, true, Err(Error::closed()));
    assert_eq!(offset(&delivery), 9);
}

#[test]
fn the_brokers_time_replaces_the_records() {
    let batch = batch();
    let delivery = delivery(&batch, 0);
    let time = Some(Timestamp::from_millis(123));
    batch.settle(0, 1, true, Ok(Stored { first: 0, base_offset: None, log_append_time: time }));
    let metadata = delivery.result().unwrap().unwrap();
    assert_eq!((metadata.offset(), metadata.timestamp()), (None, Timestamp::from_millis(123)));
}

#[test]
fn metadata_say_where_the_record_is() {
    let batch = batch();
    let delivery = delivery(&batch, 2);
    assert_eq!(delivery.topic_partition(), Some(&TopicPartition::new("orders", 3)));
    batch.settle(0, 3, true, stored(0, 15));
    let metadata = delivery.result().unwrap().unwrap();
    assert_eq!((metadata.topic().as_str(), metadata.partition()), ("orders", 3));
    assert_eq!(metadata.to_string(), "orders-3@17");
    batch.settle(0, 3, true, stored(0, 0));
    let unknown = RecordMetadata { offset: None, ..metadata };
    assert_eq!(unknown.to_string(), "orders-3");
}

/// Two tasks await records of one batch in turn; each is woken once, by its last waker.
#[test]
fn a_seat_that_two_records_share_is_given_up_one_by_one() {
    let batch = batch();
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
    let first = Waker::from(Arc::clone(&counts[0]));
    let mut deliveries: Vec<_> = (0..2).map(|record| delivery(&batch, record)).collect();
    for delivery in &mut deliveries {
        assert!(Pin::new(delivery).poll(&mut Context::from_waker(&first)).is_pending());
    }
    // The first moves to a task of its own; then the seat is the second's alone, and is taken over in place.
    assert!(poll(&mut deliveries[0], &counts[1]).is_pending());
    assert_eq!(batch.parts().waiting.len(), 2);
    assert!(poll(&mut deliveries[1], &counts[2]).is_pending());
    assert_eq!(batch.parts().waiting.len(), 2);
    batch.settle(0, 2, true, stored(0, 0));
    let woken: Vec<_> = counts.iter().map(|count| count.0.load(SeqCst)).collect();
    assert_eq!(woken, [0, 1, 1]);
}

#[test]
fn a_delivery_polled_after_its_end_is_an_error_and_not_a_panic() {
    let batch = batch();
    let mut delivery = delivery(&batch, 0);
    let count = Arc::new(Count::default());
    batch.settle(0, 1, true, stored(0, 0));
    assert!(poll(&mut delivery, &count).is_ready());
    let Poll::Ready(Err(error)) = poll(&mut delivery, &count) else { panic!("not an error") };
    assert_eq!(error.kind(), ErrorKind::Misuse);
}
