//! A member of a group that copies what it reads to the next topic of a chain.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::{
    Batch, Consumer, ConsumerHandle, ErrorKind, GroupMembershipOperation, Kafka, RebalanceListener,
    Record, TopicPartition,
};

use milena_types::ErrorCode;
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::ledger::{Doubt, Entry, Ledger, entries};

/// How the members of one group copy.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) group: String,
    pub(crate) source: String,
    pub(crate) target: String,
    /// Settings of the consumers.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Members have names, and keep their partitions while they are away.
    pub(crate) is_static: bool,
    /// Records and offsets go together, or the offsets follow.
    pub(crate) is_transactional: bool,
    pub(crate) ledger: Ledger,
    /// What is copied twice here is read twice by the groups behind.
    pub(crate) doubt: Arc<Doubt>,
}

impl Link {
    /// Copies as the member `number` until all records are read. One that quits does so after so many batches, with one
    /// more in hand; if it has a name it comes back, and stays.
    pub(crate) async fn run(
        &self,
        kafka: Kafka,
        number: usize,
        quits_after: Option<usize>,
    ) -> Result {
        self.live(&kafka, number, quits_after).await.map_err(|e| self.told(number, &e))?;
        if quits_after.is_some() && self.is_static {
            self.come_back(&kafka, number).await.map_err(|e| self.told(number, &e))?;
        }
        kafka.close(GRACE).await;
        Ok(())
    }

    /// Starts a member again that has quit. If its leave was lost, the coordinator keeps the name for the member that was until a
    /// session is over: who looks after services starts it once more till then.
    async fn come_back(&self, kafka: &Kafka, number: usize) -> Result {
        let until = Instant::now() + TAKEN_MAX;
        loop {
            match self.live(kafka, number, None).await {
                Err(error) if is_taken(&*error) && Instant::now() < until => sleep(REST).await,
                ended => return ended,
            }
        }
    }

    fn told(&self, number: usize, error: &impl fmt::Display) -> String {
        format!("member {number} of {}: {error}", self.group)
    }

    async fn live(&self, kafka: &Kafka, number: usize, quits_after: Option<usize>) -> Result {
        let mut builder = kafka.consumer(self.group.as_str()).subscribe([self.source.as_str()]);
        builder = builder.set("enable.auto.commit", "false")?;
        builder = builder.set("auto.offset.reset", "earliest")?;
        builder = builder.set("default.api.timeout.ms", PATIENCE)?;
        for (key, value) in &self.settings {
            builder = builder.set(key, value)?;
        }
        if self.is_static {
            builder = builder.set("group.instance.id", &format!("{}-{number}", self.group))?;
        }
        let copied = Arc::new(Copied::new(&self.doubt));
        let commits = !self.is_transactional && quits_after.is_none();
        let listener = Commits { copied: Arc::clone(&copied), commits };
        if self.is_transactional {
            builder = builder.set("isolation.level", "read_committed")?;
        }
        let mut consumer = builder.on_rebalance(listener).build().await?;
        let worked = if self.is_transactional {
            let id = format!("{}-{number}", self.group);
            self.transact(kafka, &mut consumer, id, quits_after).await
        } else {
            self.copy(kafka, &mut consumer, quits_after, &copied).await
        };
        if worked.is_err() {
            copied.lose();
        }
        worked?;
        // Only who comes back stays.
        let leave = if self.is_static && quits_after.is_some() {
            GroupMembershipOperation::RemainInGroup
        } else {
            GroupMembershipOperation::LeaveGroup
        };
        consumer.close_with(GRACE, leave).await?;
        copied.close();
        copied.check()
    }

    /// Who stays commits at times, and always what is about to go; who quits commits each batch but the last, which
    /// nobody has then seen.
    async fn copy(
        &self,
        kafka: &Kafka,
        consumer: &mut Consumer,
        quits_after: Option<usize>,
        copied: &Copied,
    ) -> Result {
        let producer = kafka
            .producer()
            .set("buffer.memory", BUFFER)?
            .set("batch.size", BATCH)?
            .build()
            .await?;
        let handle = consumer.handle();
        let mut batches = 0;
        while !self.ledger.is_complete() {
            let batch = consumer.poll(POLL).await?;
            copied.check()?;
            if batch.is_empty() {
                continue;
            }
            if quits_after == Some(batches) {
                break;
            }
            let read = entries(&batch)?;
            self.ledger.note(&read)?;
            copied.add(&read);
            for outcome in producer.enqueue_all(self.records(&batch)).await.await.iter() {
                outcome.map_err(|e| format!("{e}, of {:?}", e.fate()))?;
            }
            batches += 1;
            if quits_after.is_some() || batches % COMMITS_EVERY == 0 {
                copied.commit(&handle).await?;
            }
        }
        Ok(producer.close(GRACE).await?)
    }

