//! Where a partition starts when no position is known.

use std::time::Duration;

use milena_types::Timestamp;

/// What to do when a partition has no committed offset, or its position is out of the log's range.
///
/// Java name `auto.offset.reset`; default latest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OffsetReset {
    /// Start at the first record that the log still has.
    Earliest,
    /// Start behind the last record.
    #[default]
    Latest,
    /// Start at the first record that is at most this old (KIP-1106); behind the last one where there is none.
    ByDuration(Duration),
    /// Report it and wait for a seek.
    None,
}

/// A place in a log that a broker has to find.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first offset.
    Earliest,
    /// The end: with `read_committed` the last stable offset, else the high watermark.
    Latest,
    /// The record with the largest timestamp (KIP-734; brokers from 3.0).
    MaxTimestamp,
    /// The first record at or after this time.
    At(Timestamp),
}

impl OffsetSpec {
    /// The timestamp that a `ListOffsets` request carries for it.
    pub fn to_wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            // A time before 1970 would read as one of the marks above.
            Self::At(timestamp) => timestamp.millis().max(0),
        }
    }
}

impl OffsetReset {
    /// What to ask the leader for, where `wall` is the time on the wall; `None` where the user has to decide.
    pub fn spec(self, wall: Timestamp) -> Option<OffsetSpec> {
        match self {
            Self::Earliest => Some(OffsetSpec::Earliest),
            Self::Latest => Some(OffsetSpec::Latest),
            Self::ByDuration(age) => {
                let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Some(OffsetSpec::At(Timestamp::from_millis(wall.millis().saturating_sub(age_ms))))
            }
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_asks_for_its_place() {
        let wall = Timestamp::from_millis(10_000);
        let asked = |reset: OffsetReset| reset.spec(wall).map(OffsetSpec::to_wire);
        assert_eq!(asked(OffsetReset::Earliest), Some(-2));
        assert_eq!(asked(OffsetReset::Latest), Some(-1));
        assert_eq!(asked(OffsetReset::ByDuration(Duration::from_secs(4))), Some(6_000));
        assert_eq!(asked(OffsetReset::None), None);
    }

    /// -1 to -3 are marks of their own: a duration that reaches behind 1970 must not become one.
    #[test]
    fn a_duration_longer_than_time_asks_for_the_start_of_time() {
        let spec = OffsetReset::ByDuration(Duration::MAX).spec(Timestamp::from_millis(5));
        assert_eq!(spec.map(OffsetSpec::to_wire), Some(0));
    }
}
