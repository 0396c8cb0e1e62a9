//! The number that lets a broker see a record twice and store it once.

use std::fmt;

/// A record's place in what one producer epoch sent to one partition (KIP-98).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Sequence(i32);

impl Sequence {
    /// Where every producer epoch starts in each partition.
    pub const ZERO: Self = Self(0);

    /// Reads it from the wire, where -1 stands for "none".
    pub const fn from_wire(raw: i32) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw)) }
    }

    /// The number as the protocol writes it.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The sequence `records` further on; Kafka wraps to 0 after `i32::MAX`.
    #[must_use]
    pub const fn advance(self, records: i32) -> Self {
        Self(((self.0 as i64 + records as i64).rem_euclid(1 << 31)) as i32)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_wraps_to_zero() {
        assert_eq!(Sequence(i32::MAX).advance(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).advance(3), Sequence(1));
        assert_eq!(Sequence(0).advance(-1), Sequence(i32::MAX));
    }
}
