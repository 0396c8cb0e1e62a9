//! The task that owns a producer's machine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use milena_engine::producer::{Accumulator, FlushId, Output, Producer as Machine, Settings};
use milena_engine::request::Answer;
use milena_engine::{Error, Operation};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::metadata::MetadataHandle;
use super::seal::Sealers;
use super::{now, until};
use crate::Kafka;
use crate::clock::Clock;
use crate::net::{Pool, ReplyTo};

/// How a producer's clones reach its driver.
pub(crate) struct Control {
    accumulator: Arc<Accumulator>,
    wake: Arc<Notify>,
    commands: mpsc::Sender<Command>,
    /// Records in tasks of their own, waiting for admission.
    detached: Arc<Semaphore>,
    /// Awaited once, by whoever closes.
    task: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Flush { done: oneshot::Sender<()> },
    Close { deadline: Instant, done: oneshot::Sender<Result<(), Error>> },
}

impl Control {
    /// Starts a producer's driver.
    pub(crate) fn spawn(kafka: &Kafka, settings: Settings) -> Self {
        let mut rng = kafka.fork_rng();
        let accumulator = Arc::new(Accumulator::new(&settings, rng.u64(..)));
        let wake = Arc::new(Notify::new());
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let driver = Driver {
            machine: Machine::new(settings, Arc::clone(&accumulator), rng),
            pool: kafka.pool().clone(),
            metadata: kafka.metadata().clone(),
            clock: Arc::clone(kafka.clock()),
            wake: Arc::clone(&wake),
            commands: inbox,
        };
        let task = Mutex::new(Some(tokio::spawn(driver.run())));
        let detached = Arc::new(Semaphore::new(DETACHED_MAX));
        Self { accumulator, wake, commands, detached, task }
    }

    pub(crate) fn accumulator(&self) -> &Accumulator {
        &self.accumulator
    }

    /// Has the driver look at the accumulator.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let (done, reply) = oneshot::channel();
        self.ask(Command::Flush { done }, reply, Operation::Flush).await
    }

    pub(crate) async fn close(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        let (done, reply) = oneshot::channel();
        let closed = self.ask(Command::Close { deadline, done }, reply, Operation::Close).await?;
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // Its last word was said: what is left is the end of its tasks.
            let _ = task.await;
        }
        closed
    }

    /// Lets `sending` go on without anyone waiting for it.
    pub(crate) fn spawn_detached(
        &self,
        sending: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        let Ok(permit) = Arc::clone(&self.detached).try_acquire_owned() else {
            let detail = "too many detached records wait for admission";
            report(&Error::buffer_full(Duration::ZERO).with_detail(detail));
            return;
        };
        tokio::spawn(async move {
            if let Err(error) = sending.await {
                report(&error);
            }
            drop(permit);
        });
    }

    async fn ask<T>(
        &self,
        command: Command,
        reply: oneshot::Receiver<T>,
        operation: Operation,
    ) -> Result<T, Error> {
        // The driver has ended if either side of its channels is gone.
        let closed = || Error::closed().during(operation);
        self.commands.send(command).await.map_err(|_| closed())?;
        reply.await.map_err(|_| closed())
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("accumulator", &self.accumulator).finish_non_exhaustive()
    }
}

/// Says that a record which nobody waits for was not stored.
pub(crate) fn report(error: &Error) {
    tracing::warn!(%error, "detached record failed");
}

/// A producer's machine with everything that it needs of the world.
struct Driver {
    machine: Machine,
    pool: Pool,
    metadata: MetadataHandle,
    clock: Arc<Clock>,
    wake: Arc<Notify>,
    commands: mpsc::Receiver<Command>,
}

/// Who waits for the machine.
#[derive(Default)]
struct Waiting {
    flushes: BTreeMap<FlushId, oneshot::Sender<()>>,
    closes: Vec<oneshot::Sender<Result<(), Error>>>,
    /// When the machine gives up what is left.
    deadline: Option<Instant>,
}

impl Driver {
    /// Runs until the producer is closed, or dropped and its buffer is empty.
    async fn run(self) {
        let Self { mut machine, pool, metadata, clock, wake, mut commands } = self;
        // Bounded by the requests that the machine has in flight.
        let (answer, mut answers) = mpsc::unbounded_channel::<Answer>();
        let mut sealers = Sealers::new();
        let mut changes = metadata.subscribe();
        let mut waiting = Waiting::default();
        let mut is_abandoned = false;
        machine.handle_metadata(now(), metadata.snapshot());
        loop {
            while let Some(output) = machine.poll_output(now()) {
                match output {
                    Output::Request(request) => {
                        pool.submit(request, ReplyTo::Driver(answer.clone()));
                    }
                    Output::Seal(job) => {
                        if let Some(sealed) = sealers.seal(job) {
                            machine.handle_sealed(sealed);
                        }
                    }
                    Output::UseTopic(topic) => metadata.touch(&topic),
                    Output::RefreshMetadata => metadata.refresh(),
                    Output::LeaderHint(hint) => metadata.hint(hint),
                    Output::Flushed(id) => waiting.flushed(id),
                    Output::Closed => {
                        sealers.end().await;
                        return waiting.closed();
                    }
                }
            }
            tokio::select! {
                biased;
                command = commands.recv(), if !is_abandoned => match command {
                    Some(Command::Flush { done }) => {
                        waiting.flushes.insert(machine.flush(now()), done);
                    }
                    Some(Command::Close { deadline, done }) => {
                        waiting.close(deadline, Some(done));
                        machine.close(now(), deadline.into_std());
                    }
                    None => {
                        is_abandoned = true;
                        let deadline = Instant::now() + ABANDONED_TIMEOUT;
                        waiting.close(deadline, None);
                        machine.close(now(), deadline.into_std());
                    }
                },
                Some(answer) = answers.recv() => {
                    machine.handle_answer(now(), answer);
                    // Answers often come together; what they free is better sent together too.
                    for _ in 0..ANSWERS_AT_ONCE {
                        let Ok(answer) = answers.try_recv() else { break };
                        machine.handle_answer(now(), answer);
                    }
                }
                sealed = sealers.next() => machine.handle_sealed(sealed),
                Ok(()) = changes.changed() => {
                    clock.correct();
                    machine.handle_metadata(now(), metadata.snapshot());
                }
                () = until(machine.poll_timeout()) => machine.handle_timeout(now()),
                // Last: appends come all the time, and `poll_output` looks at them anyway.
                () = wake.notified() => {}
            }
        }
    }
}

impl Waiting {
    fn flushed(&mut self, id: FlushId) {
        if let Some(done) = self.flushes.remove(&id) {
            // Who dropped the future does not want to know.
            let _ = done.send(());
        }
    }

    fn close(&mut self, deadline: Instant, done: Option<oneshot::Sender<Result<(), Error>>>) {
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self.closes.extend(done);
    }

    fn closed(self) {
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        for done in self.closes {
            let result = if is_late {
                let detail = "records were given up that could not be sent in the time given";
                Err(Error::new(milena_engine::ErrorKind::Timeout)
                    .with_detail(detail)
                    .during(Operation::Close))
            } else {
                Ok(())
            };
            let _ = done.send(result);
        }
    }
}

/// Calls that wait for the driver at once; who comes later waits for his turn.
const COMMANDS_MAX: usize = 64;
/// Answers looked at before requests are made of what they freed: as many as are ever in flight to a few brokers.
const ANSWERS_AT_ONCE: usize = 32;
/// Detached records that may wait for room or for their topic, each in a task of its own.
const DETACHED_MAX: usize = 1024;
/// What a producer that was dropped rather than closed gives the records in its buffer.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(30);
