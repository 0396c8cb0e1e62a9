//! A simulated client: its machines and its connections, without tasks.

mod consumer;
mod copier;
mod member;
mod producer;
mod sharer;
mod transaction;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_engine::metadata::{self, Cluster, Interest, InterestId, LeaderHint, Metadata};
use milena_engine::request::{Answer, Failure, Lane, Outbound, Target};
use milena_types::NodeId;

pub(crate) use consumer::ConsumerHost;
pub(crate) use member::MemberHost;
pub(crate) use producer::ProducerHost;
pub(crate) use sharer::SharerHost;

use crate::clock::Clock;
use crate::history::History;
use crate::line::{Features, Health, Line, Owner};
use crate::network::{Event, LinkId, Network};

/// One client of the world: a producer, a consumer or a member of a group, and what both need.
pub(crate) struct Host {
    index: usize,
    nodes: i32,
    rng: Rng,
    metadata: Metadata,
    interest: InterestId,
    is_rebootstrapping: bool,
    /// Lines in use and lines whose broker left, until their last answer; by number.
    lines: BTreeMap<u64, Line>,
    lines_made: u64,
    current: BTreeMap<(Destination, Lane), u64>,
    links: BTreeMap<LinkId, u64>,
    user: User,
    /// The newest that was heard of the cluster's features.
    features: Features,
    /// The process stands still until then; what arrives meanwhile waits.
    frozen: Option<Duration>,
    held_back: Vec<(LinkId, Event)>,
    /// Something happened since it ran.
    is_stirred: bool,
    /// When it acts by itself, as it was when it ran last; nothing else changes that.
    next: Option<Duration>,
    /// Times that a timer of its machines went off, since the last full second.
    pub(crate) wakeups: u64,
}

/// What the client is for.
pub(crate) enum User {
    Producer(Box<ProducerHost>),
    Consumer(Box<ConsumerHost>),
    Member(Box<MemberHost>),
    Sharer(Box<SharerHost>),
}

/// Whom a line leads to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Destination {
    Bootstrap(NodeId),
    Broker(NodeId),
}

/// What a machine wants of the rest of its client.
pub(crate) enum Wish {
    Send(Owner, Outbound),
    Refresh,
    Interest(Interest),
    Use(milena_types::Topic),
    Hint(LeaderHint),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Producer(producer) => producer.fmt(f),
            Self::Consumer(consumer) => consumer.fmt(f),
            Self::Member(member) => member.fmt(f),
            Self::Sharer(sharer) => sharer.fmt(f),
        }
    }
}

impl Host {
    pub(crate) fn new(
        (index, nodes): (usize, i32),
        metadata_max_age: Option<Duration>,
        now: Instant,
        mut rng: Rng,
        user: User,
    ) -> Self {
        let mut settings = metadata::Settings::default();
        settings.max_age = metadata_max_age.unwrap_or(settings.max_age);
        let mut metadata = Metadata::new(now, settings, rng.fork());
        let interest = metadata.register();
        Self {
            index,
            nodes,
            rng,
            metadata,
            interest,
            is_rebootstrapping: false,
            lines: BTreeMap::new(),
            lines_made: 0,
            current: BTreeMap::new(),
            links: BTreeMap::new(),
            user,
            features: (None, None),
            frozen: None,
            held_back: Vec::new(),
            is_stirred: true,
            next: None,
            wakeups: 0,
        }
    }

    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    pub(crate) fn user_mut(&mut self) -> &mut User {
        self.is_stirred = true;
        &mut self.user
    }

    /// The process stands still until `until`, and knows nothing of it then (F50, F68, F72).
    pub(crate) fn freeze(&mut self, until: Duration) {
        self.frozen = self.frozen.max(Some(until));
    }

    fn is_frozen(&self, clock: &Clock) -> bool {
        self.frozen.is_some_and(|until| clock.elapsed() < until)
    }

    /// Looks again, whatever it waited for.
    pub(crate) fn stir(&mut self) {
        self.is_stirred = true;
    }

    pub(crate) fn rng(&mut self) -> Rng {
        self.rng.fork()
    }

    pub(crate) fn into_user(self) -> User {
        self.user
    }

    /// The network has news for one of its links.
    pub(crate) fn handle_event(
        &mut self,
        clock: &Clock,
        network: &mut Network,
        link: LinkId,
        event: Event,
    ) {
        if self.is_frozen(clock) {
            return self.held_back.push((link, event));
        }
        let Some(number) = self.links.get(&link).copied() else { return };
        self.is_stirred = true;
        let Some(line) = self.lines.get_mut(&number) else { return };
        if let Some(next) = line.handle_event(clock, &mut self.rng, network, event) {
            self.links.remove(&link);
            self.links.insert(next, number);
        }
    }

