//! Where one assigned partition stands.

use std::time::Instant;

use milena_types::{LeaderEpoch, NodeId, Offset, Uuid};

use super::reset::OffsetReset;
use crate::backoff::Backoff;
use crate::consumer::Still;

/// The next offset to read, and the epoch of the record before it, by which a truncated log is noticed (KIP-320).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Position {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record before it; `None` where it is not known.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Position {
    /// The position `offset` behind a record of `leader_epoch`.
    pub fn new(offset: Offset, leader_epoch: Option<LeaderEpoch>) -> Self {
        Self { offset, leader_epoch }
    }
}

/// Counts every decision about where a partition stands, over the whole life of a consumer.
///
/// A reply, or fetched bytes, that carry another revision than the partition has belong to a past that a seek, a
/// reset or a rebalance ended, and are dropped. Ordinary reading does not change it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Revision(u64);

impl Revision {
    /// Before the first one.
    pub(crate) const START: Self = Self(0);

    /// The one after this.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What is known about a partition's position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    /// The group's committed offset is to be asked for.
    Committed,
    /// The leader is to be asked for an offset by this rule.
    Reset(OffsetReset),
    /// The leader changed: is the record before the position still in its log?
    Validating(Position),
    /// Known; fetch from here.
    Fetching(Position),
    /// No rule gives an offset: the user was told and has to seek.
    Halted,
}

/// [`Stage`] without what it carries: rows and columns of the table of transitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StageKind {
    Committed,
    Reset,
    Validating,
    Fetching,
    Halted,
}

impl StageKind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] =
        [Self::Committed, Self::Reset, Self::Validating, Self::Fetching, Self::Halted];

    /// Where a partition may go from here without the user's word; a seek may lead anywhere but to `Committed`.
    pub(crate) const fn successors(self) -> &'static [Self] {
        match self {
            // Found and old enough to be checked; found; not found and a policy; not found and none.
            Self::Committed => &[Self::Validating, Self::Fetching, Self::Reset, Self::Halted],
            Self::Reset => &[Self::Fetching, Self::Halted],
            // Confirmed; the log diverged and the policy decides; or nobody does. A second leader starts it over.
            Self::Validating => &[Self::Validating, Self::Fetching, Self::Reset, Self::Halted],
            // Read on; leader changed; out of range.
            Self::Fetching => &[Self::Fetching, Self::Validating, Self::Reset, Self::Halted],
            Self::Halted => &[],
        }
    }
}

impl Stage {
    pub(crate) fn kind(&self) -> StageKind {
        match self {
            Self::Committed => StageKind::Committed,
            Self::Reset(_) => StageKind::Reset,
            Self::Validating(_) => StageKind::Validating,
            Self::Fetching(_) => StageKind::Fetching,
            Self::Halted => StageKind::Halted,
        }
    }

    /// The position, whether or not it is confirmed.
    pub(crate) fn position(&self) -> Option<Position> {
        match self {
            Self::Validating(position) | Self::Fetching(position) => Some(*position),
            Self::Committed | Self::Reset(_) | Self::Halted => None,
        }
    }
}

/// One assigned partition.
#[derive(Debug)]
pub(crate) struct Assigned {
    stage: Stage,
    revision: Revision,
    pub(crate) paused: bool,
    /// False until the user's rebalance callback has returned: it may seek, and nothing may be fetched before.
    pub(crate) settled: bool,
    /// The leader's epoch under which the position was first used or last held against the log.
    pub(crate) confirmed: Option<LeaderEpoch>,
    /// A lookup of the present stage is under way.
    pub(crate) asked: bool,
    /// Not before this moment, after an error.
    pub(crate) retry_at: Option<Instant>,
    /// Shapes the waits after errors.
    pub(crate) backoff: Backoff,
    /// A follower to read from, until then (KIP-392).
    pub(crate) preferred: Option<(NodeId, Instant)>,
    /// A follower that refused, though the leader named it: it is given time.
    pub(crate) refused_by: Option<NodeId>,
    /// The topic's id, and the one before that: a broker that is behind may name it once more.
    pub(crate) topic_id: Option<Uuid>,
    pub(crate) former_topic_id: Option<Uuid>,
    /// For how long it has stood where it is.
    pub(crate) still: Still,
    /// Answers in a row that the topic's id is unknown: a young topic gives a few (trap 32).
    pub(crate) unknown_topic_ids: u32,
}

impl Assigned {
    pub(crate) fn new(stage: Stage, revision: Revision, settled: bool, backoff: Backoff) -> Self {
        Self {
            stage,
            revision,
            paused: false,
            settled,
            confirmed: None,
            asked: false,
            retry_at: None,
            backoff,
            preferred: None,
            refused_by: None,
            topic_id: None,
            former_topic_id: None,
            still: Still::default(),
            unknown_topic_ids: 0,
        }
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The next offset to fetch, while nothing forbids fetching it.
    pub(crate) fn fetchable(&self) -> Option<Position> {
        match self.stage {
            Stage::Fetching(position) if self.settled && !self.paused => Some(position),
            Stage::Fetching(_)
            | Stage::Committed
            | Stage::Reset(_)
            | Stage::Validating(_)
            | Stage::Halted => None,
        }
    }

    /// Takes note of the topic's id; true if it is another topic than before.
    pub(crate) fn handle_topic_id(&mut self, id: Uuid) -> bool {
        if self.topic_id == Some(id) || self.topic_id.is_some() && self.former_topic_id == Some(id)
        {
            return false;
        }
        let known = self.topic_id.replace(id);
        self.former_topic_id = known.or(self.former_topic_id);
        known.is_some()
    }

    /// The topic was read by this id, before any metadata came that tells it: a position that is taken over begins in
    /// whatever topic there is.
    pub(crate) fn prove_topic_id(&mut self, id: Option<Uuid>) {
        self.topic_id = self.topic_id.or(id);
    }

    /// Takes note that the topic was made anew, and that whoever tells so knows no ids; true where one was known.
    pub(crate) fn forget_topic_id(&mut self) -> bool {
        let known = self.topic_id.take();
        self.former_topic_id = known.or(self.former_topic_id);
        known.is_some()
    }

    /// Whether an error still holds the partition back at `now`.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| now < at)
    }

