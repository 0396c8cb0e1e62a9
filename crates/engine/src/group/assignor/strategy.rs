//! The rules that a group may choose from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use milena_types::TopicPartition;

use super::{Layout, Member, range, round_robin, sticky};

/// A rule by which the leader of a classic group shares out partitions.
///
/// The shares are those that Java's assignor of the same name makes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum AssignmentStrategy {
    /// Topic by topic a run of neighbouring partitions, near ones first where racks are known (KIP-881).
    Range,
    /// All partitions in turn.
    RoundRobin,
    /// As even as can be, with as few moves as can be; everything is given up before each rebalance (KIP-54, KIP-341).
    Sticky,
    /// As [`Sticky`](Self::Sticky), and partitions that stay are read on while the group rebalances (KIP-429).
    CooperativeSticky,
}

impl AssignmentStrategy {
    /// Every strategy.
    pub const ALL: [Self; 4] =
        [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// The name under which members agree on it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The strategy of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name)
    }

    /// Whether members keep what stays theirs while the group rebalances by it.
    pub const fn is_cooperative(self) -> bool {
        match self {
            Self::Range | Self::RoundRobin | Self::Sticky => false,
            Self::CooperativeSticky => true,
        }
    }

    /// Shares out the partitions of `layout`; every member is in the answer, be it with nothing.
    pub(crate) fn assign(
        self,
        members: &[Member],
        layout: &Layout,
    ) -> BTreeMap<String, BTreeSet<TopicPartition>> {
        match self {
            Self::Range => range::assign(members, layout),
            Self::RoundRobin => round_robin::assign(members, layout),
            Self::Sticky | Self::CooperativeSticky => sticky::assign(self, members, layout),
        }
    }
}

impl fmt::Display for AssignmentStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
