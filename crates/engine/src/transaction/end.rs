//! The end of a transaction.

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a transaction has these two ends")]
pub enum TransactionOutcome {
    /// Its records and offsets are readable.
    Committed,
    /// None of it ever will be, for those who read committed records.
    Aborted,
}

/// How the transaction is to end, and what was done about it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) outcome: TransactionOutcome,
    /// The coordinator was told, at least once.
    pub(super) is_sent: bool,
    /// It was told once without an answer: it may have done it.
    pub(super) is_lost: bool,
    /// Nobody waits for it, nor would abort what cannot be committed.
    pub(super) is_abandoned: bool,
    /// How the last transaction ended that did.
    pub(super) outcome_before: Option<TransactionOutcome>,
}

impl End {
    /// What is to be done, and nothing of it was.
    pub(super) fn begin(&mut self, outcome: TransactionOutcome) {
        self.outcome = outcome;
        self.is_sent = false;
        self.is_lost = false;
        self.is_abandoned = false;
    }

    /// It is done.
    pub(super) fn conclude(&mut self) {
        self.outcome_before = Some(self.outcome);
        self.is_sent = false;
        self.is_lost = false;
        self.is_abandoned = false;
    }
}

impl Default for End {
    fn default() -> Self {
        let outcome = TransactionOutcome::Aborted;
        Self { outcome, is_sent: false, is_lost: false, is_abandoned: false, outcome_before: None }
    }
}
