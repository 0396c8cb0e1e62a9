//! The state of a record that a share partition has handed out or may hand out again.

use std::sync::Arc;
use std::time::Instant;

/// What has become of a record of a share group.
///
/// Kafka has ARCHIVING besides, of a record on its way to a dead-letter topic, which no group here has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the states of KIP-932")]
pub enum RecordState {
    /// It may be acquired.
    Available,
    /// A member holds it under a lock.
    Acquired,
    /// A member has processed it.
    Acknowledged,
    /// It is given up: rejected, a gap, aborted, or delivered too often.
    Archived,
}

/// One record in flight, or a run of neighbours that are alike in everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct InFlight {
    state: RecordState,
    delivery_count: i16,
    lock: Option<Lock>,
}

/// Who holds a record, and until when.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Lock {
    member: Arc<str>,
    until: Instant,
}

impl RecordState {
    /// Whether nothing more will become of it.
    pub(crate) const fn is_terminal(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }

    /// Whether a record may go from here to `next`.
    const fn may_become(self, next: Self) -> bool {
        use RecordState::{Acknowledged, Acquired, Archived, Available};
        matches!(
            (self, next),
            // Straight to archived goes what the log no longer has.
            (Available, Acquired | Archived) | (Acquired, Available | Acknowledged | Archived)
        )
    }
}

impl InFlight {
    /// A record that may be acquired and was delivered so many times.
    pub(crate) fn available(delivery_count: i16) -> Self {
        Self::settled(RecordState::Available, delivery_count)
    }

    /// A record that nobody holds.
    pub(crate) fn settled(state: RecordState, delivery_count: i16) -> Self {
        Self { state, delivery_count, lock: None }
    }

    pub(crate) fn state(&self) -> RecordState {
        self.state
    }

    pub(crate) fn delivery_count(&self) -> i16 {
        self.delivery_count
    }

    pub(crate) fn is_available(&self) -> bool {
        self.state == RecordState::Available
    }

    /// The member that holds it.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.lock.as_ref().map(|lock| &*lock.member)
    }

    /// Whether this member holds it.
    pub(crate) fn is_held_by(&self, member: &str) -> bool {
        self.lock.as_ref().is_some_and(|lock| *lock.member == *member)
    }

    /// Whether some member holds it.
    pub(crate) fn is_held(&self) -> bool {
        self.lock.is_some()
    }

    /// Until when it is locked.
    pub(crate) fn locked_until(&self) -> Option<Instant> {
        self.lock.as_ref().map(|lock| lock.until)
    }

    /// Hands an available record to a member, which is one delivery more.
    pub(crate) fn acquire(&mut self, member: &Arc<str>, until: Instant) {
        self.become_state(RecordState::Acquired);
        self.delivery_count = self.delivery_count.saturating_add(1);
        self.lock = Some(Lock { member: Arc::clone(member), until });
    }

    /// Gives the holder more time.
    pub(crate) fn renew(&mut self, until: Instant) {
        if let Some(lock) = &mut self.lock {
            lock.until = until;
        }
    }

    /// Takes an acquired record back; one that was delivered `deliveries_max` times is given up.
    pub(crate) fn release(&mut self, deliveries_max: i16) {
        let is_worn_out = self.delivery_count >= deliveries_max;
        self.settle(if is_worn_out { RecordState::Archived } else { RecordState::Available });
    }

    /// Ends the delivery or gives the record up.
    pub(crate) fn settle(&mut self, state: RecordState) {
        self.become_state(state);
        self.lock = None;
    }

    fn become_state(&mut self, next: RecordState) {
        debug_assert!(self.state.may_become(next), "{:?} to {next:?}", self.state);
        self.state = next;
    }
}

#[cfg(test)]
mod tests {
    use super::RecordState as S;

    /// Every pair, written out: rows are from, columns to.
    #[test]
    fn only_kafkas_transitions_are_allowed() {
        let states = [S::Available, S::Acquired, S::Acknowledged, S::Archived];
        let table = [
            (S::Available, [false, true, false, true]),
            (S::Acquired, [true, false, true, true]),
            (S::Acknowledged, [false, false, false, false]),
            (S::Archived, [false, false, false, false]),
        ];
        for (from, allowed) in table {
            assert_eq!(states.map(|to| from.may_become(to)), allowed, "{from:?}");
            assert_eq!(from.is_terminal(), allowed == [false; 4], "{from:?}");
        }
        assert_eq!(table.map(|(from, _)| from), states);
    }
}
