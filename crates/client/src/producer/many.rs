//! Many records in one call.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use milena_engine::producer::{Deliveries, NewRecord, Refused, Watch};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use super::outgoing::Outgoing;
use super::{Producer, Record};
use crate::clock::after;
use crate::driver::turn::{owe, turn};

impl Producer {
    /// Admits many records to the send buffer in their order; the [`Deliveries`] resolve when the fate of all is known.
    ///
    /// It costs about half of sending them one by one: records of one partition in a row take its lock, the time and a
    /// share of the batch's result once. All get the time of the call, unless they have one of their own.
    ///
    /// Waits for room and for metadata as [`send`](Self::send) does, for `max.block.ms` in all; before that it rests for a
    /// moment now and then while more is sent than stored, so that the buffer need not be full. A record that cannot be
    /// admitted fails on its own, and shows in the [`Outcomes`](crate::Outcomes); those after it are still tried.
    ///
    /// The records are taken from the iterator at once, before the future is polled. Dropping the future leaves what was
    /// admitted to be sent, and the rest unsent.
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
    pub fn enqueue_all<'p, 'a: 'p, I>(&'p self, records: I) -> EnqueueAll<'p>
    where
        I: IntoIterator<Item = Record<'a>>,
    {
        let records = records.into_iter().collect();
        EnqueueAll(match self.0.interceptors {
            None => Box::pin(enqueue_all(self, records)),
            Some(_) => Box::pin(enqueue_each(self, records)),
        })
    }
}

/// Resolves once many records are admitted to the send buffer, or cannot be; see [`Producer::enqueue_all`].
// Without the iterator in its type: closures in it would keep a task that awaits it from being spawned.
#[must_use = "nothing is sent before it is polled"]
pub struct EnqueueAll<'a>(Pin<Box<dyn Future<Output = Deliveries> + Send + 'a>>);

impl Future for EnqueueAll<'_> {
    type Output = Deliveries;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Deliveries> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for EnqueueAll<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnqueueAll").finish_non_exhaustive()
    }
}

async fn enqueue_all(producer: &Producer, mut records: VecDeque<Record<'_>>) -> Deliveries {
    let shared = &producer.0;
    let mut deliveries = Deliveries::new();
    let mut deadline = None;
    while !records.is_empty() {
        consume_budget().await;
        turn(shared.control.pace()).await;
        let (admitted, refused) = match shared.control.detached().refusal() {
            Some(closed) => (0, Some(Refused::Failed(closed))),
            None => append(producer, records.iter().take(CHUNK_RECORDS), &mut deliveries),
        };
        records.drain(..admitted);
        let Some(refused) = refused else { continue };
        let Some(record) = records.pop_front() else { continue };
        let deadline = *deadline.get_or_insert_with(|| after(shared.config.max_block()));
        let outgoing = Outgoing { producer, record, watch: Watch::Nobody, failed: None };
        match outgoing.admit_by(deadline, refused).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => deliveries.fail(error),
        }
    }
    deliveries
}

/// One by one, because each is shown to the interceptors and they are told of each.
async fn enqueue_each(producer: &Producer, records: VecDeque<Record<'_>>) -> Deliveries {
    let mut deliveries = Deliveries::new();
    let mut deadline = None;
    for record in records {
        consume_budget().await;
        turn(producer.0.control.pace()).await;
        let mut outgoing = Outgoing { producer, record, watch: Watch::Nobody, failed: None };
        let admitted = match outgoing.begin() {
            Ok(delivery) => Ok(delivery),
            Err(refused) => {
                let deadline =
                    *deadline.get_or_insert_with(|| after(producer.0.config.max_block()));
                outgoing.admit_by(deadline, refused).await
            }
        };
        match admitted {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => deliveries.fail(error),
        }
    }
    deliveries
}

/// Writes `records` into their batches for as long as that can be done at once. Returns how many that were, and why it
/// ended early.
fn append<'r, 'a: 'r>(
    producer: &Producer,
    records: impl Iterator<Item = &'r Record<'a>>,
    deliveries: &mut Deliveries,
) -> (usize, Option<Refused>) {
    let control = &producer.0.control;
    let accumulator = control.accumulator();
    let now = Instant::now();
    let wall = producer.0.kafka.clock().wall(now);
    let mut admitted = 0;
    let mut records = records.peekable();
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
            owe();
        }
        if refused.is_some() {
            return (admitted, refused);
        }
    }
    (admitted, None)
}

/// Records appended without a pause: enough for one lock and one clock to cost each next to nothing.
const CHUNK_RECORDS: usize = 64;