    /// Reads on: same revision, further offset.
    pub(crate) fn advance(&mut self, position: Position) {
        debug_assert_eq!(self.stage.kind(), StageKind::Fetching);
        self.stage = Stage::Fetching(position);
        self.retry_at = None;
        self.backoff.reset();
        self.refused_by = None;
        self.unknown_topic_ids = 0;
    }

    /// Goes on by the table; bytes and replies of the old revision are void.
    pub(crate) fn go(&mut self, stage: Stage, revision: Revision) {
        debug_assert!(
            self.stage.kind().successors().contains(&stage.kind()),
            "{:?} to {stage:?}",
            self.stage
        );
        self.put(stage, revision);
    }

    /// The same position, confirmed or to be confirmed: bytes fetched so far stay good, so the revision stays.
    pub(crate) fn keep(&mut self, stage: Stage) {
        debug_assert!(self.stage.kind().successors().contains(&stage.kind()));
        self.stage = stage;
        self.asked = false;
        self.retry_at = None;
    }

    /// The user decides: allowed from every stage.
    pub(crate) fn seek(&mut self, stage: Stage, revision: Revision) {
        self.put(stage, revision);
    }

    fn put(&mut self, stage: Stage, revision: Revision) {
        self.stage = stage;
        self.revision = revision;
        self.asked = false;
        self.retry_at = None;
        self.backoff.reset();
        self.preferred = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(kind: StageKind) -> Stage {
        let position = Position::new(Offset::ZERO, None);
        match kind {
            StageKind::Committed => Stage::Committed,
            StageKind::Reset => Stage::Reset(OffsetReset::Earliest),
            StageKind::Validating => Stage::Validating(position),
            StageKind::Fetching => Stage::Fetching(position),
            StageKind::Halted => Stage::Halted,
        }
    }

    fn partition(stage: Stage, settled: bool) -> Assigned {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        Assigned::new(stage, Revision::START, settled, backoff)
    }

    #[test]
    fn a_transition_outside_of_the_table_is_refused() {
        for from in StageKind::ALL {
            for to in StageKind::ALL {
                let moved = std::panic::catch_unwind(|| {
                    let mut assigned = partition(sample(from), true);
                    assigned.go(sample(to), Revision::START.next());
                });
                assert_eq!(moved.is_ok(), from.successors().contains(&to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn a_seek_leaves_every_stage_and_voids_what_was_asked() {
        for from in StageKind::ALL {
            let mut assigned = partition(sample(from), true);
            assigned.asked = true;
            assigned.seek(sample(StageKind::Fetching), Revision::START.next());
            assert_eq!(assigned.revision(), Revision::START.next());
            assert!(!assigned.asked, "a lookup of before the seek no longer counts");
        }
    }

    #[test]
    fn nothing_is_fetched_before_the_position_is_confirmed() {
        for kind in StageKind::ALL {
            let assigned = partition(sample(kind), true);
            assert_eq!(assigned.fetchable().is_some(), kind == StageKind::Fetching);
        }
        let mut paused = partition(sample(StageKind::Fetching), true);
        paused.paused = true;
        assert_eq!(paused.fetchable(), None);
        let unsettled = partition(sample(StageKind::Fetching), false);
        assert_eq!(unsettled.fetchable(), None);
    }

    /// Who reads on in a topic that was made anew passes over its first records.
    #[test]
    fn a_topic_is_another_by_its_id_but_not_for_a_broker_that_is_behind() {
        let mut assigned = partition(sample(StageKind::Fetching), true);
        let [first, second, third] = [1, 2, 3].map(|id| Uuid::from_bytes([id; 16]));
        for (id, is_another) in [
            (first, false),
            (first, false),
            (second, true),
            (first, false),
            (second, false),
            (third, true),
        ] {
            assert_eq!(assigned.handle_topic_id(id), is_another, "{id:?}");
        }
        // Nobody knew its id for a while; what is told then is what is read.
        assigned.forget_topic_id();
        assert!(!assigned.handle_topic_id(third) && assigned.handle_topic_id(first));
    }

    #[test]
    fn a_partition_waits_up_to_its_moment_and_not_beyond() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
        let now = Instant::now();
        let mut assigned = partition(sample(StageKind::Fetching), true);
        assert!(!assigned.waits(now));
        assigned.retry_at = Some(now + Duration::from_millis(1));
        assert!(assigned.waits(now) && !assigned.waits(now + Duration::from_millis(1)));
        assigned.advance(Position::new(Offset::ZERO, None));
        assert!(!assigned.waits(now), "it reads on");
    }

    /// Thrown away, what was fetched meanwhile would be fetched again after each change of a leader.
    #[test]
    fn a_position_that_is_confirmed_keeps_what_was_fetched() {
        let mut assigned = partition(sample(StageKind::Validating), true);
        assigned.asked = true;
        assigned.keep(sample(StageKind::Fetching));
        assert_eq!(assigned.revision(), Revision::START);
        assert!(!assigned.asked && assigned.fetchable().is_some());
    }
}
