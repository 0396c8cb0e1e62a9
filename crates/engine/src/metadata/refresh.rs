//! When to ask for metadata, for which topics, and what follows from the answer.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, Topic};
use milena_wire::Response;

use super::hint::LeaderHint;
use super::interest::{Interest, InterestId, Interests};
use super::merge::{self, Doubts, Fetched};
use super::message;
use super::settings::Settings;
use super::snapshot::{Cluster, TopicMetadata};
use crate::backoff::Backoff;
use crate::disposition::{Reaction, reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::request::{Answer, Outbound, RequestId, RequestIds};

/// What the driver has to do.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum Output {
    /// Send this; the answer goes to [`Metadata::handle_answer`].
    Request(Outbound),
    /// Swap the snapshot for this one.
    Publish(Arc<Cluster>),
    /// Tell those who wait for metadata why it does not come; a fatal one does not heal by waiting.
    Failed(Error),
    /// Forget the known brokers and connect to the bootstrap list (KIP-899, KIP-1102).
    Rebootstrap,
}

/// Keeps a [`Cluster`] fresh: by age, by error, for new topics; forgets topics that nobody uses.
///
/// One request is in flight at a time. What one answer leaves out or gets wrong does not undo what is known.
#[derive(Debug)]
pub struct Metadata {
    settings: Settings,
    rng: Rng,
    ids: RequestIds,
    cluster: Arc<Cluster>,
    interests: Interests,
    doubts: Doubts,
    in_flight: Option<(RequestId, Scope)>,
    /// Something known is wrong: ask for everything in use.
    is_stale: bool,
    /// Topics to ask for apart from the rest: new ones, and those that were ill in the last answer.
    wanted: BTreeSet<Topic>,
    /// When everything in use is due by age.
    full_due: Instant,
    /// No request for everything in use before this, by error or by age.
    not_before: Instant,
    /// No request for what is wanted before this.
    wanted_due: Instant,
    backoff: Backoff,
    /// Since when every request has failed.
    failing_since: Option<Instant>,
    outputs: VecDeque<Output>,
}

/// What a request asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Scope {
    /// Every topic of the cluster.
    Cluster,
    /// Every topic in use.
    Used(BTreeSet<Topic>),
    /// Some topics.
    Some(BTreeSet<Topic>),
}

impl Scope {
    fn topics(&self) -> Option<&BTreeSet<Topic>> {
        match self {
            Self::Cluster => None,
            Self::Used(topics) | Self::Some(topics) => Some(topics),
        }
    }

    fn covers(&self, topic: &Topic) -> bool {
        self.topics().is_none_or(|topics| topics.contains(topic))
    }
}

impl Metadata {
    /// A machine that knows nothing and asks for the brokers at once.
    pub fn new(now: Instant, settings: Settings, rng: Rng) -> Self {
        Self {
            backoff: Backoff::new(settings.retry_backoff, settings.retry_backoff_max),
            interests: Interests::new(settings.max_idle),
            settings,
            rng,
            ids: RequestIds::default(),
            cluster: Arc::default(),
            doubts: Doubts::default(),
            in_flight: None,
            is_stale: true,
            wanted: BTreeSet::new(),
            full_due: now,
            not_before: now,
            wanted_due: now,
            failing_since: None,
            outputs: VecDeque::new(),
        }
    }

    /// What is known.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Says that a producer uses `topic` at this moment; one that is not known is asked for at once, and asking may
    /// create it. Cheap: to be called for each batch, so that a topic in use never counts as idle.
    pub fn touch(&mut self, now: Instant, topic: &Topic) {
        self.interests.touch(now, topic);
        self.want(now, topic);
    }

    /// A new holder of interest; it starts with [`Interest::Nothing`].
    pub fn register(&mut self) -> InterestId {
        self.interests.register()
    }

