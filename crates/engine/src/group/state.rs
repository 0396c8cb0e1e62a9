//! The life of a member of a classic group.

/// Where a member stands.
///
/// ```text
///    ┌──────────────── joins again; a cooperative member without Preparing ───────────────┐
///    v                                                                                    │
/// Preparing → Joining → Syncing ──────────────> Settling → Stable ────────────────────────┤
///    ^           ^         └──── Revoking ─────────^          │ not polled for too long   │
///    │           │            (cooperative only)              v                           │
///    │           └─────────── polled again ─────────────── Expelled                       │
///    └──── session over, fenced, forgotten: from any state in which partitions are held ──┘
///
/// Unjoined → Joining on subscribing; any → Leaving → Unjoined on close or unsubscribing
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum MemberState {
    /// Not subscribed, or not started.
    Unjoined,
    /// Partitions are being given up: the user's callback runs, offsets are committed.
    Preparing,
    /// JoinGroup is to be sent or waits for the other members.
    Joining,
    /// The assignment is on its way.
    Syncing,
    /// The assignment is here and takes something away, which is being given up while the rest is read on.
    Revoking,
    /// The assignment is here; the user's callback runs.
    Settling,
    /// A member with an assignment.
    Stable,
    /// Out of the group because the user did not poll; joins again when he does.
    Expelled,
    /// LeaveGroup is under way.
    Leaving,
    /// An error that joining again does not heal; told to the user.
    Failed,
}

impl MemberState {
    /// Every state.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::Unjoined,
        Self::Preparing,
        Self::Joining,
        Self::Syncing,
        Self::Revoking,
        Self::Settling,
        Self::Stable,
        Self::Expelled,
        Self::Leaving,
        Self::Failed,
    ];

    /// Where a member may go from here.
    pub(crate) const fn successors(self) -> &'static [Self] {
        match self {
            Self::Unjoined => &[Self::Preparing, Self::Joining, Self::Leaving],
            // A second reason to give partitions up, as lost after revoked, starts it over.
            Self::Preparing => {
                &[Self::Preparing, Self::Joining, Self::Expelled, Self::Leaving, Self::Failed]
            }
            // A cooperative member holds partitions while it joins, and may have to give them up as lost.
            Self::Joining => {
                &[Self::Joining, Self::Syncing, Self::Preparing, Self::Leaving, Self::Failed]
            }
            Self::Syncing => &[
                Self::Joining,
                Self::Revoking,
                Self::Settling,
                Self::Preparing,
                Self::Leaving,
                Self::Failed,
            ],
            Self::Revoking => {
                &[Self::Settling, Self::Preparing, Self::Expelled, Self::Leaving, Self::Failed]
            }
            Self::Settling => {
                &[Self::Stable, Self::Preparing, Self::Expelled, Self::Leaving, Self::Failed]
            }
            // Straight to joining goes who keeps what it has.
            Self::Stable => {
                &[Self::Joining, Self::Preparing, Self::Expelled, Self::Leaving, Self::Failed]
            }
            Self::Expelled => &[Self::Preparing, Self::Joining, Self::Leaving],
            Self::Leaving => &[Self::Unjoined],
            Self::Failed => &[Self::Preparing, Self::Joining, Self::Leaving],
        }
    }

    /// Whether the coordinator counts on heartbeats now.
    pub(crate) const fn beats(self) -> bool {
        match self {
            Self::Preparing | Self::Syncing | Self::Revoking | Self::Settling | Self::Stable => {
                true
            }
            // While JoinGroup waits at the coordinator, it keeps the member itself.
            Self::Unjoined | Self::Joining | Self::Expelled | Self::Leaving | Self::Failed => false,
        }
    }

    /// Whether a commit carries a generation that the coordinator takes.
    pub(crate) const fn may_commit(self) -> bool {
        match self {
            Self::Preparing | Self::Revoking | Self::Settling | Self::Stable => true,
            Self::Unjoined
            | Self::Joining
            | Self::Syncing
            | Self::Expelled
            | Self::Leaving
            | Self::Failed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reached_and_none_is_a_trap() {
        for state in MemberState::ALL {
            assert!(!state.successors().is_empty(), "{state:?} has no way out");
            let reached = MemberState::ALL
                .iter()
                .any(|from| *from != state && from.successors().contains(&state));
            assert!(reached, "{state:?} cannot be reached");
        }
    }

    /// Closing must not wait for a rebalance to end.
    #[test]
    fn a_member_may_leave_from_every_state() {
        for state in MemberState::ALL {
            let leaves = state.successors().contains(&MemberState::Leaving);
            assert!(leaves || state == MemberState::Leaving, "{state:?}");
        }
    }

    #[test]
    fn only_a_settled_generation_commits() {
        for state in [MemberState::Joining, MemberState::Syncing, MemberState::Expelled] {
            assert!(!state.may_commit(), "{state:?}: the coordinator would refuse it");
        }
    }
}
