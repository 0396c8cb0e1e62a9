//! Faults on demand: which requests are hit, and what becomes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_types::{ApiKey, ErrorCode, NodeId, Topic};

/// Which requests a rule hits. Made by [`on`] and [`on_any`], finished by saying what shall happen.
///
/// Counts are over the requests that api, node, topic and group let through. Without a count all are hit.
///
/// ```
/// use milena_broker::{ApiKey, ErrorCode, on};
///
/// let rule = on(ApiKey::PRODUCE).topic("orders").nth(2).error(ErrorCode::NOT_LEADER_OR_FOLLOWER);
/// # let _ = rule;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a condition does nothing until it says what happens and the rule is added"]
pub struct Condition {
    api: Option<ApiKey>,
    node: Option<NodeId>,
    topic: Option<Topic>,
    group: Option<String>,
    count: Count,
}

/// A condition and what happens where it holds; of several rules that hit one request the first added acts.
#[derive(Clone, Debug)]
#[must_use = "a rule does nothing until it is added to a cluster"]
pub struct FaultRule {
    condition: Condition,
    fault: Fault,
}

/// Names a rule that was added, to remove it again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FaultId(u64);

/// What becomes of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done, and every part of the answer says this. A Produce with acks=0, which has no answer, closes the
    /// connection, as in Kafka.
    Error(ErrorCode),
    /// It is carried out, then the connection closes instead of an answer.
    ApplyThenDrop,
    /// It is carried out, and every part of the answer says this instead. A Produce of which a part is refused keeps
    /// its own answer, and one with acks=0 closes the connection.
    ApplyThenError(ErrorCode),
    /// The connection closes and nothing is done.
    Drop,
    /// It is carried out and answered this much later. Later requests on the connection wait too, as in Kafka.
    DelayAnswer(Duration),
    /// It is carried out only this much later.
    DelayRequest(Duration),
    /// Nothing is done, and nothing is ever answered on this connection again.
    Hang,
    /// It is carried out, but nothing is ever answered on this connection again.
    ApplyThenHang,
    /// The answer comes with some of the bytes after its correlation id changed.
    Corrupt,
    /// Only the first half of the answer comes, then the connection closes.
    Truncate,
    /// The answer carries another correlation id.
    WrongCorrelation,
    /// The answer says that the client was throttled this long.
    Throttle(Duration),
}

#[derive(Clone, Copy, Debug)]
enum Count {
    All,
    Nth(u64),
    First(u64),
    Every(u64),
    Probability(f64),
}

/// Hits requests of this API.
pub fn on(api: ApiKey) -> Condition {
    Condition { api: Some(api), ..on_any() }
}

/// Hits requests of any API.
pub fn on_any() -> Condition {
    Condition { api: None, node: None, topic: None, group: None, count: Count::All }
}

impl Condition {
    /// Only at this node.
    pub fn node(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// Only requests that name this topic, by name or by id; a Fetch or ShareFetch that goes on with a session names all topics of it.
    /// A heartbeat names topics where it tells of them, as a member's first does; JoinGroup's are the client's own bytes.
    pub fn topic(mut self, topic: impl Into<Topic>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only requests that name this group.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Only the `n`th of them, counted from 1.
    pub fn nth(mut self, n: u64) -> Self {
        self.count = Count::Nth(n);
        self
    }

    /// Only the first `n` of them.
    pub fn first(mut self, n: u64) -> Self {
        self.count = Count::First(n);
        self
    }

    /// Only each `n`th of them.
    pub fn every(mut self, n: u64) -> Self {
        self.count = Count::Every(n.max(1));
        self
    }

    /// Each with this probability between 0 and 1, drawn from the cluster's seed.
    pub fn probability(mut self, probability: f64) -> Self {
        self.count = Count::Probability(probability);
        self
    }

    /// See [`Fault::Error`].
    pub fn error(self, code: ErrorCode) -> FaultRule {
        self.then(Fault::Error(code))
    }

    /// See [`Fault::ApplyThenError`].
    pub fn apply_then_error(self, code: ErrorCode) -> FaultRule {
        self.then(Fault::ApplyThenError(code))
    }

    /// See [`Fault::ApplyThenDrop`].
    pub fn apply_then_drop(self) -> FaultRule {
        self.then(Fault::ApplyThenDrop)
    }

    /// See [`Fault::Drop`].
    pub fn drop_request(self) -> FaultRule {
        self.then(Fault::Drop)
    }

    /// See [`Fault::DelayAnswer`].
    pub fn delay_answer(self, delay: Duration) -> FaultRule {
        self.then(Fault::DelayAnswer(delay))
    }

    /// See [`Fault::DelayRequest`].
    pub fn delay_request(self, delay: Duration) -> FaultRule {
        self.then(Fault::DelayRequest(delay))
    }

    /// See [`Fault::Hang`].
    pub fn hang(self) -> FaultRule {
        self.then(Fault::Hang)
    }

    /// See [`Fault::ApplyThenHang`].
    pub fn apply_then_hang(self) -> FaultRule {
        self.then(Fault::ApplyThenHang)
    }

    /// See [`Fault::Corrupt`].
    pub fn corrupt(self) -> FaultRule {
        self.then(Fault::Corrupt)
    }

    /// See [`Fault::Truncate`].
    pub fn truncate(self) -> FaultRule {
        self.then(Fault::Truncate)
    }

    /// See [`Fault::WrongCorrelation`].
    pub fn wrong_correlation(self) -> FaultRule {
        self.then(Fault::WrongCorrelation)
    }

    /// See [`Fault::Throttle`].
    pub fn throttle(self, time: Duration) -> FaultRule {
        self.then(Fault::Throttle(time))
    }

    /// Any of the faults.
    pub fn then(self, fault: Fault) -> FaultRule {
        FaultRule { condition: self, fault }
    }
}

/// The rules of a cluster.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: BTreeMap<FaultId, Counted>,
    dealt: u64,
    /// Apart from the cluster's own, so that a rule that never hits changes nothing else.
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Counted {
    rule: FaultRule,
    seen: u64,
}

/// What a rule asks about a request.
pub(crate) struct Subject<'a> {
    pub(crate) api: ApiKey,
    pub(crate) node: NodeId,
    pub(crate) topics: &'a dyn Fn() -> Vec<Topic>,
    pub(crate) groups: &'a dyn Fn() -> Vec<String>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: BTreeMap::new(), dealt: 0, rng: fastrand::Rng::with_seed(seed ^ SEED_BITS) }
    }

