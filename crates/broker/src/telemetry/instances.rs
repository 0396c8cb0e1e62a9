//! The clients that one node told what to push: `ClientMetricsManager` of Kafka.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::Uuid;

use super::instance::Instance;
use super::{Attributes, Subscriptions};
use crate::connection::ConnectionId;

/// Clients by the ids that they are known by, the longest unheard of going first.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    by_id: BTreeMap<Uuid, (u64, Instance)>,
    by_use: BTreeMap<u64, Uuid>,
    uses: u64,
    by_connection: BTreeMap<ConnectionId, Uuid>,
}

impl Instances {
    /// The client of this id, which may be a new one or one that another node had; told anew where subscriptions have
    /// changed.
    pub(crate) fn find(
        &mut self,
        now: Instant,
        id: Uuid,
        connection: ConnectionId,
        attributes: impl FnOnce() -> Attributes,
        subscriptions: &Subscriptions,
    ) -> &mut Instance {
        let known = self.take(id).filter(|known| known.expires_at > now);
        let is_news = known.as_ref().is_none_or(|known| known.is_outdated(subscriptions));
        let mut instance = match known {
            Some(known) if is_news => known.anew(now, id, subscriptions),
            Some(known) => known,
            None => Instance::new(now, id, attributes(), subscriptions),
        };
        if is_news {
            self.by_connection.insert(connection, id);
        }
        let kept = instance.interval().saturating_mul(3).max(KEPT_MIN);
        instance.expires_at = now.checked_add(kept).unwrap_or(now);
        if self.by_id.len() >= INSTANCES_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, id);
        let (_, instance) = self.by_id.entry(id).or_insert((self.uses, instance));
        instance
    }

    /// The client goes with the connection by which it came.
    pub(crate) fn handle_disconnect(&mut self, connection: ConnectionId) {
        if let Some(id) = self.by_connection.remove(&connection) {
            self.take(id);
        }
    }

    /// Forgets all, as a restart does.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self, id: Uuid) -> Option<Instance> {
        let (used, instance) = self.by_id.remove(&id)?;
        self.by_use.remove(&used);
        Some(instance)
    }
}

/// As many as a broker of Kafka knows.
const INSTANCES_MAX: usize = 16_384;

/// How long a client is known that is not heard of, if that is more than three times what it waits between two pushes.
const KEPT_MIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does as the start")]
    fn the_longest_unheard_of_goes_first() {
        let now = Instant::now();
        let (mut instances, subscriptions) = (Instances::default(), Subscriptions::default());
        let id = |number: usize| Uuid::from_bytes((number as u128 + 7).to_be_bytes());
        let mut ask = |number| {
            let of = ConnectionId(1);
            instances
                .find(now, id(number), of, Attributes::default, &subscriptions)
                .ask(now)
                .is_ok()
        };
        for number in 0..INSTANCES_MAX {
            assert!(ask(number));
        }
        assert!(!ask(0), "it is known, and asks too often");
        assert!(ask(INSTANCES_MAX), "one more");
        assert!(!ask(0));
        assert!(ask(1), "forgotten");
        assert_eq!(instances.by_id.len(), INSTANCES_MAX);
        assert_eq!(instances.by_use.len(), INSTANCES_MAX);
    }
}
