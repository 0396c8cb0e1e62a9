//! The assignors of the coordinator: who is to have which partitions.

mod balance;
mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use milena_types::Uuid;

use super::partitions::Partitions;

/// An assignor of the coordinator, those that Kafka has built in.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Assignor {
    /// As many partitions for each member as for the others, and as few as possible change hands.
    #[default]
    Uniform,
    /// Neighbouring partitions of each topic, the same of each topic for one member, so that topics can be joined.
    Range,
}

/// Who subscribes to what.
pub(super) struct Subscriptions<'a> {
    /// The members, ordered by id.
    pub(super) subscribers: Vec<Subscriber<'a>>,
    /// How many partitions each topic has that anyone subscribes to.
    pub(super) topics: BTreeMap<Uuid, i32>,
    /// Whether all subscribe to the same topics.
    pub(super) is_homogeneous: bool,
}

/// A member as assignors see it.
pub(super) struct Subscriber<'a> {
    pub(super) id: &'a str,
    pub(super) instance_id: Option<&'a str>,
    pub(super) topics: &'a BTreeSet<Uuid>,
    /// What it was to have until now.
    pub(super) held: &'a Partitions,
}

impl Assignor {
    /// All of them, as Kafka lists them.
    pub(crate) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// By the name that members use.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each subscriber is to have, in their order. Every partition goes to exactly one that subscribes to it.
    pub(super) fn assign(self, subscriptions: &Subscriptions<'_>) -> Vec<Partitions> {
        match self {
            Self::Uniform if subscriptions.is_homogeneous => uniform::assign(subscriptions),
            Self::Uniform => balance::assign(subscriptions),
            Self::Range => range::assign(subscriptions),
        }
    }
}

#[cfg(test)]
mod tests;
