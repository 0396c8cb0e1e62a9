//! The life of a member of a group of the consumer protocol.

use crate::group::MemberState;

/// Where a member stands.
///
/// ```text
///                 ┌────────────── new target ──────────────┐
///                 v                                        │
/// Unsubscribed → Joining → Reconciling → Acknowledging → Stable
///   ^              ^ ^          │              │           │
///   │              │ └─ Fenced <┴──────────────┴───────────┤ unknown member, old epoch
///   │              └─── Stale  <───────────────────────────┤ not polled for max.poll.interval.ms
///   │                   Fatal  <───────────────────────────┘
///   └── Leaving <── any, on close or unsubscribe
/// ```
///
/// The states are those of Java's `MemberState`, but for its `PREPARE_LEAVING`: here the consumer gives its partitions
/// up before it leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Not subscribed, or not started.
    Unsubscribed,
    /// A heartbeat of epoch 0 is to be sent, or on its way.
    Joining,
    /// The target is not what is held: partitions are given up, taken, or wait for metadata.
    Reconciling,
    /// What is held has changed, and the coordinator does not know yet.
    Acknowledging,
    /// What is held is the target.
    Stable,
    /// Put out of the group; joins again once its partitions are given up as lost.
    Fenced,
    /// Out of the group because the user did not poll; joins again when he does.
    Stale,
    /// The heartbeat that leaves is on its way.
    Leaving,
    /// An error that joining again does not heal; told to the user.
    Fatal,
}

impl State {
    /// Every state.
    #[cfg(test)]
    const ALL: [Self; 9] = [
        Self::Unsubscribed,
        Self::Joining,
        Self::Reconciling,
        Self::Acknowledging,
        Self::Stable,
        Self::Fenced,
        Self::Stale,
        Self::Leaving,
        Self::Fatal,
    ];

    /// Where a member may go from here.
    pub(super) const fn successors(self) -> &'static [Self] {
        use State::*;
        match self {
            Unsubscribed => &[Joining, Leaving],
            Joining => &[Reconciling, Fenced, Stale, Leaving, Fatal],
            Reconciling => &[Acknowledging, Stable, Fenced, Stale, Leaving, Fatal],
            Acknowledging | Stable => &[Reconciling, Stable, Fenced, Stale, Leaving, Fatal],
            // With the user's subscription a failed member starts over.
            Fenced | Stale | Fatal => &[Joining, Leaving],
            Leaving => &[Unsubscribed],
        }
    }

    /// Whether the coordinator counts this member in, or is asked to.
    pub(super) const fn is_in_group(self) -> bool {
        match self {
            Self::Joining | Self::Reconciling | Self::Acknowledging | Self::Stable => true,
            Self::Unsubscribed | Self::Fenced | Self::Stale | Self::Leaving | Self::Fatal => false,
        }
    }

    /// Whether a heartbeat goes out as soon as none is under way, rather than by the interval.
    pub(super) const fn is_urgent(self) -> bool {
        matches!(self, Self::Joining | Self::Acknowledging)
    }

    /// The same in the words that members of all protocols share.
    pub(super) const fn shared(self) -> MemberState {
        match self {
            Self::Unsubscribed => MemberState::Unjoined,
            Self::Joining => MemberState::Joining,
            Self::Reconciling | Self::Acknowledging => MemberState::Settling,
            Self::Stable => MemberState::Stable,
            Self::Fenced => MemberState::Preparing,
            Self::Stale => MemberState::Expelled,
            Self::Leaving => MemberState::Leaving,
            Self::Fatal => MemberState::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reached_and_none_is_a_trap() {
        for state in State::ALL {
            assert!(!state.successors().is_empty(), "{state:?} has no way out");
            let leads_here = |from: &State| *from != state && from.successors().contains(&state);
            assert!(State::ALL.iter().any(leads_here), "{state:?} cannot be reached");
        }
    }

    /// Closing must not wait for anything.
    #[test]
    fn a_member_may_leave_from_every_state() {
        for state in State::ALL {
            let leaves = state.successors().contains(&State::Leaving);
            assert!(leaves || state == State::Leaving, "{state:?}");
        }
    }

    /// Fenced, stale and failed members own nothing: only by joining do they come back.
    #[test]
    fn who_is_out_comes_back_by_joining_alone() {
        for state in State::ALL.into_iter().filter(|state| !state.is_in_group()) {
            for next in state.successors().iter().filter(|next| next.is_in_group()) {
                assert_eq!(*next, State::Joining, "from {state:?}");
            }
        }
    }

    /// A commit carries the epoch in the states that have one.
    #[test]
    fn who_holds_partitions_may_commit() {
        for state in [State::Reconciling, State::Acknowledging, State::Stable] {
            assert!(state.shared().may_commit(), "{state:?}");
        }
        for state in [State::Joining, State::Stale, State::Leaving, State::Fatal] {
            assert!(!state.shared().may_commit(), "{state:?}");
        }
    }
}
