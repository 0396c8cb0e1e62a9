//! Who waits for what, and until when.

use std::time::Instant;

use crate::Error;

/// Names a call on transactions; comes back with its result.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionCall(pub(super) u64);

/// What a call waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// That a transaction may begin, or that the last one has ended.
    Settle,
    /// That a transaction begins.
    Begin,
    /// That offsets are in the transaction.
    Offsets,
    /// That the transaction is committed.
    Commit,
    /// That the transaction is aborted.
    Abort,
}

/// The calls without a result. Bounded by the tasks that wait.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Vec<(TransactionCall, Wish, Instant)>,
    dealt: u64,
    results: Vec<(TransactionCall, Result<(), Error>)>,
}

impl Calls {
    /// A call that waits until `deadline`.
    pub(super) fn add(&mut self, wish: Wish, deadline: Instant) -> TransactionCall {
        self.dealt += 1;
        let call = TransactionCall(self.dealt);
        self.open.push((call, wish, deadline));
        call
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether anyone waits for `wish`.
    pub(super) fn wants(&self, wish: Wish) -> bool {
        self.open.iter().any(|&(_, wanted, _)| wanted == wish)
    }

    /// Who waits longest for `wish`.
    pub(super) fn first(&self, wish: Wish) -> Option<TransactionCall> {
        let first = self.open.iter().find(|&&(_, wanted, _)| wanted == wish);
        first.map(|&(call, ..)| call)
    }

    /// `call` has its result; one that gave up waiting does not want it.
    pub(super) fn finish(&mut self, call: TransactionCall, result: Result<(), Error>) {
        let before = self.open.len();
        self.open.retain(|&(open, ..)| open != call);
        if self.open.len() < before {
            self.results.push((call, result));
        }
    }

    /// All who wait for `wish` have their result.
    pub(super) fn finish_all(&mut self, wish: Wish, result: &Result<(), Error>) {
        let results = &mut self.results;
        self.open.retain(|&(call, wanted, _)| {
            if wanted == wish {
                results.push((call, result.clone()));
            }
            wanted != wish
        });
    }

    /// One whose time is over, the oldest first.
    pub(super) fn late(&self, now: Instant) -> Option<(TransactionCall, Wish)> {
        let late = self.open.iter().find(|&&(.., deadline)| deadline <= now);
        late.map(|&(call, wish, _)| (call, wish))
    }

    /// When the first deadline passes.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.open.iter().map(|&(.., deadline)| deadline).min()
    }

    /// The results since the last time.
    pub(super) fn take_results(&mut self) -> Vec<(TransactionCall, Result<(), Error>)> {
        std::mem::take(&mut self.results)
    }
}
