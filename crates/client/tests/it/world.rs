//! A cluster, a client of it, and what both were seen to do.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{Consumer, ConsumerBuilder, Kafka, KafkaBuilder, Producer, Record};
use milena_broker::{Broker, Builder};
use tokio::time::Instant;

/// Longer than anything that is expected to happen; costs nothing on a paused clock.
pub(crate) const LONG: Duration = Duration::from_secs(300);
/// Of close: long enough for everything where nothing is wrong.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) kafka: Kafka,
}

impl World {
    /// One node with topic `t` of `partitions` partitions.
    pub(crate) async fn with_partitions(partitions: i32) -> Self {
        Self::start(Broker::builder().topic("t", partitions)).await
    }

    /// Three nodes with topic `t` of `partitions` partitions, three copies of each.
    pub(crate) async fn of_three(partitions: i32) -> Self {
        Self::start(Broker::builder().nodes(3).topic("t", partitions)).await
    }

    pub(crate) async fn start(builder: Builder) -> Self {
        let broker = builder.start_in_memory().await.unwrap();
        let kafka = client_of(&broker).connect().await.unwrap();
        Self { broker, kafka }
    }

    pub(crate) async fn producer(&self) -> Producer {
        self.kafka.producer().build().await.unwrap()
    }

    /// A member of group `g` that reads topic `t` from its beginning and commits nothing by itself.
    pub(crate) fn member(&self) -> ConsumerBuilder {
        let consumer = self.kafka.consumer("g").auto_offset_reset(OffsetReset::Earliest);
        consumer.enable_auto_commit(false).subscribe(["t"])
    }

    /// A consumer of partition 0 of topic `t` from its beginning, without a group.
    pub(crate) async fn reader(&self) -> Consumer {
        let consumer = self.kafka.consumer_without_group();
        consumer.auto_offset_reset(OffsetReset::Earliest).assign([("t", 0)]).build().await.unwrap()
    }

    /// Stores the numbers of `range` in partition 0 of topic `t`.
    pub(crate) async fn fill(&self, range: std::ops::Range<usize>) {
        let producer = self.producer().await;
        for number in range {
            let record = Record::to("t").partition(0).value(number.to_string());
            let _delivery = producer.send(record).enqueue().await.unwrap();
        }
        producer.close(GRACE).await.unwrap();
    }

    /// The values in a partition of topic `t`, in the order of their offsets.
    pub(crate) fn values(&self, partition: i32) -> Vec<String> {
        values(&self.broker, partition)
    }

    /// How many connections the cluster has.
    pub(crate) fn connections(&self) -> usize {
        self.broker.with(|cluster, _| cluster.connection_count())
    }

    /// What the group committed for a partition of topic `t`.
    pub(crate) fn committed(&self, partition: i32) -> Option<i64> {
        let committed = self.broker.committed("g");
        committed.get(&("t", partition).into()).map(|committed| committed.offset.get())
    }

    /// How many members group `g` has.
    pub(crate) fn members(&self) -> usize {
        self.broker.group("g").map_or(0, |group| group.members.len())
    }
}

/// The values in a partition of topic `t`, in the order of their offsets.
pub(crate) fn values(broker: &Broker, partition: i32) -> Vec<String> {
    let records = broker.records("t", partition);
    records.into_iter().map(|record| text(record.value.as_deref())).collect()
}

/// A client before it connects.
pub(crate) fn client_of(broker: &Broker) -> KafkaBuilder {
    let kafka = Kafka::builder().bootstrap_servers(&broker.bootstrap_servers());
    kafka.in_process(broker.dialer()).seed(7)
}

/// The numbers of `range` as text: what is expected of a partition.
pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or(b"<null>")).into_owned()
}

/// Polls until `count` values came, or nothing for long.
pub(crate) async fn read(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        let batch = consumer.poll(LONG).await.unwrap();
        if batch.is_empty() {
            break;
        }
        values.extend(batch.iter().map(|message| text(message.value())));
    }
    values
}

/// Lets everyone go on until `holds`; fails after a virtual age.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Polls `future` when it asks for it, and drops it: at step 0 unpolled, at step 1 after its first poll, at step 2 after
/// that once it asks for the second one, which is when an answer lies there that nobody takes; at 3 after its second
/// poll, and so on. What it came to, if it did.
pub(crate) async fn drop_after<F: Future>(step: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let (mut left, is_late) = (step.div_ceil(2), step.is_multiple_of(2));
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && !is_late => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// More steps than any call here takes: a call that takes more would never be seen to end.
pub(crate) const STEPS_MAX: usize = 400;