    pub(crate) fn add(&mut self, rule: FaultRule) -> FaultId {
        self.dealt += 1;
        let id = FaultId(self.dealt);
        self.rules.insert(id, Counted { rule, seen: 0 });
        id
    }

    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        self.rules.remove(&id).is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What shall happen to this request. Every rule that lets it through counts it.
    pub(crate) fn strike(&mut self, subject: &Subject<'_>) -> Option<Fault> {
        let mut strikes = None;
        for Counted { rule, seen } in self.rules.values_mut() {
            if !rule.condition.lets_through(subject) {
                continue;
            }
            *seen += 1;
            let hits = match rule.condition.count {
                Count::All => true,
                Count::Nth(n) => *seen == n,
                Count::First(n) => *seen <= n,
                Count::Every(n) => seen.is_multiple_of(n),
                Count::Probability(probability) => self.rng.f64() < probability,
            };
            if hits && strikes.is_none() {
                strikes = Some(rule.fault.clone());
            }
        }
        strikes
    }
}

impl Condition {
    fn lets_through(&self, subject: &Subject<'_>) -> bool {
        self.api.is_none_or(|api| api == subject.api)
            && self.node.is_none_or(|node| node == subject.node)
            && self.topic.as_ref().is_none_or(|topic| (subject.topics)().contains(topic))
            && self.group.as_ref().is_none_or(|group| (subject.groups)().contains(group))
    }
}

/// Makes the rules' draws differ from the cluster's own.
const SEED_BITS: u64 = 0x5eed_fa17;

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(rule: FaultRule, requests: u64) -> Vec<u64> {
        let mut faults = Faults::new(1);
        faults.add(rule);
        let subject = Subject {
            api: ApiKey::PRODUCE,
            node: NodeId::new(1),
            topics: &|| vec![Topic::from("orders")],
            groups: &Vec::new,
        };
        (1..=requests).filter(|_| faults.strike(&subject).is_some()).collect()
    }

    #[test]
    fn counts_select_among_the_matching_requests() {
        assert_eq!(strikes(on(ApiKey::PRODUCE).nth(2).hang(), 5), [2]);
        assert_eq!(strikes(on(ApiKey::PRODUCE).first(2).hang(), 5), [1, 2]);
        assert_eq!(strikes(on_any().every(2).hang(), 5), [2, 4]);
        assert_eq!(strikes(on_any().hang(), 3), [1, 2, 3]);
        let half = strikes(on_any().probability(0.5).hang(), 100).len();
        assert!((30..70).contains(&half), "{half}");
    }

    #[test]
    fn filters_must_all_let_a_request_through() {
        assert_eq!(strikes(on(ApiKey::FETCH).hang(), 3), []);
        assert_eq!(strikes(on_any().node(NodeId::new(2)).hang(), 3), []);
        assert_eq!(strikes(on_any().topic("payments").hang(), 3), []);
        assert_eq!(strikes(on_any().group("g").hang(), 3), []);
        assert_eq!(strikes(on_any().topic("orders").hang(), 1), [1]);
    }
}
