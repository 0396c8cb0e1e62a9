//! The task that owns a share consumer's machine.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use milena_engine::metadata::Interest;
use milena_engine::request::Answer;
use milena_engine::share::{Acknowledgement, CommitId, Output, ShareConsumer as Machine};
use milena_engine::{Error, Operation};
use tokio::sync::{mpsc, oneshot};

use super::metadata::MetadataHandle;
use super::{Life, now, until};
use crate::meter::Stopwatch;
use crate::net::{Pool, ReplyTo};
use crate::producer::guarded;
use crate::share::Counters;

/// Work on the machine, at a moment.
pub(crate) type Call = Box<dyn FnOnce(&mut Machine, std::time::Instant) + Send>;

/// Hears what became of acknowledgements.
pub(crate) type OnAcknowledged = Arc<dyn Fn(&Acknowledgement) + Send + Sync>;

/// What a share consumer and its handles ask of the driver.
pub(crate) enum Command {
    /// Something that the machine does at once.
    Call(Call),
    /// Send what was said so far, and wait for the answers.
    Commit { done: oneshot::Sender<Result<(), Error>> },
    /// Say what is left, release, leave, end.
    Close { timeout: Duration, done: oneshot::Sender<Result<(), Error>> },
}

/// What needs no reply: flags that the driver looks at when it is woken, so that any number of them takes no room.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(crate) life: Life,
    hurry: AtomicBool,
}

impl Signals {
    /// Asks for what was said to be sent at once.
    pub(crate) fn hurry(&self) {
        self.hurry.store(true, Ordering::Release);
        self.life.wake();
    }
}

/// A share consumer's machine with everything that it needs of the world.
pub(crate) struct Driver {
    pub(crate) machine: Machine,
    pub(crate) pool: Pool,
    pub(crate) metadata: MetadataHandle,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) on_acknowledged: Option<OnAcknowledged>,
}

impl Driver {
    /// Runs until the consumer is closed, or dropped and left its group.
    pub(crate) async fn run(self) {
        let Self { mut machine, pool, metadata, mut commands, signals, .. } = self;
        let (counters, on_acknowledged) = (self.counters, self.on_acknowledged);
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
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Request(request) => {
                        stopwatch.start(&request);
                        pool.submit(request, ReplyTo::Driver(answer.clone()));
                    }
                    Output::Topics(topics) => {
                        interest.set(Interest::Topics { topics, may_create: false });
                    }
                    Output::RefreshMetadata => metadata.refresh(),
                    Output::LeaderHint(hint) => metadata.hint(hint),
                    Output::Acknowledged(acknowledgement) => {
                        counters.acknowledged(&acknowledgement);
                        if let Some(callback) = &on_acknowledged {
                            guarded("callback of acknowledgements", || callback(&acknowledgement));
                        }
                    }
                    Output::Committed { id, result } => waiting.committed(id, result),
                    Output::Closed { result } => {
                        signals.life.end();
                        waiting.closed(&result);
                        // Who asks for something hears at once that it is over.
                        drop(commands);
                        // The last requests, for whose answers there was no time, were only submitted.
                        return pool.close(GOODBYE).await;
                    }
                }
            }
            tokio::select! {
                biased;
                command = commands.recv(), if !is_abandoned => match command {
                    Some(command) => waiting.command(&mut machine, command),
                    None => {
                        is_abandoned = true;
                        machine.abandon(now(), ABANDONED_TIMEOUT);
                    }
                },
                () = signals.life.woken() => {
                    if signals.hurry.swap(false, Ordering::Acquire) {
                        machine.hurry(now());
                    }
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
                    pool.update(&metadata.load());
                    machine.handle_cluster(now(), metadata.snapshot());
                }
                () = until(machine.poll_timeout()) => machine.handle_timeout(now()),
            }
        }
    }
}

/// Who waits for what the machine was asked to do.
#[derive(Default)]
struct Waiting {
    commits: BTreeMap<CommitId, oneshot::Sender<Result<(), Error>>>,
    closes: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Waiting {
    fn command(&mut self, machine: &mut Machine, command: Command) {
        match command {
            Command::Call(call) => call(machine, now()),
            Command::Commit { done } => {
                let id = machine.commit(now());
                self.commits.insert(id, done);
            }
            Command::Close { timeout, done } => {
                self.closes.push(done);
                machine.close(now(), timeout);
            }
        }
    }

    fn committed(&mut self, id: CommitId, result: Result<(), Error>) {
        // Who dropped the future does not want to know.
        if let Some(done) = self.commits.remove(&id) {
            let _ = done.send(result);
        }
    }

    fn closed(self, result: &Result<(), Error>) {
        let closed = || Error::closed().during(Operation::Close);
        self.commits.into_values().for_each(|done| drop(done.send(Err(closed()))));
        self.closes.into_iter().for_each(|done| drop(done.send(result.clone())));
    }
}

/// What a consumer that was dropped rather than closed gives its goodbye.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(5);

/// For what was sent last; nobody waits for it.
const GOODBYE: Duration = Duration::from_secs(1);
