//! Keeps metadata fresh for a whole client, and hands the latest snapshot to everyone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use fastrand::Rng;
use milena_engine::metadata::{
    Cluster, Interest, InterestId, LeaderHint, Metadata, Output, Settings, TopicMetadata,
};
use milena_engine::{Error, ErrorKind, Operation, disposition};
use milena_types::{ApiKey, Topic};
use tokio::select;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::net::{Pool, ReplyTo};

/// The metadata of one client: the latest snapshot, and the way to ask for a fresher one.
///
/// Cheap to clone. The task behind it ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct MetadataHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    view: Arc<View>,
    task: JoinHandle<()>,
}

/// What the task and its handles share.
#[derive(Debug)]
struct View {
    /// Read per record, by many tasks at once. A lock, even for readers, would have their cores fight for its line;
    /// here a read costs no shared write.
    cluster: ArcSwap<Cluster>,
    /// Tells that a snapshot or a failure came.
    changes: watch::Sender<Change>,
    inbox: Mutex<Inbox>,
    bell: Notify,
}

/// What came last.
#[derive(Clone, Debug, Default)]
struct Change {
    /// Why there is nothing newer, since the last snapshot.
    trouble: Option<Error>,
}

/// What was asked since the task last looked. Repeats fall together, so that it is bounded by what there is.
#[derive(Debug, Default)]
struct Inbox {
    refresh: bool,
    touched: BTreeSet<Topic>,
    hints: Vec<LeaderHint>,
    interests: BTreeMap<u64, Interest>,
    interests_dealt: u64,
}

impl MetadataHandle {
    /// Starts the task. It asks for the brokers at once, so that a wrong address shows early.
    pub(crate) fn spawn(settings: Settings, pool: Pool, rng: Rng) -> Self {
        let view = Arc::new(View {
            cluster: ArcSwap::default(),
            changes: watch::Sender::default(),
            inbox: Mutex::default(),
            bell: Notify::new(),
        });
        let machine = Metadata::new(now(), settings, rng);
        let (answers, answered) = mpsc::unbounded_channel();
        let driver = Driver {
            view: Arc::clone(&view),
            pool,
            machine,
            answers,
            answered,
            interests: BTreeMap::new(),
        };
        let task = tokio::spawn(driver.run());
        Self(Arc::new(Shared { view, task }))
    }

    /// Ends the task: nothing newer comes, and whoever waits for it hears that the client is closed.
    pub(crate) fn close(&self) {
        self.0.task.abort();
        let closed = Error::closed().during(Operation::Metadata);
        self.0.view.changes.send_modify(|change| change.trouble = Some(closed));
    }

    /// Waits until nothing newer will come. Dropping the future loses nothing.
    pub(crate) async fn closed(&self) {
        let mut changes = self.subscribe();
        let is_closed = |trouble: Error| trouble.kind() == ErrorKind::Closed;
        while !changes.trouble().is_some_and(is_closed) && changes.changed().await.is_ok() {}
    }

    /// The latest snapshot. Cheap, but not to be kept across an await: take [`snapshot`](Self::snapshot) for that.
    pub(crate) fn load(&self) -> Guard<Arc<Cluster>> {
        self.0.view.cluster.load()
    }

    /// The latest snapshot, to keep.
    pub(crate) fn snapshot(&self) -> Arc<Cluster> {
        self.0.view.cluster.load_full()
    }

    /// Tells of every change from here on; what is marked seen is what was latest at the call.
    pub(crate) fn subscribe(&self) -> Changes {
        Changes(self.0.view.changes.subscribe())
    }

    /// Says that something did not fit the snapshot: a fresher one is asked for, as soon as may be.
    pub(crate) fn refresh(&self) {
        self.ask(|inbox| inbox.refresh = true);
    }

    /// Says that a producer uses `topic` at this moment; to be called per batch. Unknown topics are asked for.
    pub(crate) fn touch(&self, topic: &Topic) {
        self.ask(|inbox| {
            if !inbox.touched.contains(topic) {
                inbox.touched.insert(topic.clone());
            }
        });
    }

    /// Passes on where a partition went.
    pub(crate) fn hint(&self, hint: LeaderHint) {
        self.ask(|inbox| {
            // A leader that moves often is found by a refresh as well.
            if inbox.hints.len() < HINTS_MAX {
                inbox.hints.push(hint);
            } else {
                inbox.refresh = true;
            }
        });
    }

    /// A holder of interest in topics, as a consumer is one; dropping it ends the interest.
    pub(crate) fn interest(&self) -> InterestHolder {
        let mut inbox = self.0.view.inbox();
        inbox.interests_dealt += 1;
        InterestHolder { metadata: self.clone(), number: inbox.interests_dealt }
    }

    /// What is known of `topic`, as soon as its partitions are. Waits without limit: the caller has the deadline.
    ///
    /// Asking may create the topic. Dropping the future stops the wait, not the asking.
    ///
    /// # Errors
    /// What a broker says that waiting does not mend, as `Authorization`; `Authentication`; `Closed`.
    pub(crate) async fn topic(&self, topic: &Topic) -> Result<Arc<TopicMetadata>, Error> {
        let mut changes = self.subscribe();
        let mut is_fresh = false;
        loop {
            if let Some(known) = self.load().topic(topic.as_str()) {
                if known.is_usable() {
                    return Ok(Arc::clone(known));
                }
                if let Some(code) = known.error.filter(|code| !is_passing(*code)) {
                    if is_fresh {
                        let error = Error::from_code(ApiKey::METADATA, code);
                        return Err(error.during(Operation::Metadata).with_topic(topic));
                    }
                    // An earlier call was told so; since then somebody may have given us the right (F43).
                    self.refresh();
                }
            }
            if let Some(trouble) = changes.trouble().filter(Error::is_fatal) {
                return Err(trouble);
            }
            self.touch(topic);
            changes.changed().await?;
            is_fresh = true;
        }
    }