    /// Replaces what `id` is interested in; new topics are asked for at once.
    pub fn set_interest(&mut self, now: Instant, id: InterestId, interest: Interest) {
        match &interest {
            Interest::Nothing => {}
            Interest::Topics { topics, .. } => {
                for topic in topics {
                    self.want(now, topic);
                }
            }
            // What is known of single topics does not tell which others there are.
            Interest::AllTopics => self.is_stale |= !self.interests.wants_all(),
        }
        self.interests.set(id, interest);
    }

    /// Says that something did not fit what is known, as NOT_LEADER_OR_FOLLOWER: ask again soon.
    pub fn refresh(&mut self) {
        self.is_stale = true;
    }

    /// Takes in where a partition went and publishes it at once; says whether it was news.
    pub fn handle_hint(&mut self, hint: &LeaderHint) -> bool {
        match merge::hint(&self.cluster, hint) {
            Some(cluster) => {
                self.publish(cluster);
                true
            }
            None => false,
        }
    }

    /// Takes the answer to a request of this machine; any other is ignored.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        let Some((_, scope)) = self.in_flight.take_if(|(id, _)| *id == answer.id) else { return };
        let error = match answer.result {
            Ok(Some(Response::Metadata(response))) => match message::read(response) {
                Ok(fetched) => return self.take_in(now, &scope, fetched),
                Err(code) => {
                    if reaction(ApiKey::METADATA, code) == Reaction::Rebootstrap {
                        self.outputs.push_back(Output::Rebootstrap);
                    }
                    Error::from_code(ApiKey::METADATA, code)
                }
            },
            Ok(_) => Error::new(ErrorKind::Protocol).with_detail("answer to another request"),
            Err(failure) => Error::from_failure(&failure),
        };
        match scope {
            Scope::Cluster | Scope::Used(_) => self.is_stale = true,
            Scope::Some(topics) => self.wanted.extend(topics),
        }
        self.failing_since.get_or_insert(now);
        self.not_before = now + self.backoff.next_wait(&mut self.rng);
        self.wanted_due = self.not_before;
        let error = error
            .during(Operation::Metadata)
            .with_broker(answer.broker)
            .with_attempt(self.backoff.failures());
        self.outputs.push_back(Output::Failed(error));
    }

    /// Tells that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.rebootstrap_due().is_some_and(|due| now >= due) {
            self.failing_since = Some(now);
            self.outputs.push_back(Output::Rebootstrap);
        }
    }

    /// What to do next; to be drained to `None` after every other call.
    #[must_use]
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if self.in_flight.is_some() || now < self.due() {
            return None;
        }
        let scope = self.next_scope(now);
        let may_create = self.may_create(&scope);
        let id = self.ids.deal();
        let request =
            message::request(id, self.settings.request_timeout, scope.topics(), may_create);
        // Complaints about one stale leader come in crowds.
        self.not_before = now + self.settings.retry_backoff;
        self.in_flight = Some((id, scope));
        Some(Output::Request(request))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and drain [`poll_output`](Self::poll_output) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.in_flight.is_none().then(|| self.due());
        [due, self.rebootstrap_due()].into_iter().flatten().min()
    }

    /// When the next request may go out.
    fn due(&self) -> Instant {
        let full = if self.is_stale { self.not_before } else { self.not_before.max(self.full_due) };
        if self.wanted.is_empty() { full } else { full.min(self.wanted_due) }
    }

    fn rebootstrap_due(&self) -> Option<Instant> {
        Some(self.failing_since? + self.settings.rebootstrap_trigger?)
    }

    /// Asks for `topic` apart from the rest if nothing is known of it, or nothing but that it cannot be used: what was heard
    /// of it when nobody wanted it any more is not asked for again.
    fn want(&mut self, now: Instant, topic: &Topic) {
        let is_asked = |(_, scope): &(_, Scope)| scope.topics().is_some_and(|t| t.contains(topic));
        if self.cluster.topic(topic.as_str()).is_none_or(|known| heals(known))
            && !self.in_flight.as_ref().is_some_and(is_asked)
            && self.wanted.insert(topic.clone())
            && self.failing_since.is_none()
        {
            // A caller waits: a request just now about other topics is no reason to wait longer.
            self.wanted_due = now;
        }
    }

    fn next_scope(&mut self, now: Instant) -> Scope {
        if (self.is_stale || now >= self.full_due) && now >= self.not_before {
            self.is_stale = false;
            self.interests.forget_idle(now);
            if self.interests.wants_all() {
                return Scope::Cluster;
            }
            self.wanted.clear();
            return Scope::Used(self.interests.used().cloned().collect());
        }
        // One request has one switch for creation: topics that it must not create go in a request of their own.
        let (create, leave): (BTreeSet<_>, BTreeSet<_>) = std::mem::take(&mut self.wanted)
            .into_iter()
            .filter(|topic| self.interests.is_used(topic))
            .partition(|topic| self.interests.may_create(topic));
        if create.is_empty() {
            return Scope::Some(leave);
        }
        self.wanted = leave;
        Scope::Some(create)
    }

    /// One topic that must not be created keeps the switch off for all: it may be known here and deleted there.
    fn may_create(&self, scope: &Scope) -> bool {
        let topics = scope.topics();
        topics.is_some_and(|topics| topics.iter().all(|topic| self.interests.may_create(topic)))
    }

    fn take_in(&mut self, now: Instant, scope: &Scope, mut fetched: Fetched) {
        self.failing_since = None;
        // A broker that says nothing about what it was asked must not be asked again at once.
        for topic in scope.topics().into_iter().flatten() {
            if !fetched.topics.contains_key(topic) && self.cluster.topic(topic.as_str()).is_none() {
                let error = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                let missing = TopicMetadata { error, ..TopicMetadata::new(topic, None, vec![]) };
                fetched.topics.insert(topic.clone(), missing);
            }
        }
        let interests = &self.interests;
        let mut next = merge::answer(
            &self.cluster,
            fetched,
            &mut self.doubts,
            |topic| scope.covers(topic),
            |topic| interests.is_used(topic),
        );
        match scope {
            Scope::Cluster | Scope::Used(_) => {
                next.has_all_topics = *scope == Scope::Cluster;
                self.full_due = now + self.settings.max_age;
            }
            Scope::Some(_) => {}
        }
        let ill: Vec<_> = next.topics().filter(|t| heals(t)).map(|t| t.name.clone()).collect();
        let unnamed = interests.used().filter(|topic| next.topic(topic.as_str()).is_none());
        // New ones: somebody waits for them already.
        self.wanted.extend(unnamed.cloned());
        let has_new = !self.wanted.is_empty();
        if ill.is_empty() {
            self.backoff.reset();
        } else {
            // Leaders are elected and topics spread within moments: ask again quickly, then less and less so.
            let due = now + self.backoff.next_wait(&mut self.rng);
            // Those who wait for a leader complain after every answer; one that brought nothing new will be followed
            // by another such (KIP-580).
            if !matches!(scope, Scope::Some(_)) && self.cluster.topics().eq(next.topics()) {
                self.not_before = self.not_before.max(due);
            }
            // Not with new ones, that go at once: the next answer is followed by these.
            if !has_new {
                self.wanted.extend(ill);
                self.wanted_due = due;
            }
        }
        if has_new {
            self.wanted_due = now;
        }
        self.publish(next);
    }

    fn publish(&mut self, cluster: Cluster) {
        self.cluster = Arc::new(cluster);
        self.outputs.push_back(Output::Publish(Arc::clone(&self.cluster)));
    }
}

/// Whether asking again soon may bring something better.
fn heals(topic: &TopicMetadata) -> bool {
    let is_passing = |code: Option<ErrorCode>| {
        code.is_some_and(|code| {
            matches!(
                reaction(ApiKey::METADATA, code),
                Reaction::Retry | Reaction::RefreshMetadata | Reaction::FindCoordinator
            )
        })
    };
    is_passing(topic.error)
        || topic.partitions.iter().any(|partition| {
            // A replica that is down does not keep the leader from serving.
            partition.leader.is_none()
                || (is_passing(partition.error)
                    && partition.error != Some(ErrorCode::REPLICA_NOT_AVAILABLE))
        })
}

#[cfg(test)]
mod tests;
