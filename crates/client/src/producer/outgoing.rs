//! A record on its way into the send buffer.

use std::time::Duration;

use milena_engine::producer::{Delivery, Grant, NewRecord, Refused, Watch};
use milena_engine::{Error, ErrorKind, Fate, Operation};
use milena_types::Topic;
use tokio::select;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use super::detached::Waiting;
use super::{Producer, Record, TryEnqueueError};
use crate::clock::after;
use crate::driver::turn::owe;

/// A record with all that its admission needs.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) producer: &'a Producer,
    pub(super) record: Record<'a>,
    pub(super) watch: Watch,
    /// Why it cannot be sent, if it is known from the start.
    pub(super) failed: Option<Error>,
}

impl Outgoing<'_> {
    /// The first try to append it.
    pub(super) fn begin(&mut self) -> Result<Delivery, Refused> {
        self.prepare().map_err(Refused::Failed)?;
        self.append(None)
    }

    /// Whether it may be sent at all; the interceptors have their say.
    fn prepare(&mut self) -> Result<(), Error> {
        let shared = &self.producer.0;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if let Some(interceptors) = &shared.interceptors {
            let record = std::mem::replace(&mut self.record, Record::to(""));
            self.record = interceptors.on_send(record);
            let watch = std::mem::take(&mut self.watch);
            self.watch = interceptors.watch(watch, shared.control.detached());
        }
        shared.control.detached().refusal().map_or(Ok(()), Err)
    }

    /// Writes the record into its batch, if that can be done now.
    fn append(&mut self, grant: Option<Grant>) -> Result<Delivery, Refused> {
        append(self.producer, &self.record, &mut self.watch, grant)
    }

    /// Appends it after a rest, as more is sent than stored.
    pub(super) async fn rest(mut self) -> Result<Delivery, Error> {
        let shared = &self.producer.0;
        let limit = shared.config.max_block();
        let deadline = after(limit);
        shared.control.pace().rest(limit).await;
        match self.begin() {
            Ok(delivery) => Ok(delivery),
            Err(refused) => self.admit_by(deadline, refused).await,
        }
    }

    /// Waits for what stands in the way, in turn, for `max.block.ms` in all.
    pub(super) async fn admit(self, refused: Refused) -> Result<Delivery, Error> {
        let deadline = after(self.producer.0.config.max_block());
        self.admit_by(deadline, refused).await
    }

    /// Waits until `deadline`, which is `max.block.ms` after some moment.
    pub(super) async fn admit_by(
        mut self,
        deadline: Instant,
        refused: Refused,
    ) -> Result<Delivery, Error> {
        let admitted = self.wait(deadline, refused).await;
        if let Err(error) = &admitted {
            self.fail(error);
        }
        admitted
    }

    async fn wait(&mut self, deadline: Instant, mut refused: Refused) -> Result<Delivery, Error> {
        let producer = self.producer;
        let limit = producer.0.config.max_block();
        let control = &producer.0.control;
        let accumulator = control.accumulator();
        loop {
            let mut grant = None;
            match refused {
                Refused::NoRoom { bytes } => {
                    let room = accumulator.room(bytes);
                    control.wake();
                    let full = |_| Error::buffer_full(limit).during(Operation::Send);
                    grant = Some(timeout_at(deadline, room).await.map_err(full)?);
                }
                Refused::Failed(error) => return Err(error),
                Refused::UnknownPartition => {
                    let topic = accumulator.topic(self.record.topic());
                    let ready = accumulator.topic_ready(&topic, self.record.fixed_partition());
                    control.wake();
                    let ready = async {
                        select! {
                            biased;
                            ready = ready => ready,
                            () = producer.0.kafka.metadata().closed() => {
                                Err(Error::closed().during(Operation::Send))
                            }
                        }
                    };
                    match timeout_at(deadline, ready).await {
                        Ok(ready) => ready?,
                        Err(_) => return Err(producer.0.kafka.late(topic.name(), limit)),
                    }
                }
            }
            match self.append(grant) {
                Ok(delivery) => return Ok(delivery),
                Err(another) => refused = another,
            }
        }
    }

    /// Tells whoever watches the record that it was not admitted.
    pub(super) fn fail(&mut self, error: &Error) {
        match std::mem::take(&mut self.watch) {
            Watch::Nobody => {}
            Watch::Detached => self.producer.0.control.detached().failed(error),
            Watch::Callback(callback) => callback(Err(error.clone())),
        }
    }

    /// Goes on without the caller.
    pub(super) fn detach(mut self) {
        if let Err(error) = self.prepare() {
            self.fail(&error);
            return;
        }
        let producer = self.producer;
        let detached = producer.0.control.detached();
        // Behind those of its topic that came before.
        if !detached.is_waiting(self.record.topic()) {
            match self.append(None) {
                // The batch is stored whether or not anyone holds a share of its result.
                Ok(delivery) => return drop(delivery),
                Err(Refused::Failed(error)) => return self.fail(&error),
                Err(Refused::NoRoom { .. } | Refused::UnknownPartition) => {}
            }
        }
        if !detached.has_room() {
            let detail = "too many detached records wait for admission";
            let full = Error::buffer_full(Duration::ZERO).with_detail(detail);
            return self.fail(&full.during(Operation::Send).with_topic(self.record.topic()));
        }
        let topic = Topic::from(self.record.topic());
        let deadline = after(producer.0.config.max_block());
        if detached.queue(&topic, self.record.into_owned(), self.watch, deadline) {
            tokio::spawn(drain(producer.clone(), topic));
        }
    }
}

