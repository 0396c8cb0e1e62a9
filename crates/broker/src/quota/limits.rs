//! The quotas that are set, and what each client has used of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::NodeId;

use super::entity::{CLIENT_ID, IP, QuotaEntity, QuotaValues, USER};
use super::mutation::Bucket;
use super::rate::{Rate, WINDOW};

/// What a client uses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Used {
    Produce,
    Fetch,
    /// Changes of topics.
    Mutate,
}

impl Used {
    fn key(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Mutate => "controller_mutation_rate",
        }
    }
}

/// Who shares a limit: clients of one user, of one name, or both.
type Sharers = (Option<String>, Option<String>);

/// Who shares a limit at a node.
type Sharing = (Used, NodeId, Sharers);

/// The quotas by whom they are set for; each node counts for itself.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    set: BTreeMap<QuotaEntity, QuotaValues>,
    rates: BTreeMap<Sharing, Rate>,
    /// What those who share a limit may still change; the controller counts for all nodes.
    buckets: BTreeMap<Sharers, Bucket>,
    /// How many connections came to a node from an address.
    connections: BTreeMap<(NodeId, String), Rate>,
}

impl Quotas {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&QuotaEntity, &QuotaValues)> {
        self.set.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn get(&self, entity: &QuotaEntity) -> Option<&QuotaValues> {
        self.set.get(entity)
    }

    /// All that is set for an entity, which may be nothing.
    pub(crate) fn set(&mut self, entity: QuotaEntity, values: QuotaValues) {
        if values.is_empty() {
            self.set.remove(&entity);
        } else {
            self.set.insert(entity, values);
        }
    }

    /// The most bytes that a client may use in a window, if it may not use any number.
    pub(crate) fn window_bytes(&self, used: Used, client_id: &str) -> Option<usize> {
        let (limit, ..) = self.limit(used, client_id)?;
        // A limit beyond what can be addressed is none.
        Some((limit * WINDOW_SECONDS) as usize)
    }

    /// Takes note of bytes that a client uses, and says for how long it is to be silent.
    ///
    /// Of a Fetch that is to wait nothing counts, since it then gets nothing.
    pub(crate) fn charge(
        &mut self,
        now: Instant,
        node: NodeId,
        used: Used,
        client_id: &str,
        bytes: usize,
    ) -> Duration {
        let Some((limit, sharers)) = self.limit(used, client_id) else {
            return Duration::ZERO;
        };
        let sharing = (used, node, sharers);
        if !self.rates.contains_key(&sharing) && self.rates.len() >= RATES_MAX {
            self.rates.retain(|_, rate| !rate.is_over(now));
            if self.rates.len() >= RATES_MAX {
                return Duration::ZERO;
            }
        }
        let rate = self.rates.entry(sharing).or_default();
        let before = (used == Used::Fetch).then(|| rate.clone());
        rate.record(now, bytes);
        let silence = rate.silence(now, limit);
        if let Some(before) = before.filter(|_| !silence.is_zero()) {
            *rate = before;
        }
        silence
    }

    /// Takes note of a connection from an address, or says for how long it is to get nothing before it is closed.
    pub(crate) fn connect(&mut self, now: Instant, node: NodeId, host: &str) -> Duration {
        if self.set.is_empty() {
            return Duration::ZERO;
        }
        let quota = |name: Option<&str>| {
            let entity = QuotaEntity::new([(IP.to_owned(), name.map(str::to_owned))]);
            self.set.get(&entity)?.get("connection_creation_rate").copied()
        };
        let Some(limit) = quota(Some(host)).or_else(|| quota(None)) else { return Duration::ZERO };
        let key = (node, host.to_owned());
        if !self.connections.contains_key(&key) && self.connections.len() >= RATES_MAX {
            self.connections.retain(|_, rate| !rate.is_over(now));
            if self.connections.len() >= RATES_MAX {
                return Duration::ZERO;
            }
        }
        let rate = self.connections.entry(key).or_default();
        let before = rate.clone();
        rate.record(now, 1);
        let delay = rate.silence(now, limit);
        if !delay.is_zero() {
            // One that is not taken does not count.
            *rate = before;
        }
        delay.min(WINDOW)
    }