    async fn transact(
        &self,
        kafka: &Kafka,
        consumer: &mut Consumer,
        id: String,
        quits_after: Option<usize>,
    ) -> Result {
        let producer = kafka.producer().transactional_id(id).set("max.block.ms", PATIENCE)?;
        let producer = producer.set("transaction.timeout.ms", PATIENCE)?;
        let mut producer = producer
            .set("buffer.memory", BUFFER)?
            .set("batch.size", BATCH)?
            .build_transactional()
            .await?;
        let mut batches = 0;
        while !self.ledger.is_complete() {
            let quits = quits_after == Some(batches);
            let mut read = Vec::new();
            let copied = producer.transform(consumer, POLL, async |transaction, batch| {
                read = entries(batch)?;
                transaction.enqueue_all(self.records(batch)).await?;
                if quits { Err(Quits.into()) } else { Result::Ok(()) }
            });
            match copied.await {
                Ok(0) => {}
                Ok(_) => {
                    self.ledger.note(&read)?;
                    batches += 1;
                }
                Err(error) if error.is::<Quits>() => break,
                Err(error) => match error.downcast_ref::<milena::Error>() {
                    Some(aborted) if aborted.is_abortable() => {
                        println!("            {}: aborted: {aborted}", self.group);
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(producer.close(GRACE).await?)
    }

    fn records<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = Record<'a>> {
        batch.iter().map(|message| {
            let record = Record::to(self.target.as_str()).key(message.key().unwrap_or_default());
            record.value(message.value().unwrap_or_default())
        })
    }
}

/// The name of a static member is another's still.
fn is_taken(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<milena::Error>();
    error.and_then(milena::Error::code) == Some(ErrorCode::UNRELEASED_INSTANCE_ID)
}

/// A member leaves with a batch in hand.
#[derive(Debug)]
struct Quits;

impl fmt::Display for Quits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the member quits")
    }
}

impl std::error::Error for Quits {}

/// What one member has copied, or only read, without transactions.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    keys: Mutex<Keys>,
    doubt: Arc<Doubt>,
    /// What the listener could not do.
    troubles: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Keys {
    new: Vec<usize>,
    /// In the last commit, unless their partitions were lost before it: that is told in a later poll.
    committed: Vec<usize>,
}

impl Copied {
    /// A member's, whose doubts are added to those of its group.
    pub(crate) fn new(doubt: &Arc<Doubt>) -> Self {
        Self { doubt: Arc::clone(doubt), ..Self::default() }
    }

    /// Takes in what the next commit is to cover.
    pub(crate) fn add(&self, entries: &[Entry]) {
        self.keys.lock().unwrap().new.extend(entries.iter().map(|entry| entry.key));
    }

    /// Commits, or leaves it to others where the partitions are theirs.
    pub(crate) async fn commit(
        &self,
        handle: &ConsumerHandle,
    ) -> std::result::Result<(), milena::Error> {
        match handle.commit().await {
            Ok(()) => {
                let mut keys = self.keys.lock().unwrap();
                keys.committed = std::mem::take(&mut keys.new);
            }
            Err(error) if error.kind() == ErrorKind::Rebalanced => self.lose(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn lose(&self) {
        let Keys { new, committed } = std::mem::take(&mut *self.keys.lock().unwrap());
        self.doubt.add(new.into_iter().chain(committed));
    }

    /// Who has closed his consumer has committed all that he had still.
    pub(crate) fn close(&self) {
        self.doubt.add(std::mem::take(&mut self.keys.lock().unwrap().new));
    }

    pub(crate) fn check(&self) -> Result {
        let troubles = self.troubles.lock().unwrap();
        if troubles.is_empty() { Ok(()) } else { Err(format!("{troubles:?}").into()) }
    }
}

/// A listener that commits what goes.
pub(crate) struct Commits {
    pub(crate) copied: Arc<Copied>,
    pub(crate) commits: bool,
}

impl RebalanceListener for Commits {
    async fn revoked(&self, handle: &ConsumerHandle, partitions: &[TopicPartition]) {
        if self.commits
            && let Err(error) = self.copied.commit(handle).await
        {
            let trouble = format!("{partitions:?} go uncommitted: {error}");
            self.copied.troubles.lock().unwrap().push(trouble);
        }
    }

    /// A coordinator of the consumer protocol fences a member two of whose answers in a row were lost while the group
    /// moved on. In a transaction that is an abort and nothing else.
    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        if !partitions.is_empty() {
            self.copied.lose();
        }
    }
}

/// Short, for who waits at the end of a topic to see that all is read.
const POLL: Duration = Duration::from_millis(100);

/// Room for few batches, so that members wait for it.
pub(crate) const BUFFER: &str = "65536";

/// So that there is room for one of each partition.
pub(crate) const BATCH: &str = "4096";

/// Longer than connections are down on a machine that is busy with others, and than a group waits for a member that
/// never heard its own id: a session, and more than one may be in a row.
const PATIENCE: &str = "300000";

const GRACE: Duration = Duration::from_secs(60);

/// Two sessions.
const TAKEN_MAX: Duration = Duration::from_secs(90);

/// Before a member is started once more.
const REST: Duration = Duration::from_secs(1);

/// Seldom enough for most partitions to go with something uncommitted.
const COMMITS_EVERY: usize = 4;