/// Admits the detached records of `topic` in their order, until none waits.
async fn drain(producer: Producer, topic: Topic) {
    let detached = producer.0.control.detached();
    while let Some(Waiting { number, record, watch, deadline }) = detached.next(&topic) {
        let mut outgoing = Outgoing { producer: &producer, record, watch, failed: None };
        if let Err(refused) = outgoing.append(None) {
            // Whoever watches it is told.
            let _ = outgoing.admit_by(deadline, refused).await;
        }
        detached.done(number);
        consume_budget().await;
    }
}

/// Admits `record` if that can be done at once. On its own, because the record outlives the producer's borrow.
#[expect(clippy::result_large_err, reason = "the record is handed back without an allocation")]
pub(super) fn try_enqueue<'a>(
    producer: &Producer,
    record: Record<'a>,
    watch: Watch,
    failed: Option<Error>,
) -> Result<Delivery, TryEnqueueError<'a>> {
    if let Some(error) = failed {
        return Err(TryEnqueueError::new(record, error));
    }
    let Some(interceptors) = &producer.0.interceptors else {
        let appended = try_append(producer, &record, watch);
        return appended.map_err(|error| TryEnqueueError::new(record, error));
    };
    // What is given back is what came: it meets the interceptors again when it is sent again.
    let sent = interceptors.on_send(record.clone());
    let watch = interceptors.watch(watch, producer.0.control.detached());
    try_append(producer, &sent, watch).map_err(|error| {
        interceptors.on_ack(&Err(error.clone()));
        TryEnqueueError::new(record, error)
    })
}

fn try_append(
    producer: &Producer,
    record: &Record<'_>,
    mut watch: Watch,
) -> Result<Delivery, Error> {
    if let Some(closed) = producer.0.control.detached().refusal() {
        return Err(closed.with_topic(record.topic()));
    }
    let error = match append(producer, record, &mut watch, None) {
        Ok(delivery) => return Ok(delivery),
        Err(Refused::Failed(error)) => error,
        Err(Refused::NoRoom { .. }) => {
            // A batch may have been filled in the attempt, and there is no room before it is sent.
            producer.0.control.wake();
            Error::buffer_full(Duration::ZERO)
        }
        Err(Refused::UnknownPartition) => {
            producer.0.control.wake();
            let detail = "the partitions of the topic are not known yet";
            Error::new(ErrorKind::Timeout).with_detail(detail).with_fate(Fate::NotStored)
        }
    };
    Err(error.during(Operation::Send).with_topic(record.topic()))
}

fn append(
    producer: &Producer,
    record: &Record<'_>,
    watch: &mut Watch,
    grant: Option<Grant>,
) -> Result<Delivery, Refused> {
    let control = &producer.0.control;
    let now = Instant::now();
    let accumulator = control.accumulator();
    let looked_up;
    let topic = match record.resolved(producer) {
        Some(topic) => topic,
        None => {
            looked_up = accumulator.topic(record.topic());
            &looked_up
        }
    };
    let timestamp = record.fixed_timestamp();
    let new = NewRecord {
        partition: record.fixed_partition(),
        timestamp: timestamp.unwrap_or_else(|| producer.0.kafka.clock().wall(now)),
        key: record.key_bytes(),
        value: record.value_bytes(),
        headers: record.headers(),
    };
    let appended = accumulator.try_append_watched(topic, &new, watch, grant, || now.into_std())?;
    if appended.wake {
        control.wake();
        owe();
    }
    Ok(appended.delivery)
}