    /// The changes of topics that a client may make a second, and what it has left of them; `None` if any number.
    pub(super) fn bucket(&mut self, now: Instant, client_id: &str) -> Option<(f64, &mut Bucket)> {
        let (limit, sharers) = self.limit(Used::Mutate, client_id)?;
        if !self.buckets.contains_key(&sharers) && self.buckets.len() >= RATES_MAX {
            self.buckets.retain(|_, bucket| !bucket.is_over(now));
            if self.buckets.len() >= RATES_MAX {
                return None;
            }
        }
        let bucket = self.buckets.entry(sharers).or_insert_with(|| Bucket::full(now, limit));
        bucket.fill(now, limit);
        Some((limit, bucket))
    }

    /// The limit of a client, and who shares it; from the narrowest entity to the widest.
    fn limit(&self, used: Used, client_id: &str) -> Option<(f64, Sharers)> {
        if self.set.is_empty() {
            return None;
        }
        let (user, client) = (Some(Some(ANONYMOUS)), Some(Some(client_id)));
        let (any_user, any_client) = (Some(None), Some(None));
        let levels = [
            (user, client),
            (user, any_client),
            (user, None),
            (any_user, client),
            (any_user, any_client),
            (any_user, None),
            (None, client),
            (None, any_client),
        ];
        levels.into_iter().find_map(|(user, client)| {
            let part = |kind: &str, name: Option<&str>| (kind.to_owned(), name.map(str::to_owned));
            let parts = user.map(|name| part(USER, name)).into_iter();
            let parts = parts.chain(client.map(|name| part(CLIENT_ID, name)));
            let limit = *self.set.get(&QuotaEntity::new(parts))?.get(used.key())?;
            let shared_by = |name: Option<Option<&str>>, own: &str| name.map(|_| own.to_owned());
            Some((limit, (shared_by(user, ANONYMOUS), shared_by(client, client_id))))
        })
    }
}

/// Who everyone is where nobody says who he is.
const ANONYMOUS: &str = "ANONYMOUS";

/// What a window comes to when it is full.
const WINDOW_SECONDS: f64 = 10.0;

/// How many clients are counted one by one; further ones are not limited as long as all of these are at work.
const RATES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = &'a [(&'a str, Option<&'a str>)];

    fn quotas(set: &[(Parts<'_>, f64)]) -> Quotas {
        let mut quotas = Quotas::default();
        for (parts, limit) in set {
            let parts =
                parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)));
            let values = QuotaValues::from([("producer_byte_rate".to_owned(), *limit)]);
            quotas.set(QuotaEntity::new(parts), values);
        }
        quotas
    }

    /// The order is that of Kafka's `DefaultQuotaCallback`.
    #[test]
    fn the_narrowest_entity_decides() {
        let levels: [Parts<'_>; 8] = [
            &[(USER, Some("ANONYMOUS")), (CLIENT_ID, Some("c"))],
            &[(USER, Some("ANONYMOUS")), (CLIENT_ID, None)],
            &[(USER, Some("ANONYMOUS"))],
            &[(USER, None), (CLIENT_ID, Some("c"))],
            &[(USER, None), (CLIENT_ID, None)],
            &[(USER, None)],
            &[(CLIENT_ID, Some("c"))],
            &[(CLIENT_ID, None)],
        ];
        for from in 0..levels.len() {
            let set: Vec<_> = levels.iter().zip(1..).skip(from).collect();
            let set: Vec<_> = set.into_iter().map(|(parts, at)| (*parts, f64::from(at))).collect();
            let limit = quotas(&set).limit(Used::Produce, "c").expect("limited").0;
            assert_eq!(limit, set[0].1);
        }
        let of_others = quotas(&[(&[(CLIENT_ID, Some("d"))], 1.0), (&[(USER, Some("u"))], 2.0)]);
        assert!(of_others.limit(Used::Produce, "c").is_none());
        assert!(of_others.limit(Used::Fetch, "d").is_none(), "it says nothing of readers");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does as the start")]
    fn who_used_ten_seconds_too_many_waits_for_ten_seconds() {
        let mut quotas = quotas(&[(&[(CLIENT_ID, None)], 1000.0)]);
        let (now, node) = (Instant::now(), NodeId::new(1));
        let mut charge = |now, client: &str, bytes| {
            quotas.charge(now, node, Used::Produce, client, bytes).as_secs_f64()
        };
        // A window is ten seconds at first: what is below ten times the limit is free.
        assert_eq!(charge(now, "a", 10_000), 0.0);
        assert_eq!(charge(now, "a", 10_000), 10.0);
        assert_eq!(charge(now, "b", 10_000), 0.0, "each client has its own");
        assert_eq!(charge(now + Duration::from_secs(11), "a", 10_000), 0.0, "it is forgotten");
    }
}
