//! Identities of brokers, producers and requests.

use std::fmt;

/// A broker's id.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(i32);

impl NodeId {
    /// The id `raw`; brokers count from 0 or 1.
    pub const fn new(raw: i32) -> Self {
        Self(raw)
    }

    /// Reads it from the wire, where -1 stands for "none".
    pub const fn from_wire(raw: i32) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw)) }
    }

    /// The number as the protocol writes it.
    pub const fn get(self) -> i32 {
        self.0
    }
}

/// A producer's id, given by the cluster (KIP-98).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProducerId(i64);

impl ProducerId {
    /// Reads it from the wire, where -1 stands for "none".
    pub const fn from_wire(raw: i64) -> Option<Self> {
        if raw < 0 { None } else { Some(Self(raw)) }
    }

    /// The number as the protocol writes it.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// Ties a response to its request on one connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CorrelationId(i32);

impl CorrelationId {
    /// Where a connection starts.
    pub const FIRST: Self = Self(0);

    /// Reads it from the wire.
    pub const fn from_wire(raw: i32) -> Self {
        Self(raw)
    }

    /// The number as the protocol writes it.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The one after this; wraps to 0, so that it is never negative.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1) & i32::MAX)
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

display!(NodeId, ProducerId, CorrelationId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_wraps_to_zero() {
        assert_eq!(CorrelationId(i32::MAX).next(), CorrelationId(0));
    }
}
