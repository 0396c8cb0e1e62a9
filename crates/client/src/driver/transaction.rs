//! What a producer's driver does about transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milena_engine::Error;
use milena_engine::producer::Producer as Machine;
use milena_engine::transaction::{GroupMetadata, TransactionCall, TransactionOutcome};
#[cfg(feature = "unstable-two-phase-commit")]
use milena_types::{ProducerEpoch, ProducerId};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::consumer::Offsets;
use super::now;

/// What a transactional producer asks of its driver. The machine ends each call by its deadline.
pub(crate) enum Ask {
    /// Wait for the end of the last transaction, and say how it ended.
    Settle {
        deadline: Instant,
        done: oneshot::Sender<Result<Option<TransactionOutcome>, Error>>,
    },
    Begin {
        deadline: Instant,
        done: oneshot::Sender<Result<Open, Error>>,
    },
    SendOffsets {
        offsets: Offsets,
        group: GroupMetadata,
        deadline: Instant,
        done: Done,
    },
    /// Nothing of the transaction may be committed, for this reason.
    Fail {
        error: Error,
        done: Done,
    },
    /// Say by what the open transaction is known, if it can be committed.
    #[cfg(feature = "unstable-two-phase-commit")]
    Prepare {
        done: oneshot::Sender<Result<(ProducerId, ProducerEpoch), Error>>,
    },
    Commit {
        deadline: Instant,
        done: Done,
    },
    Abort {
        deadline: Instant,
        done: Done,
    },
}

pub(crate) type Done = oneshot::Sender<Result<(), Error>>;

/// An open transaction. Dropped before its end, as by a panic or with its future, it is aborted: the driver looks at
/// the flag before the next command, and the next transaction begins after that.
#[derive(Debug)]
pub(crate) struct Open {
    signal: Signal,
    is_over: bool,
}

impl Open {
    /// Nothing is left to abort.
    pub(crate) fn ended(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_over {
            self.signal.abandoned.store(true, Ordering::Release);
            self.signal.wake.notify_one();
        }
    }
}

/// Tells the driver that a transaction was dropped.
#[derive(Clone, Debug)]
struct Signal {
    abandoned: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

/// Who waits for which call.
pub(super) struct Transacting {
    signal: Signal,
    waiting: BTreeMap<TransactionCall, Reply>,
}

enum Reply {
    Settled(oneshot::Sender<Result<Option<TransactionOutcome>, Error>>),
    Begun(oneshot::Sender<Result<Open, Error>>),
    Done(Done),
}

impl Transacting {
    /// `wake` wakes the driver.
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        let signal = Signal { abandoned: Arc::default(), wake };
        Self { signal, waiting: BTreeMap::new() }
    }

    /// Aborts the transaction that was dropped, if one was.
    pub(super) fn clear(&self, machine: &mut Machine) {
        if self.signal.abandoned.swap(false, Ordering::Acquire) {
            machine.abandon_transaction();
        }
    }

    pub(super) fn ask(&mut self, machine: &mut Machine, ask: Ask) {
        let (call, reply) = match ask {
            Ask::Settle { deadline, done } => {
                (machine.settle_transaction(deadline.into_std()), Reply::Settled(done))
            }
            Ask::Begin { deadline, done } => {
                (machine.begin_transaction(deadline.into_std()), Reply::Begun(done))
            }
            Ask::SendOffsets { offsets, group, deadline, done } => {
                let deadline = deadline.into_std();
                let call = machine.send_offsets_to_transaction(offsets, group, deadline);
                (call, Reply::Done(done))
            }
            Ask::Fail { error, done } => {
                machine.fail_transaction(&error);
                // Who dropped the future does not want to know.
                let _ = done.send(Ok(()));
                return;
            }
            #[cfg(feature = "unstable-two-phase-commit")]
            Ask::Prepare { done } => {
                let _ = done.send(machine.prepare_transaction());
                return;
            }
            Ask::Commit { deadline, done } => {
                (machine.commit_transaction(now(), deadline.into_std()), Reply::Done(done))
            }
            Ask::Abort { deadline, done } => {
                (machine.abort_transaction(deadline.into_std()), Reply::Done(done))
            }
        };
        match call {
            Ok(call) => {
                self.waiting.insert(call, reply);
            }
            Err(error) => self.reply(machine, reply, Err(error)),
        }
    }

    /// A call has its result.
    pub(super) fn done(
        &mut self,
        machine: &Machine,
        call: TransactionCall,
        result: Result<(), Error>,
    ) {
        if let Some(reply) = self.waiting.remove(&call) {
            self.reply(machine, reply, result);
        }
    }

    fn reply(&self, machine: &Machine, reply: Reply, result: Result<(), Error>) {
        // Who dropped the future does not want to know; a transaction that begins for nobody is dropped, and aborted.
        match reply {
            Reply::Settled(done) => {
                drop(done.send(result.map(|()| machine.transaction_outcome())));
            }
            Reply::Begun(done) => {
                let signal = self.signal.clone();
                drop(done.send(result.map(|()| Open { signal, is_over: false })));
            }
            Reply::Done(done) => drop(done.send(result)),
        }
    }
}
