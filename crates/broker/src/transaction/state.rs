//! What a transactional id is at, and where it may go from there.

/// Kafka's states of a transactional id; there are no others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "they are written to Kafka's log by number")]
pub enum TransactionState {
    /// Nothing was written since the producer began.
    Empty,
    /// Partitions take part.
    Ongoing,
    /// It will be committed; markers are being written.
    PrepareCommit,
    /// It will be aborted; markers are being written.
    PrepareAbort,
    /// Every partition has its marker of the commit.
    CompleteCommit,
    /// Every partition has its marker of the abort.
    CompleteAbort,
    /// Unused for so long that it is about to be forgotten.
    Dead,
    /// The epoch is raised, so that the producer that holds the open transaction is shut out.
    PrepareEpochFence,
}

impl TransactionState {
    /// Every state, in the order of Kafka's numbers.
    pub(crate) const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    /// The name that DescribeTransactions and ListTransactions use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The states that it may be reached from, as `TransactionState.validPreviousStates`.
    const fn previous(self) -> &'static [Self] {
        use TransactionState::{
            CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
            PrepareEpochFence,
        };
        match self {
            Self::Empty | Self::Dead => &[Empty, CompleteCommit, CompleteAbort],
            Self::Ongoing => &[Ongoing, Empty, CompleteCommit, CompleteAbort],
            Self::PrepareCommit | Self::PrepareEpochFence => &[Ongoing],
            // With version 2 a producer that does not know whether anything was added aborts to be sure.
            Self::PrepareAbort => {
                &[Ongoing, PrepareEpochFence, Empty, CompleteCommit, CompleteAbort]
            }
            Self::CompleteCommit => &[PrepareCommit],
            Self::CompleteAbort => &[PrepareAbort],
        }
    }

    /// Whether a transactional id may go from here to `next`.
    pub(super) fn may_become(self, next: Self) -> bool {
        next.previous().contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionState as S;

    /// Every pair, written out: rows are from, columns to, in the order of Kafka's numbers.
    #[test]
    fn only_kafkas_transitions_are_allowed() {
        let table = [
            (S::Empty, "E O . a . . D ."),
            (S::Ongoing, ". O c a . . . F"),
            (S::PrepareCommit, ". . . . C . . ."),
            (S::PrepareAbort, ". . . . . A . ."),
            (S::CompleteCommit, "E O . a . . D ."),
            (S::CompleteAbort, "E O . a . . D ."),
            (S::Dead, ". . . . . . . ."),
            (S::PrepareEpochFence, ". . . a . . . ."),
        ];
        assert_eq!(table.map(|(from, _)| from), S::ALL);
        for (from, row) in table {
            let allowed: Vec<_> = row.split(' ').map(|cell| cell != ".").collect();
            let is: Vec<_> = S::ALL.map(|to| from.may_become(to)).into();
            assert_eq!(is, allowed, "{from:?}");
        }
    }
}
