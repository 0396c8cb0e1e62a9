//! Who produces, copies and reads in the storm.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::{Batch, Consumer, ConsumerBuilder, ErrorKind, Kafka, Record, TransactionalProducer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Result;
use crate::ledger::{Doubt, Entry, Ledger, entries, value_of};
use crate::link::{Commits, Copied};
use crate::scenarios::hasten;
use crate::target::Target;

use super::PARTITIONS;

/// What the stages have in common.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) copiers: String,
    pub(super) readers: String,
    pub(super) records: usize,
    /// Where records were said to be stored.
    pub(super) acknowledged: Ledger,
    /// What the readers have read.
    pub(super) read: Ledger,
    /// What readers could not commit, and may read again.
    pub(super) doubt: Arc<Doubt>,
    pub(super) copied: AtomicUsize,
    pub(super) troubles: Troubles,
}

/// Errors that users of the client saw and went on after: each text, and how often.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<BTreeMap<String, usize>>);

impl Troubles {
    fn note(&self, who: &str, error: &milena::Error) {
        let (kind, code) = (error.kind(), error.code());
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        tracing::info!(%error, "{who}");
        *self.0.lock().unwrap().entry(format!("{who}: {kind:?}{code}")).or_default() += 1;
    }
}

impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let troubles = self.0.lock().unwrap();
        let each = troubles.iter().map(|(text, count)| format!("{text} {count}"));
        f.write_str(&each.collect::<Vec<_>>().join(", "))
    }
}

impl Stages {
    /// Makes the topics, where what is acknowledged is on two brokers at least.
    pub(super) async fn prepare(on: &Target, kafka: &Kafka, records: usize) -> Result<Self> {
        let [source, target, copiers, readers] = ["source", "target", "copiers", "readers"]
            .map(|name| on.unique(&format!("storm-{name}")));
        for topic in [&source, &target] {
            let topic = kafka.admin().create_topic(topic.as_str()).partitions(PARTITIONS);
            topic.replication_factor(3).config("min.insync.replicas", "2").await?;
        }
        hasten(on, &readers, SESSION_MS).await?;
        let doubt = Arc::new(Doubt::default());
        let acknowledged = Ledger::new("who acknowledged", records);
        let read = Ledger::new("the readers", records);
        let (copied, troubles) = (AtomicUsize::new(0), Troubles::default());
        Ok(Self {
            source,
            target,
            copiers,
            readers,
            records,
            acknowledged,
            read,
            doubt,
            copied,
            troubles,
        })
    }

    /// Sends all records, evenly over so long, from an idempotent producer. Each must be stored.
    pub(super) async fn produce(&self, kafka: Kafka, over: Duration) -> Result {
        let producer = kafka.producer().set("compression.type", "lz4")?;
        let producer =
            producer.set("delivery.timeout.ms", PATIENCE)?.set("max.block.ms", PATIENCE)?;
        let producer = producer.set("request.timeout.ms", REQUEST)?.build().await?;
        let (sent, mut waiting) = mpsc::channel(WAITING_MAX);
        let started = Instant::now();
        let send = async {
            for key in 0..self.records {
                if key % BURST == 0 {
                    let share = key as f64 / self.records as f64;
                    sleep_until(started + over.mul_f64(share)).await;
                }
                let text = key.to_string();
                let record = Record::to(self.source.as_str()).value(value_of(&text)).key(text);
                sent.send((key, producer.send(record).enqueue().await?)).await?;
            }
            drop(sent);
            Result::Ok(())
        };
        let account = async {
            while let Some((key, delivery)) = waiting.recv().await {
                let stored = delivery.await.map_err(|e| format!("{key}: {e}, {:?}", e.fate()))?;
                let offset = stored.offset().ok_or_else(|| format!("{key} is stored nowhere"))?;
                self.acknowledged.note(&[Entry::new(stored.partition(), offset.get(), key)])?;
            }
            Ok(())
        };
        tokio::try_join!(send, account)?;
        producer.close(GRACE).await?;
        kafka.close(GRACE).await;
        Ok(())
    }

    /// Copies in transactions, as a member of a group, until all is read at the end.
    pub(super) async fn copy(&self, kafka: Kafka, number: usize) -> Result {
        while !self.read.is_complete() {
            if let Err(error) = self.copy_on(&kafka, number).await {
                // A new producer of the id ends what the old one left open, and a new consumer begins where it is.
                self.troubles.note("copiers began anew", &error);
                sleep(REST).await;
            }
        }
        kafka.close(GRACE).await;
        Ok(())
    }

