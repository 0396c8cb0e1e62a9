//! The life of a member of a share group.

/// Where a member of a share group stands.
///
/// ```text
///          ┌────────── fenced ───────────┐
///          v                             │
/// New → Joining ──────────────────────→ Stable
///        ^  │                            │
///        │  └──── poll interval over ────┤
///        └─ polled again ── Expelled <───┘
///
/// Left <── Leaving <── any but New, on close      Failed <── any, on an error that joining again does not heal
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum MemberState {
    /// Not subscribed yet.
    New,
    /// The first heartbeat is to be sent or under way.
    Joining,
    /// A member.
    Stable,
    /// Out of the group because the user did not poll; joins again when he does.
    Expelled,
    /// The last heartbeat is to be sent or under way.
    Leaving,
    /// No member any more.
    Left,
    /// An error that joining again does not heal; told to the user.
    Failed,
}

impl MemberState {
    /// Every state.
    #[cfg(test)]
    const ALL: [Self; 7] = [
        Self::New,
        Self::Joining,
        Self::Stable,
        Self::Expelled,
        Self::Leaving,
        Self::Left,
        Self::Failed,
    ];

    /// Where a member may go from here.
    pub(super) const fn successors(self) -> &'static [Self] {
        match self {
            Self::New => &[Self::Joining, Self::Left],
            Self::Joining => {
                &[Self::Joining, Self::Stable, Self::Expelled, Self::Leaving, Self::Failed]
            }
            Self::Stable => &[Self::Joining, Self::Expelled, Self::Leaving, Self::Failed],
            Self::Expelled => &[Self::Joining, Self::Leaving, Self::Left, Self::Failed],
            Self::Leaving | Self::Failed => &[Self::Left],
            Self::Left => &[],
        }
    }

    /// Whether it is, or wants to be, in the group.
    pub(super) const fn takes_part(self) -> bool {
        match self {
            Self::Joining | Self::Stable => true,
            Self::New | Self::Expelled | Self::Leaving | Self::Left | Self::Failed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reached_and_every_one_comes_to_its_end() {
        for state in MemberState::ALL {
            let reached = state == MemberState::New
                || MemberState::ALL.iter().any(|from| from.successors().contains(&state));
            assert!(reached, "{state:?}");
            let (mut seen, mut next) = (vec![state], vec![state]);
            while let Some(here) = next.pop() {
                for &there in here.successors() {
                    if !seen.contains(&there) {
                        seen.push(there);
                        next.push(there);
                    }
                }
            }
            assert!(seen.contains(&MemberState::Left), "{state:?}");
        }
        assert!(MemberState::Left.successors().is_empty());
    }
}
