//! The task that owns a consumer's machine.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use milena_engine::consumer::{
    CommitId, CommitMode, CommittedOffset, Consumer as Machine, FetchBuffer,
    GroupMembershipOperation, Output, Query, QueryId, Reply, Stay,
};
use milena_engine::metadata::Interest;
use milena_engine::request::Answer;
use milena_engine::{Error, Operation};
use milena_types::TopicPartition;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::metadata::MetadataHandle;
use super::{Life, now, until};
use crate::clock::Clock;
use crate::consumer::{Counters, Interceptors};
use crate::meter::Stopwatch;
use crate::net::{Pool, ReplyTo};

/// Work on the machine, at a moment.
pub(crate) type Call = Box<dyn FnOnce(&mut Machine, std::time::Instant) + Send>;

/// What a consumer and its handles ask of the driver.
pub(crate) enum Command {
    /// Something that the machine does at once.
    Call(Call),
    /// Commit these offsets, or what was handed out, behind what was signalled before.
    Commit { offsets: Option<Offsets>, behind: Signalled, done: oneshot::Sender<Result<(), Error>> },
    /// Commit what was read, if it is this consumer's still, behind what was signalled before.
    CommitRead { read: ReadAtLast, behind: Signalled, done: oneshot::Sender<Result<(), Error>> },
    /// Ask the brokers.
    Query { query: Query, done: oneshot::Sender<Result<Reply, Error>> },
    /// Commit, leave, end.
    Close {
        timeout: Duration,
        operation: GroupMembershipOperation,
        done: oneshot::Sender<Result<(), Error>>,
    },
}

impl Command {
    /// The signalled commits that come first.
    fn behind(&self) -> Signalled {
        match self {
            Self::Commit { offsets: Some(_), behind, .. } | Self::CommitRead { behind, .. } => {
                *behind
            }
            // Of what was handed out when it is carried out: later than all that was signalled.
            Self::Commit { offsets: None, .. }
            | Self::Call(_)
            | Self::Query { .. }
            | Self::Close { .. } => Signalled::MAX,
        }
    }
}

/// Offsets to commit.
pub(crate) type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

/// Tells what was read, at the moment when the commit takes its place in line: of two that are called at once, what goes
/// second must not be what was looked up first.
pub(crate) type ReadAtLast = Box<dyn FnOnce() -> Read + Send>;

/// What was read: behind the records of each partition, and in which of its stays they were handed out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Read {
    pub(crate) ends: Offsets,
    pub(crate) stays: BTreeMap<TopicPartition, Stay>,
}

impl Read {
    pub(crate) fn put(&mut self, partition: TopicPartition, end: CommittedOffset, stay: Stay) {
        self.stays.insert(partition.clone(), stay);
        self.ends.insert(partition, end);
    }
}

/// What needs no reply: flags that the driver looks at when it is woken, so that any number of them takes no room.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(crate) life: Life,
    wish: Mutex<Wish>,
}

/// How many commits were signalled by some time.
pub(crate) type Signalled = u64;

/// A commit that nobody waits for.
#[derive(Debug, Default)]
struct Wish {
    read: Option<Read>,
    number: Signalled,
}

impl Signals {
    /// Asks for a commit of what `read` tells, without waiting for it; of those that come before the driver looks the
    /// last one counts, which is why it is told under the lock.
    pub(crate) fn commit(&self, read: impl FnOnce() -> Read) {
        let mut wish = self.wish();
        *wish = Wish { read: Some(read()), number: wish.number + 1 };
        drop(wish);
        self.life.wake();
    }

    /// How many commits were signalled so far: one that is waited for takes its place behind these.
    pub(crate) fn signalled(&self) -> Signalled {
        self.wish().number
    }

    /// The commit that was signalled last, unless that was later than `by`.
    fn take_commit(&self, by: Signalled) -> Option<Read> {
        let mut wish = self.wish();
        if wish.number <= by { wish.read.take() } else { None }
    }

    fn wish(&self) -> MutexGuard<'_, Wish> {
        // What is put there is whole or not there at all.
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consumer's machine with everything that it needs of the world.
pub(crate) struct Driver {
    pub(crate) machine: Machine,
    pub(crate) pool: Pool,
    pub(crate) metadata: MetadataHandle,
    pub(crate) clock: Arc<Clock>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) interceptors: Option<Arc<Interceptors>>,
}