    /// Why `topic` is not known yet, for the error of a caller whose time ran out.
    pub(crate) fn trouble(&self, topic: &Topic) -> Option<Error> {
        let passing = self.load().topic(topic.as_str()).and_then(|known| known.error);
        let trouble = self.0.view.changes.borrow().trouble.clone();
        let of_topic = |code| Error::from_code(ApiKey::METADATA, code).with_topic(topic);
        trouble.or_else(|| passing.map(of_topic)).map(|error| error.during(Operation::Metadata))
    }

    fn ask(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.0.view.inbox());
        self.0.view.bell.notify_one();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells of new snapshots.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<Change>);

impl Changes {
    /// Waits for a snapshot or a failure that was not seen yet. Dropping the future loses none.
    ///
    /// # Errors
    /// `Closed` once the client is gone.
    pub(crate) async fn changed(&mut self) -> Result<(), Error> {
        self.0.changed().await.map_err(|_gone| Error::closed())
    }

    /// Why the last attempt to get a fresh snapshot failed; `None` after one that did not.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.0.borrow().trouble.clone()
    }
}

/// Holds an interest in topics for as long as it lives.
#[derive(Debug)]
pub(crate) struct InterestHolder {
    metadata: MetadataHandle,
    number: u64,
}

impl InterestHolder {
    /// Replaces what is of interest.
    pub(crate) fn set(&self, interest: Interest) {
        self.metadata.ask(|inbox| {
            inbox.interests.insert(self.number, interest);
        });
    }
}

impl Drop for InterestHolder {
    fn drop(&mut self) {
        self.set(Interest::Nothing);
    }
}

impl View {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing that can panic happens under the lock.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task.
struct Driver {
    view: Arc<View>,
    pool: Pool,
    machine: Metadata,
    answers: mpsc::UnboundedSender<milena_engine::request::Answer>,
    answered: mpsc::UnboundedReceiver<milena_engine::request::Answer>,
    interests: BTreeMap<u64, InterestId>,
}

impl Driver {
    async fn run(mut self) {
        let hung_up = self.pool.hung_up();
        loop {
            self.drain();
            let deadline = self.machine.poll_timeout().map(Instant::from_std);
            let sleep = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            select! {
                biased;
                Some(answer) = self.answered.recv() => self.machine.handle_answer(now(), answer),
                () = self.view.bell.notified() => self.empty_inbox(),
                () = hung_up.notified() => self.machine.refresh(),
                () = sleep => self.machine.handle_timeout(now()),
            }
        }
    }

    fn empty_inbox(&mut self) {
        let (refresh, touched, hints, interests) = {
            let mut inbox = self.view.inbox();
            let Inbox { refresh, touched, hints, interests, .. } = &mut *inbox;
            (
                std::mem::take(refresh),
                std::mem::take(touched),
                std::mem::take(hints),
                std::mem::take(interests),
            )
        };
        let now = now();
        for topic in &touched {
            self.machine.touch(now, topic);
        }
        for hint in &hints {
            self.machine.handle_hint(hint);
        }
        for (number, interest) in interests {
            let is_over = interest == Interest::Nothing;
            let id = *self.interests.entry(number).or_insert_with(|| self.machine.register());
            self.machine.set_interest(now, id, interest);
            if is_over {
                self.interests.remove(&number);
            }
        }
        if refresh {
            self.machine.refresh();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output(now()) {
            match output {
                Output::Request(request) => {
                    self.pool.submit(request, ReplyTo::Driver(self.answers.clone()));
                }
                Output::Publish(cluster) => {
                    let old = self.view.cluster.load();
                    if old.cluster_id() != cluster.cluster_id() {
                        info!(
                            cluster_id = cluster.cluster_id(),
                            brokers = cluster.brokers().len(),
                            "cluster"
                        );
                    }
                    drop(old);
                    self.pool.update(&cluster);
                    // First the snapshot, then the news of it: who hears the news must find it.
                    self.view.cluster.store(cluster);
                    self.view.changes.send_replace(Change { trouble: None });
                }
                Output::Failed(error) => {
                    if error.is_fatal() {
                        warn!(%error, "no metadata");
                    } else {
                        debug!(%error, "no metadata");
                    }
                    self.view.changes.send_modify(|change| change.trouble = Some(error));
                }
                Output::Rebootstrap => self.pool.rebootstrap(),
            }
        }
    }
}

fn is_passing(code: milena_types::ErrorCode) -> bool {
    use disposition::Reaction;
    matches!(
        disposition::reaction(ApiKey::METADATA, code),
        Reaction::Retry | Reaction::RefreshMetadata | Reaction::FindCoordinator
    )
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Hints that wait for the task at once; a whole broker's partitions move together.
const HINTS_MAX: usize = 10_000;

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod tests;