    pub(crate) fn handle_timeout(&mut self, clock: &Clock, network: &mut Network) {
        let now = clock.now();
        if !self.is_due(clock) {
            return;
        }
        if self.frozen.take().is_some() {
            self.is_stirred = true;
        }
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.is_stirred = true;
        self.wakeups += 1;
        if self.metadata.poll_timeout().is_some_and(|at| at <= now) {
            self.metadata.handle_timeout(now);
        }
        for line in self.lines.values_mut() {
            if line.poll_timeout().is_some_and(|at| at <= now) {
                line.handle_timeout(clock, &mut self.rng, network);
            }
        }
        match &mut self.user {
            User::Producer(producer) => producer.handle_timeout(now),
            User::Consumer(consumer) => consumer.handle_timeout(now),
            User::Member(member) => member.handle_timeout(now),
            User::Sharer(sharer) => sharer.handle_timeout(now),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let lines = self.lines.values().filter_map(Line::poll_timeout).min();
        let user = match &self.user {
            User::Producer(producer) => producer.poll_timeout(),
            User::Consumer(consumer) => consumer.poll_timeout(),
            User::Member(member) => member.poll_timeout(),
            User::Sharer(sharer) => sharer.poll_timeout(),
        };
        [self.metadata.poll_timeout(), lines, user].into_iter().flatten().min()
    }

    /// Whether there may be something to do now.
    pub(crate) fn is_due(&self, clock: &Clock) -> bool {
        match self.frozen {
            Some(until) => until <= clock.elapsed(),
            None => self.is_stirred || self.next.is_some_and(|at| at <= clock.elapsed()),
        }
    }

    /// When it acts by itself, counted from the world's start.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.frozen.or(self.next)
    }

    /// Does all that can be done now.
    pub(crate) fn run(&mut self, clock: &Clock, network: &mut Network, history: &mut History) {
        for (link, event) in std::mem::take(&mut self.held_back) {
            self.handle_event(clock, network, link, event);
        }
        self.run_until_idle(clock, network, history);
        let machine = self.poll_timeout().map(|at| clock.since_start(at));
        let user = match &self.user {
            User::Producer(producer) => producer.next_move(),
            User::Consumer(consumer) => consumer.next_move(),
            User::Member(member) => member.next_move(),
            User::Sharer(sharer) => sharer.next_move(),
        };
        self.next = [machine, user].into_iter().flatten().min();
    }

    fn run_until_idle(&mut self, clock: &Clock, network: &mut Network, history: &mut History) {
        let now = clock.now();
        self.is_stirred = false;
        let mut rounds = 0;
        loop {
            rounds += 1;
            if rounds > ROUNDS_MAX {
                // The clock would stand still for ever.
                history.wakeups_per_second_max = u64::MAX;
                return;
            }
            let mut wishes = Vec::new();
            match &mut self.user {
                User::Producer(producer) => producer.run(clock, history, &mut wishes),
                User::Consumer(consumer) => consumer.run(clock, history, &mut wishes),
                User::Member(member) => member.run(clock, history, &mut wishes),
                User::Sharer(sharer) => sharer.run(clock, history, &mut wishes),
            }
            let mut is_idle = wishes.is_empty();
            for wish in wishes {
                self.grant(now, wish);
            }
            while let Some(output) = self.metadata.poll_output(now) {
                is_idle = false;
                match output {
                    metadata::Output::Request(request) => {
                        self.submit(now, Owner::Metadata, request)
                    }
                    metadata::Output::Publish(cluster) => self.publish(now, &cluster),
                    metadata::Output::Failed(_) => {}
                    metadata::Output::Rebootstrap => self.is_rebootstrapping = true,
                }
            }
            let mut answers = Vec::new();
            for (number, line) in &mut self.lines {
                if let Some(link) = line.run(clock, &mut self.rng, network) {
                    self.links.insert(link, *number);
                }
                answers.extend(std::iter::from_fn(|| line.poll_answer()));
                if let Some(features) = line.take_features().filter(|new| *new > self.features) {
                    self.features = features;
                    match &mut self.user {
                        User::Producer(it) => it.handle_transaction_version(features.1),
                        User::Member(it) => it.handle_transaction_version(features.1),
                        User::Consumer(_) | User::Sharer(_) => {}
                    }
                }
            }
            self.lines.retain(|_, line| !line.is_over());
            is_idle &= answers.is_empty();
            for (owner, answer) in answers {
                self.answer(now, owner, answer);
            }
            if is_idle {
                return;
            }
        }
    }

