//! The task that owns a producer's machine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use milena_engine::producer::{Accumulator, FlushId, Output, Producer as Machine, Settings};
use milena_engine::request::Answer;
use milena_engine::{Error, Operation};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::metadata::MetadataHandle;
use super::pace::Pace;
use super::seal::Sealers;
use super::transaction::{Ask, Transacting};
use super::{ask, now, turn, until};
use crate::Kafka;
use crate::clock::after;
use crate::interceptor::Interceptors;
use crate::net::{Pool, ReplyTo};
use crate::producer::{Detached, Mark};

/// How a producer's clones reach its driver.
pub(crate) struct Control {
    accumulator: Arc<Accumulator>,
    wake: Arc<Notify>,
    pace: Arc<Pace>,
    commands: mpsc::Sender<Command>,
    detached: Arc<Detached>,
    /// Awaited once, by whoever closes.
    task: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Flush { done: oneshot::Sender<()> },
    Transaction(Ask),
    Close { deadline: Instant, done: oneshot::Sender<Result<(), Error>> },
}

impl Control {
    /// Starts a producer's driver.
    pub(crate) fn spawn(
        kafka: &Kafka,
        mut settings: Settings,
        interceptors: Option<Arc<Interceptors>>,
    ) -> Self {
        let mut rng = kafka.fork_rng();
        settings.sealers = Sealers::count_at_once();
        let accumulator = Arc::new(Accumulator::new(&settings, rng.u64(..)));
        let wake = Arc::new(Notify::new());
        let pace = Arc::new(Pace::new(Arc::clone(&accumulator), Arc::clone(&wake)));
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let detached = Arc::new(Detached::new(Arc::clone(&accumulator), Arc::clone(&wake)));
        let driver = Driver {
            machine: Machine::new(settings, Arc::clone(&accumulator), rng),
            pool: kafka.pool().clone(),
            metadata: kafka.metadata().clone(),
            wake: Arc::clone(&wake),
            pace: Arc::clone(&pace),
            commands: inbox,
            detached: Arc::clone(&detached),
            interceptors,
        };
        let task = Mutex::new(Some(tokio::spawn(driver.run())));
        Self { accumulator, wake, pace, commands, detached, task }
    }

    pub(crate) fn accumulator(&self) -> &Accumulator {
        &self.accumulator
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Has the driver look at the accumulator.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let Some(mark) = self.detached.mark() else { return self.flush_admitted().await };
        // The others need not wait for those that wait for admission.
        self.flush_admitted().await?;
        self.detached.settled(mark).await;
        self.flush_admitted().await
    }

    async fn flush_admitted(&self) -> Result<(), Error> {
        let (done, reply) = oneshot::channel();
        ask(&self.commands, Command::Flush { done }, reply, Operation::Flush).await
    }

    /// Has the driver do something about transactions; `ask` makes it of the deadline and of where the reply goes.
    pub(crate) async fn transact<T>(
        &self,
        limit: Duration,
        ask: impl FnOnce(Instant, oneshot::Sender<Result<T, Error>>) -> Ask,
    ) -> Result<T, Error> {
        let (done, reply) = oneshot::channel();
        let command = Command::Transaction(ask(after(limit), done));
        super::ask(&self.commands, command, reply, Operation::Transaction).await?
    }

    pub(crate) async fn close(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = after(timeout);
        let (done, reply) = oneshot::channel();
        let closed =
            ask(&self.commands, Command::Close { deadline, done }, reply, Operation::Close).await?;
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // Its last word was said: what is left is the end of its tasks.
            let _ = task.await;
        }
        closed
    }

    pub(crate) fn detached(&self) -> &Arc<Detached> {
        &self.detached
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("accumulator", &self.accumulator).finish_non_exhaustive()
    }
}

