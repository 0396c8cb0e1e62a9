//! Which partitions of the internal topics groups and transactional ids belong to.

use super::State;
use super::groups::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};

/// Over how many partitions coordinators spread groups and transactional ids. Kafka's count them when they start: where the
/// topic is not there yet, they go by their settings, and keep to that whatever somebody makes of the topic later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    groups: i32,
    transactional_ids: i32,
}

impl Spread {
    /// The partition of the topic of offsets that a group belongs to.
    pub(crate) fn of_group(self, id: &str) -> i32 {
        (java_hash(id) & i32::MAX) % self.groups
    }

    /// The partition of the topic of transactions that a transactional id belongs to.
    pub(crate) fn of_transactional_id(self, id: &str) -> i32 {
        (java_hash(id) & i32::MAX) % self.transactional_ids
    }
}

impl Default for Spread {
    fn default() -> Self {
        Self { groups: INTERNAL_PARTITIONS, transactional_ids: INTERNAL_PARTITIONS }
    }
}

impl State {
    /// Counts the partitions of the internal topics, as coordinators do that start.
    pub(crate) fn count_internal_partitions(&mut self) {
        let count = |topic: &str| {
            let topic = self.topics.get(topic)?;
            i32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)
        };
        self.spread = Spread {
            groups: count(OFFSETS_TOPIC).unwrap_or(INTERNAL_PARTITIONS),
            transactional_ids: count(TRANSACTIONS_TOPIC).unwrap_or(INTERNAL_PARTITIONS),
        };
    }
}

/// Java's hash of a string.
pub(crate) fn java_hash(text: &str) -> i32 {
    let units = text.encode_utf16();
    units.fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `offsets.topic.num.partitions` and `transaction.state.log.num.partitions`.
pub(super) const INTERNAL_PARTITIONS: i32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by `Utils.abs("...".hashCode()) % 50` of Kafka.
    #[test]
    fn groups_are_spread_by_javas_hash() {
        let spread = Spread::default();
        assert_eq!(spread.of_group(""), 0);
        assert_eq!(spread.of_group("a"), 97 % 50);
        assert_eq!(spread.of_transactional_id("ab"), (97 * 31 + 98) % 50);
    }
}
