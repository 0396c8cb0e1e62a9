//! Places in a partition: by count and by time.

use std::fmt;

/// A record's place in its partition, from 0.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of a partition that lost nothing to retention.
    pub const ZERO: Self = Self(0);

    /// The offset `raw`, or `None` for a negative number.
    pub const fn new(raw: i64) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw)) }
    }

    /// The number as the protocol writes it.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// This offset moved by `records` towards the end; stops at the largest offset.
    #[must_use]
    pub const fn saturating_add(self, records: i64) -> Self {
        let moved = self.0.saturating_add(records);
        if moved < 0 { Self(0) } else { Self(moved) }
    }

    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.saturating_add(1)
    }
}

/// Milliseconds since the Unix epoch, as records carry them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Reads it from the wire, where -1 stands for "none".
    pub const fn from_wire(raw: i64) -> Option<Self> {
        if raw == -1 { None } else { Some(Self(raw)) }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

macro_rules! display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

display!(Offset, Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_never_negative() {
        assert_eq!(Offset::new(-1), None);
        assert_eq!(Offset(3).saturating_add(-10), Offset(0));
        assert_eq!(Offset(i64::MAX).next(), Offset(i64::MAX));
    }
}