/// A producer's machine with everything that it needs of the world.
struct Driver {
    machine: Machine,
    pool: Pool,
    metadata: MetadataHandle,
    wake: Arc<Notify>,
    pace: Arc<Pace>,
    commands: mpsc::Receiver<Command>,
    detached: Arc<Detached>,
    interceptors: Option<Arc<Interceptors>>,
}

/// Who waits for the machine.
#[derive(Default)]
struct Waiting {
    flushes: BTreeMap<FlushId, oneshot::Sender<()>>,
    closes: Vec<oneshot::Sender<Result<(), Error>>>,
    /// When the machine gives up what is left.
    deadline: Option<Instant>,
    /// Whether the machine was told to close by then.
    is_told: bool,
    /// The detached records that come before the close.
    mark: Option<Mark>,
    has_given_up: bool,
}

impl Driver {
    /// Runs until the producer is closed, or dropped and its buffer is empty.
    async fn run(self) {
        let Self { mut machine, pool, metadata, wake, pace, mut commands, detached, .. } = self;
        // Bounded by the requests that the machine has in flight.
        let (answer, mut answers) = mpsc::unbounded_channel::<Answer>();
        let mut sealers = Sealers::new();
        let mut changes = metadata.subscribe();
        let mut waiting = Waiting::default();
        let mut transacting = Transacting::new(Arc::clone(&wake));
        let features = pool.features();
        let mut is_abandoned = false;
        machine.handle_metadata(now(), metadata.snapshot());
        loop {
            transacting.clear(&mut machine);
            machine.handle_transaction_version(features.transaction_version());
            turn::pay();
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
                    Output::TransactionDone(call, result) => {
                        transacting.done(&machine, call, result);
                    }
                    Output::Closed => {
                        sealers.end().await;
                        detached.conclude();
                        if let Some(interceptors) = self.interceptors {
                            interceptors.close();
                        }
                        return waiting.closed(machine.has_given_up());
                    }
                }
            }
            pace.look();
            let unreported = detached.report().map(Instant::into_std);
            // What was detached before the close is admitted first.
            let is_settled = detached.is_settled(waiting.mark);
            if let Some(deadline) = waiting.unclosed()
                && (is_settled || deadline <= now())
            {
                waiting.is_told = true;
                waiting.has_given_up |= !is_settled;
                machine.close(now(), deadline);
                continue;
            }
            let timeouts = [machine.poll_timeout(), unreported, waiting.unclosed()];
            let timeout = timeouts.into_iter().flatten().min();
            tokio::select! {
                biased;
                command = commands.recv(), if !is_abandoned => match command {
                    Some(Command::Flush { done }) => {
                        waiting.flushes.insert(machine.flush(now()), done);
                    }
                    Some(Command::Transaction(ask)) => {
                        // The last one was dropped before this was asked.
                        transacting.clear(&mut machine);
                        transacting.ask(&mut machine, ask);
                    }
                    Some(Command::Close { deadline, done }) => {
                        waiting.mark = waiting.mark.or_else(|| detached.close());
                        if waiting.mark.is_some() {
                            // What is admitted need not wait for what is not.
                            machine.flush(now());
                        }
                        waiting.close(deadline, Some(done));
                    }
                    None => {
                        is_abandoned = true;
                        let deadline = Instant::now() + ABANDONED_TIMEOUT;
                        waiting.close(deadline, None);
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
                    machine.handle_metadata(now(), metadata.snapshot());
                }
                () = until(timeout) => machine.handle_timeout(now()),
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
        self.is_told = false;
        self.closes.extend(done);
    }

    /// The deadline of a close that the machine was not told of.
    fn unclosed(&self) -> Option<std::time::Instant> {
        let deadline = self.deadline.filter(|_| !self.is_told);
        deadline.map(Instant::into_std)
    }

    fn closed(self, has_given_up: bool) {
        for done in self.closes {
            let result = if has_given_up || self.has_given_up {
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
/// What a producer that was dropped rather than closed gives the records in its buffer.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(30);