impl Driver {
    /// Runs until the consumer is closed, or dropped and left its group.
    pub(crate) async fn run(self) {
        let Self { mut machine, pool, metadata, clock, mut commands, signals, .. } = self;
        let (counters, interceptors) = (self.counters, self.interceptors);
        if interceptors.is_some() {
            machine.keep_stored();
        }
        let mut stopwatch = Stopwatch::default();
        let (interest, mut changes) = (metadata.interest(), metadata.subscribe());
        let buffer = Arc::clone(machine.buffer());
        // Bounded by the requests that the machine has in flight.
        let (answer, mut answers) = mpsc::unbounded_channel::<Answer>();
        let mut waiting = Waiting::default();
        let mut is_abandoned = false;
        pool.update(&metadata.load());
        machine.handle_cluster(now(), metadata.snapshot());
        loop {
            while let (Some(offsets), Some(chain)) = (machine.take_stored(), &interceptors) {
                chain.on_commit(&offsets);
            }
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Request(request) => {
                        stopwatch.start(&request);
                        pool.submit(request, ReplyTo::Driver(answer.clone()))
                    }
                    Output::Topics { topics, may_create } => {
                        interest.set(Interest::Topics { topics, may_create });
                    }
                    Output::AllTopics => interest.set(Interest::AllTopics),
                    Output::RefreshMetadata => metadata.refresh(),
                    Output::LeaderHint(hint) => metadata.hint(hint),
                    Output::Committed { id, result } => {
                        counters.committed(result.is_ok());
                        waiting.committed(id, result);
                    }
                    Output::Answered { id, result } => waiting.answered(id, result),
                    Output::Closed { result } => {
                        signals.life.end();
                        if let Some(chain) = &interceptors {
                            chain.close();
                        }
                        waiting.closed(&result);
                        // Who asks for something hears at once that it is over.
                        drop(commands);
                        // The last requests, as a LeaveGroup for which there was no time, were only submitted.
                        return pool.close(GOODBYE).await;
                    }
                }
            }
            tokio::select! {
                biased;
                command = commands.recv(), if !is_abandoned => match command {
                    Some(command) => {
                        // Whoever calls `commit_async` and then something else means that order: behind a commit that is
                        // waited for, the older one would take the group back, and behind a close it would be none.
                        commit(&mut machine, &buffer, signals.take_commit(command.behind()));
                        waiting.command(&mut machine, command);
                    }
                    None => {
                        is_abandoned = true;
                        commit(&mut machine, &buffer, signals.take_commit(Signalled::MAX));
                        machine.abandon(now(), ABANDONED_TIMEOUT);
                    }
                },
                () = signals.life.woken() => {
                    commit(&mut machine, &buffer, signals.take_commit(Signalled::MAX));
                    if signals.life.take_abandoned() {
                        machine.abandon(now(), ABANDONED_TIMEOUT);
                    }
                }
                Some(answer) = answers.recv() => {
                    if let Some(took) = stopwatch.stop(&answer) {
                        counters.answered(&answer, took);
                    }
                    machine.handle_answer(now(), answer);
                }
                () = poll_fn(|cx| buffer.poll_stirred(cx)) => machine.handle_buffer(now()),
                Ok(()) = changes.changed() => {
                    machine.handle_wall(now(), clock.wall(Instant::now()));
                    pool.update(&metadata.load());
                    machine.handle_cluster(now(), metadata.snapshot());
                }
                () = until(machine.poll_timeout()) => machine.handle_timeout(now()),
            }
        }
    }
}

/// Commits what was signalled, if anything.
fn commit(machine: &mut Machine, buffer: &FetchBuffer, signalled: Option<Read>) {
    if let Some(Read { mut ends, stays }) = signalled {
        // What was taken away since is another member's to commit.
        ends.retain(|tp, _| buffer.stay(tp) == stays.get(tp).copied());
        // Nobody waits for it: what went wrong is in the log.
        let _ = machine.commit(now(), Some(ends), CommitMode::Once);
    }
}

/// Who waits for what the machine was asked to do.
#[derive(Default)]
struct Waiting {
    commits: BTreeMap<CommitId, oneshot::Sender<Result<(), Error>>>,
    queries: BTreeMap<QueryId, oneshot::Sender<Result<Reply, Error>>>,
    closes: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Waiting {
    fn command(&mut self, machine: &mut Machine, command: Command) {
        match command {
            Command::Call(call) => call(machine, now()),
            Command::Commit { offsets, done, .. } => {
                let id = machine.commit(now(), offsets, CommitMode::Retry);
                self.commits.insert(id, done);
            }
            Command::CommitRead { read, done, .. } => {
                let Read { ends, stays } = read();
                match machine.ensure_held(&stays) {
                    Ok(()) => {
                        let id = machine.commit(now(), Some(ends), CommitMode::Retry);
                        self.commits.insert(id, done);
                    }
                    Err(error) => drop(done.send(Err(error))),
                }
            }
            Command::Query { query, done } => {
                let id = machine.query(now(), query);
                self.queries.insert(id, done);
            }
            Command::Close { timeout, operation, done } => {
                self.closes.push(done);
                machine.close(now(), timeout, operation);
            }
        }
    }

    fn committed(&mut self, id: CommitId, result: Result<(), Error>) {
        // Who dropped the future does not want to know.
        if let Some(done) = self.commits.remove(&id) {
            let _ = done.send(result);
        } else if let Err(error) = result {
            tracing::warn!(%error, "commit failed");
        }
    }

    fn answered(&mut self, id: QueryId, result: Result<Reply, Error>) {
        if let Some(done) = self.queries.remove(&id) {
            let _ = done.send(result);
        }
    }

    fn closed(self, result: &Result<(), Error>) {
        let closed = || Error::closed().during(Operation::Close);
        self.commits.into_values().for_each(|done| drop(done.send(Err(closed()))));
        self.queries.into_values().for_each(|done| drop(done.send(Err(closed()))));
        self.closes.into_iter().for_each(|done| drop(done.send(result.clone())));
    }
}

/// What a consumer that was dropped rather than closed gives its goodbye.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(5);

/// For what was sent last; nobody waits for it.
const GOODBYE: Duration = Duration::from_secs(1);
