//! A member of a group that polls in the background, and what it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::{Consumer, ConsumerHandle, RebalanceListener, TopicPartition};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::Result;

/// What a member has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// By what the listener was told.
    pub(crate) owned: BTreeSet<TopicPartition>,
    /// `+` assigned, `-` revoked, `!` lost, each with how many partitions.
    pub(crate) changes: Vec<(char, usize)>,
    /// Each record as often as it was handed out.
    pub(crate) records: BTreeMap<(TopicPartition, i64), u32>,
}

impl Seen {
    /// The changes that moved something. A coordinator that has not heard of a new topic yet assigns nothing of it first.
    pub(crate) fn moves(&self) -> Vec<(char, usize)> {
        self.changes.iter().copied().filter(|(_, partitions)| *partitions > 0).collect()
    }
}

/// A consumer in a task of its own. Dropped, it goes as a consumer that is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    seen: Arc<Mutex<Seen>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result>,
}

/// A listener that keeps account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(Arc<Mutex<Seen>>);

impl RebalanceListener for Account {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        let mut seen = self.0.lock().unwrap();
        seen.changes.push(('+', partitions.len()));
        seen.owned.extend(partitions.iter().cloned());
    }

    async fn revoked(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.gone('-', partitions);
    }

    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.gone('!', partitions);
    }
}

impl Account {
    fn gone(&self, sign: char, partitions: &[TopicPartition]) {
        let mut seen = self.0.lock().unwrap();
        seen.changes.push((sign, partitions.len()));
        for partition in partitions {
            assert!(seen.owned.remove(partition), "{partition} goes and never came");
        }
    }

    /// Polls until `stop` resolves, and gives the consumer back.
    pub(crate) async fn poll(
        &self,
        mut consumer: Consumer,
        stop: oneshot::Receiver<()>,
    ) -> Result<Consumer> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let batch = tokio::select! {
                biased;
                _ = &mut stop => return Ok(consumer),
                batch = consumer.poll(Duration::from_secs(1)) => batch?,
            };
            let mut seen = self.0.lock().unwrap();
            for message in &batch {
                let partition = TopicPartition::new(message.topic(), message.partition());
                *seen.records.entry((partition, message.offset().get())).or_default() += 1;
            }
        }
    }
}

impl Member {
    /// Polls with what `build` makes of a listener.
    pub(crate) async fn start<B>(build: impl FnOnce(Account) -> B) -> Result<Self>
    where
        B: Future<Output = Result<Consumer>>,
    {
        let account = Account::default();
        let consumer = build(account.clone()).await?;
        let seen = Arc::clone(&account.0);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let consumer = account.poll(consumer, stopped).await?;
            Ok(consumer.close(Duration::from_secs(30)).await?)
        });
        Ok(Self { seen, stop, task })
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// The partitions that the listener knows to be owned, without their topic.
    pub(crate) fn owned(&self) -> Vec<i32> {
        self.seen().owned.iter().map(|partition| partition.partition).collect()
    }

    /// Why it polls no more, if it does not.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Closes the consumer, and tells what it has seen in its life.
    pub(crate) async fn stop(self) -> Result<Seen> {
        _ = self.stop.send(());
        self.task.await??;
        let seen = self.seen.lock().unwrap();
        Ok(seen.clone())
    }

    /// What its last poll failed with.
    pub(crate) async fn failure(self) -> Result<String> {
        match self.task.await? {
            Ok(()) => Err("it did not fail".into()),
            Err(error) => Ok(error.to_string()),
        }
    }
}

/// Waits until `holds`, and says what did not come about in time.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() >= deadline {
            return Err(format!("not within {PATIENCE:?}: {what}").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// On a machine that is busy with others a rebalance takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
