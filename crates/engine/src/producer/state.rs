//! Where a producer is in its life.

use std::time::Instant;

/// Where a producer is in its life.
///
/// ```text
/// Running ──→ Closing ──→ Closed
///    │           │           ↑
///    └──→ Failed ←           │
///            └───────────────┘ close
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Takes records and sends them.
    Running,
    /// Takes nothing more, and sends what it has until this moment.
    Closing(Instant),
    /// The cluster refuses this producer for good; what it had has failed.
    Failed,
    /// All is settled.
    Closed,
}

impl State {
    /// Whether batches are still sent.
    pub(super) fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Closing(_))
    }

    /// Changes to `next` where that is allowed, and tells whether it was.
    pub(super) fn become_if_allowed(&mut self, next: Self) -> bool {
        let is_allowed = matches!(
            (*self, next),
            (Self::Running, Self::Closing(_) | Self::Failed | Self::Closed)
                | (Self::Closing(_), Self::Failed | Self::Closed)
                | (Self::Failed, Self::Closed)
        );
        if is_allowed {
            *self = next;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn a_life_goes_forward_only() {
        let closing = State::Closing(Instant::now());
        let states = [State::Running, closing, State::Failed, State::Closed];
        for (from, allowed) in [
            (State::Running, vec![closing, State::Failed, State::Closed]),
            (closing, vec![State::Failed, State::Closed]),
            (State::Failed, vec![State::Closed]),
            (State::Closed, vec![]),
        ] {
            for to in states {
                let mut state = from;
                assert_eq!(state.become_if_allowed(to), allowed.contains(&to), "{from:?} {to:?}");
                assert_eq!(state, if allowed.contains(&to) { to } else { from });
            }
        }
        assert!(State::Running.is_alive() && closing.is_alive());
        assert!(!State::Failed.is_alive() && !State::Closed.is_alive());
    }
}
