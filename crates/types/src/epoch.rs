//! Epochs: counters by which an older party is told from a newer one.

use std::fmt;

macro_rules! epoch {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name($raw);

        impl $name {
            /// The first one.
            pub const ZERO: Self = Self(0);

            /// Reads it from the wire, where a negative number stands for "none".
            pub const fn from_wire(raw: $raw) -> Option<Self> {
                if raw < 0 { None } else { Some(Self(raw)) }
            }

            /// The number as the protocol writes it.
            pub const fn get(self) -> $raw {
                self.0
            }

            /// Writes it to the wire, `None` as -1.
            pub const fn to_wire(epoch: Option<Self>) -> $raw {
                match epoch {
                    Some(epoch) => epoch.0,
                    None => -1,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

epoch! {
    /// Counts the leaders of a partition (KIP-101, KIP-320).
    LeaderEpoch(i32)
}
epoch! {
    /// Counts the incarnations of a producer id (KIP-98, KIP-360).
    ProducerEpoch(i16)
}
epoch! {
    /// Counts the rebalances of a classic group.
    Generation(i32)
}
epoch! {
    /// A member's epoch in the consumer protocol (KIP-848); joining and leaving are not epochs here.
    MemberEpoch(i32)
}

impl ProducerEpoch {
    /// The epoch after this one, or `None` where the producer id is used up and a new one is due (KIP-360).
    #[must_use]
    pub const fn bump(self) -> Option<Self> {
        if self.0 == i16::MAX { None } else { Some(Self(self.0 + 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_epoch_on_the_wire_is_none() {
        assert_eq!(LeaderEpoch::from_wire(-1), None);
        assert_eq!(LeaderEpoch::to_wire(None), -1);
        assert_eq!(LeaderEpoch::from_wire(7).map(LeaderEpoch::get), Some(7));
    }

    #[test]
    fn the_last_producer_epoch_cannot_be_bumped() {
        assert_eq!(ProducerEpoch(i16::MAX - 1).bump(), Some(ProducerEpoch(i16::MAX)));
        assert_eq!(ProducerEpoch(i16::MAX).bump(), None);
    }
}
