//! Many records in one call.

use std::collections::VecDeque;

use milena_engine::producer::{Deliveries, NewRecord, Refused, Watch};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use super::outgoing::Outgoing;
use super::{Producer, Record};
use crate::clock::after;

impl Producer {
    /// Admits many records to the send buffer in their order; the [`Deliveries`] resolve when the fate of all is known.
    ///
    /// It costs about half of sending them one by one: records of one partition in a row take its lock, the time and a
    /// share of the batch's result once. All get the time of the call, unless they have one of their own.
    ///
    /// Waits for room and for metadata as [`send`](Self::send) does, for `max.block.ms` in all. A record that cannot be
    /// admitted fails on its own, and shows in the [`Outcomes`](crate::Outcomes); those after it are still tried.
    ///
    /// Dropping the future leaves what was admitted to be sent, and the rest unsent. Between a few dozen records other
    /// tasks get their turn; the iterator is never called while a lock is held.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> milena::Result<()> {
    /// # let broker = milena_broker::Broker::builder().topic("orders", 3).start().await.expect("a broker");
    /// # let kafka = milena::connect(&broker.bootstrap_servers()).await?;
    /// # let producer = kafka.producer().build().await?;
    /// use milena::Record;
    ///
    /// let lines = ["one", "two", "three"];
    /// let deliveries = producer.enqueue_all(lines.map(|line| Record::to("orders").value(line))).await;
    /// let outcomes = deliveries.await;
    /// for stored in outcomes.iter() {
    ///     println!("offset {:?}", stored?.offset());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn enqueue_all<'a, I>(&self, records: I) -> Deliveries
    where
        I: IntoIterator<Item = Record<'a>>,
    {
        let mut records = records.into_iter().fuse();
        let mut deliveries = Deliveries::new();
        if self.0.interceptors.is_some() {
            self.enqueue_each(records, &mut deliveries).await;
            return deliveries;
        }
        let mut chunk = VecDeque::with_capacity(records.size_hint().0.min(CHUNK_RECORDS));
        let mut deadline = None;
        loop {
            if chunk.is_empty() {
                // The driver is often to run on this very thread.
                consume_budget().await;
                chunk.extend(records.by_ref().take(CHUNK_RECORDS));
                if chunk.is_empty() {
                    return deliveries;
                }
            }
            let (admitted, refused) = match self.0.control.detached().refusal() {
                Some(closed) => (0, Some(Refused::Failed(closed))),
                None => append(self, &chunk, &mut deliveries),
            };
            chunk.drain(..admitted);
            let Some(refused) = refused else { continue };
            let Some(record) = chunk.pop_front() else { continue };
            let limit = self.0.config.max_block();
            let deadline = *deadline.get_or_insert_with(|| after(limit));
            let outgoing = Outgoing { producer: self, record, watch: Watch::Nobody, failed: None };
            match outgoing.admit_by(deadline, refused).await {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => deliveries.fail(error),
            }
        }
    }

    /// One by one, because each is shown to the interceptors and they are told of each.
    async fn enqueue_each<'a>(
        &self,
        records: impl Iterator<Item = Record<'a>>,
        deliveries: &mut Deliveries,
    ) {
        let mut deadline = None;
        for record in records {
            consume_budget().await;
            let mut outgoing =
                Outgoing { producer: self, record, watch: Watch::Nobody, failed: None };
            let admitted = match outgoing.begin() {
                Ok(delivery) => Ok(delivery),
                Err(refused) => {
                    let limit = self.0.config.max_block();
                    let deadline = *deadline.get_or_insert_with(|| after(limit));
                    outgoing.admit_by(deadline, refused).await
                }
            };
            match admitted {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => deliveries.fail(error),
            }
        }
    }
}

/// Writes `records` into their batches for as long as that can be done at once. Returns how many that were, and why it
/// ended early.
fn append(
    producer: &Producer,
    records: &VecDeque<Record<'_>>,
    deliveries: &mut Deliveries,
) -> (usize, Option<Refused>) {
    let control = &producer.0.control;
    let accumulator = control.accumulator();
    let now = Instant::now();
    let wall = producer.0.kafka.clock().wall(now);
    let mut admitted = 0;
    let mut records = records.iter().peekable();
    while let Some(first) = records.peek() {
        let name = first.topic();
        let looked_up;
        let topic = match first.resolved(producer) {
            Some(topic) => topic,
            None => {
                looked_up = accumulator.topic(name);
                &looked_up
            }
        };
        let mut appender = accumulator.appender(topic);
        let mut refused = None;
        while let Some(record) = records.next_if(|record| record.topic() == name) {
            let new = NewRecord {
                partition: record.fixed_partition(),
                timestamp: record.fixed_timestamp().unwrap_or(wall),
                key: record.key_bytes(),
                value: record.value_bytes(),
                headers: record.headers(),
            };
            match appender.append(&new, &mut Watch::Nobody, &mut None, || now.into_std()) {
                Ok(placed) => deliveries.place(placed),
                Err(reason) => {
                    refused = Some(reason);
                    break;
                }
            }
            admitted += 1;
        }
        if appender.end() {
            control.wake();
        }
        if refused.is_some() {
            return (admitted, refused);
        }
    }
    (admitted, None)
}

/// Records taken from the iterator at a time: enough for one lock and one clock to cost each next to nothing.
const CHUNK_RECORDS: usize = 64;
