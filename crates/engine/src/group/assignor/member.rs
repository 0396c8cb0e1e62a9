//! A member of a group as its leader sees it.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;
use milena_types::{Generation, Topic, TopicPartition};

use crate::group::message::MemberSubscription;

/// Who takes part, in which topics, and what it had before.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) topics: BTreeSet<Topic>,
    /// What it holds while it joins (KIP-429).
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation in which it got that (KIP-792).
    pub(crate) generation: Option<Generation>,
    /// Where it is (KIP-881).
    pub(crate) rack: Option<String>,
    /// What its strategy says to itself.
    pub(crate) user_data: Option<Bytes>,
}

impl Member {
    /// The member `id` by its own words.
    pub(crate) fn of(id: String, instance_id: Option<String>, said: MemberSubscription) -> Self {
        Self {
            id,
            instance_id,
            topics: said.topics,
            owned: said.owned.into_iter().collect(),
            generation: said.generation,
            rack: said.rack,
            user_data: said.user_data,
        }
    }

    /// Java's order of members: static ones first, by instance id; then the others by member id.
    pub(crate) fn rank(&self, other: &Self) -> Ordering {
        match (&self.instance_id, &other.instance_id) {
            (Some(a), Some(b)) => java_order(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => java_order(&self.id, &other.id),
        }
    }
}

/// Java compares strings by UTF-16 units, which differs from code points beyond the basic plane; two leaders of
/// different make must agree on the order.
pub(super) fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_ordered_as_java_orders_them() {
        assert_eq!(java_order("a", "b"), Ordering::Less);
        // U+FF5E is one unit above the surrogates that spell U+1F600.
        assert_eq!(java_order("\u{ff5e}", "\u{1f600}"), Ordering::Greater);
    }
}