    async fn copy_on(&self, kafka: &Kafka, number: usize) -> milena::Result<()> {
        let consumer = consumer(kafka, &self.copiers, &self.source)?;
        let consumer = consumer.set("partition.assignment.strategy", "cooperative-sticky")?;
        let consumer = consumer.set("session.timeout.ms", &SESSION_MS.to_string())?;
        let mut consumer = consumer.set("heartbeat.interval.ms", "1000")?.build().await?;
        let producer = kafka.producer().transactional_id(transactional_id(&self.copiers, number));
        let producer =
            producer.set("request.timeout.ms", REQUEST)?.set("max.block.ms", PATIENCE)?;
        let producer = producer.set("transaction.timeout.ms", PATIENCE)?;
        let mut producer = producer.build_transactional().await?;
        while !self.read.is_complete() {
            match self.copy_some(&mut producer, &mut consumer).await {
                Ok(count) => {
                    self.copied.fetch_add(count, Ordering::Relaxed);
                    continue;
                }
                Err(error) if error.is_abortable() => self.troubles.note("copiers aborted", &error),
                Err(error) if is_damage(&error) => self.troubles.note("copiers fetched", &error),
                Err(error) => return Err(error),
            }
            sleep(REST).await;
        }
        producer.close(GRACE).await?;
        consumer.close(GRACE).await
    }

    async fn copy_some(
        &self,
        producer: &mut TransactionalProducer,
        consumer: &mut Consumer,
    ) -> milena::Result<usize> {
        let body = async |transaction: &milena::Transaction<'_>, batch: &Batch| {
            let records = batch.iter().map(|message| {
                let record =
                    Record::to(self.target.as_str()).key(message.key().unwrap_or_default());
                record.value(message.value().unwrap_or_default())
            });
            transaction.enqueue_all(records).await?;
            milena::Result::Ok(())
        };
        producer.transform(consumer, POLL, body).await
    }

    /// Reads what is committed, as a member of a group, until all is read.
    pub(super) async fn read(&self, kafka: Kafka) -> Result {
        let copied = Arc::new(Copied::new(&self.doubt));
        let listener = Commits { copied: Arc::clone(&copied), commits: true };
        let consumer = consumer(&kafka, &self.readers, &self.target)?;
        let consumer = consumer.set("group.protocol", "auto")?;
        let consumer = consumer.set("isolation.level", "read_committed")?;
        let mut consumer = consumer.on_rebalance(listener).build().await?;
        let handle = consumer.handle();
        let mut batches = 0;
        while !self.read.is_complete() {
            let batch = match consumer.poll(POLL).await {
                Ok(batch) if batch.is_empty() => continue,
                Ok(batch) => batch,
                Err(error) if is_damage(&error) => {
                    self.troubles.note("readers fetched", &error);
                    sleep(REST).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            copied.check()?;
            let read = entries(&batch)?;
            self.read.note(&read)?;
            copied.add(&read);
            batches += 1;
            if batches % COMMITS_EVERY == 0 {
                copied.commit(&handle).await?;
            }
        }
        consumer.close(GRACE).await?;
        copied.close();
        copied.check()?;
        kafka.close(GRACE).await;
        Ok(())
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (acknowledged, read) = (self.acknowledged.count(), self.read.count());
        let copied = self.copied.load(Ordering::Relaxed);
        write!(f, "acknowledged {acknowledged}, copied {copied}, read {read}")
    }
}

/// Under which id the copier `number` of a group writes.
pub(super) fn transactional_id(group: &str, number: usize) -> String {
    format!("{group}-{number}")
}

fn consumer(kafka: &Kafka, group: &str, topic: &str) -> milena::Result<ConsumerBuilder> {
    let builder = kafka.consumer(group).subscribe([topic]).set("enable.auto.commit", "false")?;
    let builder = builder.set("auto.offset.reset", "earliest")?;
    builder.set("default.api.timeout.ms", PATIENCE)?.set("request.timeout.ms", REQUEST)
}

/// A batch whose checksum is wrong: it is fetched again.
fn is_damage(error: &milena::Error) -> bool {
    error.kind() == ErrorKind::InvalidRecord
}

/// Longer than any fault lasts on a machine that is busy with others.
const PATIENCE: &str = "300000";

/// Shorter than some frames are late.
const REQUEST: &str = "10000";

/// Longer than a broker stands still and another takes its groups. On the embedded broker the readers, which speak the consumer
/// protocol, have six seconds, whatever this says (see [`hasten`]): what a reader loses there is in doubt.
const SESSION_MS: u32 = 45_000;

/// Acknowledgements that may be outstanding: what is sent in a minute of the long form.
const WAITING_MAX: usize = 50_000;

/// Records that are sent at once, for batches of some.
const BURST: usize = 50;

const POLL: Duration = Duration::from_millis(200);

/// After an error, so that one that comes again at once costs no core until the storm's time is over.
const REST: Duration = Duration::from_millis(200);

/// Seldom enough for something to be in doubt.
const COMMITS_EVERY: usize = 4;

const GRACE: Duration = Duration::from_secs(60);