    fn grant(&mut self, now: Instant, wish: Wish) {
        match wish {
            Wish::Send(owner, request) => self.submit(now, owner, request),
            Wish::Refresh => self.metadata.refresh(),
            Wish::Interest(interest) => self.metadata.set_interest(now, self.interest, interest),
            Wish::Use(topic) => self.metadata.touch(now, &topic),
            Wish::Hint(hint) => {
                self.metadata.handle_hint(&hint);
            }
        }
    }

    fn answer(&mut self, now: Instant, owner: Owner, answer: Answer) {
        match (owner, &mut self.user) {
            (Owner::Metadata, _) => self.metadata.handle_answer(now, answer),
            (Owner::Producer, User::Producer(producer)) => producer.handle_answer(now, answer),
            (Owner::Consumer(_), User::Consumer(consumer)) => consumer.handle_answer(now, answer),
            (Owner::Consumer(life), User::Member(member)) => {
                member.handle_answer(now, life, answer);
            }
            (Owner::Copier(life), User::Member(member)) => {
                member.handle_copier_answer(now, life, answer);
            }
            (Owner::Consumer(life), User::Sharer(sharer)) => {
                sharer.handle_answer(now, life, answer);
            }
            (Owner::Producer | Owner::Consumer(_) | Owner::Copier(_), _) => {}
        }
    }

    fn publish(&mut self, now: Instant, cluster: &Arc<Cluster>) {
        let known: Vec<NodeId> = cluster.brokers().map(|broker| broker.id).collect();
        if !known.is_empty() {
            self.is_rebootstrapping = false;
            let lines = &mut self.lines;
            self.current.retain(|(destination, _), number| {
                let stays = match destination {
                    Destination::Bootstrap(_) => false,
                    Destination::Broker(id) => known.contains(id),
                };
                if !stays && let Some(line) = lines.get_mut(number) {
                    line.retire(now);
                }
                stays
            });
        }
        match &mut self.user {
            User::Producer(producer) => producer.handle_metadata(now, Arc::clone(cluster)),
            User::Consumer(consumer) => consumer.handle_metadata(now, Arc::clone(cluster)),
            User::Member(member) => member.handle_metadata(now, Arc::clone(cluster)),
            User::Sharer(sharer) => sharer.handle_metadata(now, Arc::clone(cluster)),
        }
    }

    fn submit(&mut self, now: Instant, owner: Owner, request: Outbound) {
        let lane = request.lane;
        let destination = match request.target {
            Target::Broker(id) => {
                let known = self.metadata.cluster().broker(id).is_some();
                known.then_some(Destination::Broker(id))
            }
            _ => self.pick_any(lane),
        };
        let Some(destination) = destination else {
            let answer = Answer::new(request.id, None, 0, now, Err(Failure::NotSent));
            return self.answer(now, owner, answer);
        };
        let (node, broker) = match destination {
            Destination::Bootstrap(node) => (node, None),
            Destination::Broker(id) => (id, Some(id)),
        };
        let number = *self.current.entry((destination, lane)).or_insert_with(|| {
            self.lines_made += 1;
            self.lines_made
        });
        self.lines
            .entry(number)
            .or_insert_with(|| Line::new(self.index, node, broker, lane))
            .submit(now, owner, request);
    }

    fn pick_any(&mut self, lane: Lane) -> Option<Destination> {
        let bootstrap = (1..=self.nodes).map(|node| Destination::Bootstrap(NodeId::new(node)));
        let known = self.metadata.cluster().brokers().map(|broker| Destination::Broker(broker.id));
        let known: Vec<_> = known.collect();
        let is_ill = |destination: &Destination| {
            self.line(*destination, lane).is_some_and(|line| line.health() == Health::Failing)
        };
        let candidates: Vec<_> = if self.is_rebootstrapping || known.is_empty() {
            bootstrap.collect()
        } else if known.iter().all(is_ill) {
            bootstrap.chain(known).collect()
        } else {
            known
        };
        let burden = |destination: &Destination| match self.line(*destination, lane) {
            Some(line) => (line.health(), line.load()),
            None => (Health::Closed, 0),
        };
        let least = candidates.iter().map(burden).min()?;
        let best: Vec<_> = candidates.into_iter().filter(|one| burden(one) == least).collect();
        best.get(self.rng.usize(0..best.len())).copied()
    }

    fn line(&self, destination: Destination, lane: Lane) -> Option<&Line> {
        self.lines.get(self.current.get(&(destination, lane))?)
    }
}

/// How often a client may find something to do at one moment.
const ROUNDS_MAX: u32 = 100_000;
