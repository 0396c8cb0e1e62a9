//! Where a transactional producer is.

/// Where a transactional producer is between two commands.
///
/// ```text
/// Starting ⇄ Ready ──→ Open ──→ Committing ──→ Ready
///                        │           │
///                        ├──→ Failed ←
///                        ↓      ↓
///                        Aborting ──→ Ready         any ──→ Broken
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// It has no producer id and epoch that a transaction may use; InitProducerId brings them.
    Starting,
    /// No transaction is open; the next may begin.
    Ready,
    /// A transaction takes records and offsets.
    Open,
    /// Something of the transaction is lost: it can only be aborted.
    Failed,
    /// What was sent is on its way to the log, and then the transaction is committed.
    Committing,
    /// What is under way is waited for, and then the transaction is aborted.
    Aborting,
    /// The producer is fenced, or must not go on for another reason.
    Broken,
}

impl State {
    #[cfg(test)]
    const ALL: [Self; 7] = [
        Self::Starting,
        Self::Ready,
        Self::Open,
        Self::Failed,
        Self::Committing,
        Self::Aborting,
        Self::Broken,
    ];

    /// Where it may go from here.
    const fn successors(self) -> &'static [Self] {
        match self {
            Self::Starting => &[Self::Ready, Self::Broken],
            // The next transaction needs a new epoch, where the last one left something in doubt.
            Self::Ready => &[Self::Open, Self::Starting, Self::Broken],
            Self::Open => &[Self::Failed, Self::Committing, Self::Aborting, Self::Broken],
            Self::Failed => &[Self::Aborting, Self::Broken],
            Self::Committing => &[Self::Ready, Self::Failed, Self::Broken],
            // An abort that fails leaves nothing to do.
            Self::Aborting => &[Self::Ready, Self::Broken],
            Self::Broken => &[],
        }
    }

    /// Changes to `next` where that is allowed, and tells whether it was.
    pub(super) fn become_if_allowed(&mut self, next: Self) -> bool {
        let is_allowed = self.successors().contains(&next);
        if is_allowed {
            *self = next;
        }
        is_allowed
    }

    /// Whether a transaction is under way.
    pub(super) const fn is_within(self) -> bool {
        match self {
            Self::Open | Self::Failed | Self::Committing | Self::Aborting => true,
            Self::Starting | Self::Ready | Self::Broken => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_transitions_happen() {
        for from in State::ALL {
            for to in State::ALL {
                let mut state = from;
                let is_allowed = from.successors().contains(&to);
                assert_eq!(state.become_if_allowed(to), is_allowed, "{from:?} {to:?}");
                assert_eq!(state, if is_allowed { to } else { from });
            }
        }
    }

    /// A state that nothing leads to, or out of, would be a defect of the table.
    #[test]
    fn every_state_is_reached_and_leads_on() {
        for state in State::ALL {
            let is_reached = State::ALL.iter().any(|from| from.successors().contains(&state));
            assert!(is_reached, "{state:?} cannot be reached");
            assert_eq!(state.successors().is_empty(), state == State::Broken, "{state:?}");
        }
    }

    /// The way from a failure to a commit is the one way to lose half of a transaction.
    #[test]
    fn what_failed_is_never_committed() {
        for state in [State::Failed, State::Aborting, State::Broken] {
            assert!(!state.successors().contains(&State::Committing), "{state:?}");
            assert!(!state.successors().contains(&State::Open), "{state:?}");
        }
    }
}
