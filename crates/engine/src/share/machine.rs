//! The machine that a share consumer's driver owns: its parts, commands and events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, NodeId, Offset, Topic, TopicPartition};

use super::acknowledge::Acknowledgement;
use super::buffer::ShareBuffer;
use super::close::Phase;
use super::commit::{CommitId, Commits};
use super::ledger::Lost;
use super::member::Member;
use super::output::Output;
use super::request::Requests;
use super::session::Session;
use super::settings::Settings;
use super::state::MemberState;
use crate::backoff::Backoff;
use crate::coordinator::{CoordinatorKind, Lookup, Settings as LookupSettings};
use crate::error::{Error, Operation};
use crate::metadata::Cluster;
use crate::request::{Answer, RequestIds};

/// A share consumer without sockets, tasks or clocks.
///
/// The driver calls commands and `handle_*`, then drains [`poll_output`](Self::poll_output) to `None`, then sleeps until
/// [`poll_timeout`](Self::poll_timeout), an answer, a command, or a stir of the [`ShareBuffer`]. The user's task reads
/// records and errors from the buffer, and whoever holds a record acknowledges it there.
///
/// Records are fetched while the user waits for some and none are there, from every leader at once: what is acquired
/// sooner would only sit under its lock.
#[derive(Debug)]
pub struct ShareConsumer {
    pub(super) settings: Settings,
    pub(super) buffer: Arc<ShareBuffer>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) lookup: Lookup,
    pub(super) member: Member,
    pub(super) requests: Requests,
    pub(super) sessions: BTreeMap<NodeId, Session>,
    pub(super) last_session: u64,
    /// Partitions that are not fetched for a while after an error.
    pub(super) resting: BTreeMap<TopicPartition, Rest>,
    /// With a record limit: whom to ask next, which is the first broker behind it.
    pub(super) asked_last: Option<NodeId>,
    pub(super) commits: Commits,
    /// What waits need not wait for a fetch to take it along.
    pub(super) hurries: bool,
    pub(super) phase: Phase,
    pub(super) outputs: VecDeque<Output>,
    pub(super) ids: RequestIds,
    pub(super) rng: Rng,
    pub(super) backoff: Backoff,
    /// How long locks last, as the brokers said last; `None` before the first answer.
    pub(super) lock_timeout: Option<Duration>,
    pub(super) told_topics: BTreeSet<Topic>,
    /// What the metadata said last of topics that cannot be read.
    pub(super) troubles: BTreeMap<Topic, ErrorCode>,
    pub(super) refresh: bool,
    /// When the driver was last told so, unless a snapshot came since.
    pub(super) refresh_told: Option<Instant>,
    pub(super) timeout: Option<Instant>,
}

/// A partition after an error.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) until: Instant,
    pub(super) backoff: Backoff,
}

impl ShareConsumer {
    /// A consumer of nothing; `rng` names the member and spreads the waits after errors.
    pub fn new(settings: Settings, mut rng: Rng) -> Self {
        let backoff = Backoff::new(settings.retry_backoff, settings.retry_backoff_max);
        let lookup = LookupSettings {
            retry_backoff: settings.retry_backoff,
            retry_backoff_max: settings.retry_backoff_max,
            request_timeout: settings.request_timeout,
        };
        let member = Member::new(&settings, backoff.clone(), &mut rng);
        Self {
            buffer: Arc::new(ShareBuffer::new(settings.acknowledgement_mode)),
            cluster: Arc::default(),
            lookup: Lookup::new(CoordinatorKind::Group, &*settings.group_id, lookup),
            requests: Requests::new(&settings, member.id()),
            member,
            sessions: BTreeMap::new(),
            last_session: 0,
            resting: BTreeMap::new(),
            asked_last: None,
            commits: Commits::default(),
            hurries: false,
            phase: Phase::Open,
            outputs: VecDeque::new(),
            ids: RequestIds::default(),
            rng,
            backoff,
            lock_timeout: None,
            told_topics: BTreeSet::new(),
            troubles: BTreeMap::new(),
            refresh: false,
            refresh_told: None,
            timeout: None,
            settings,
        }
    }

    /// What the user's task reads, and where records are acknowledged.
    pub fn buffer(&self) -> &Arc<ShareBuffer> {
        &self.buffer
    }

    /// Where the member stands in its group.
    pub fn member_state(&self) -> MemberState {
        self.member.state()
    }

    /// The name that the member gave itself.
    pub fn member_id(&self) -> &str {
        self.member.id()
    }

    /// The partitions that the group assigned last, as far as their topics' names are known.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        let topics = self.member.assignment().iter().filter_map(|(id, partitions)| {
            let name = self.cluster.topic_by_id(*id)?.name.clone();
            Some(partitions.iter().map(move |index| TopicPartition::new(&name, *index)))
        });
        topics.flatten().collect()
    }

    /// How long the brokers lock what they hand out; `None` before the first records.
    pub fn lock_timeout(&self) -> Option<Duration> {
        self.lock_timeout
    }
}

/// Commands.
impl ShareConsumer {
    /// Reads these topics, from now on these and no others.
    ///
    /// # Errors
    /// `Misuse` without a topic; `Closed`.
    pub fn subscribe(&mut self, now: Instant, topics: BTreeSet<Topic>) -> Result<(), Error> {
        if !self.is_open() {
            return Err(Error::closed().during(Operation::Subscribe));
        }
        if topics.is_empty() {
            let rule = "a share consumer reads at least one topic: close it to leave the group";
            return Err(Error::misuse(rule).during(Operation::Subscribe));
        }
        self.buffer.start_clock(now);
        self.member.subscribe(now, topics);
        self.drive(now);
        Ok(())
    }

    /// Sends what was said so far, and ends as [`Output::Committed`] once brokers have answered, or
    /// `default.api.timeout.ms` is over. It fails with the first acknowledgement that failed since the commit before.
    pub fn commit(&mut self, now: Instant) -> CommitId {
        // What was said too late was said before.
        self.drive_locks(now);
        let rounds = self.sessions.values().filter_map(|session| {
            let holder = session.holder();
            let waits = self.buffer.with_ledger(|ledger| !ledger.pending(holder).is_empty());
            let under_way = session.flight.as_ref().and_then(|flight| flight.round);
            let round = if waits { Some(session.round) } else { under_way };
            Some((holder.broker, round?))
        });
        let id = self.commits.open(rounds.collect(), now + self.settings.default_api_timeout);
        self.drive(now);
        id
    }

    /// Sends what was said so far without waiting for a fetch to take it along.
    pub fn hurry(&mut self, now: Instant) {
        self.hurries = true;
        self.drive(now);
    }

    /// Sends what was said, closes the sessions, by which the brokers release what is left, leaves the group, and ends as
    /// [`Output::Closed`] within `timeout`.
    pub fn close(&mut self, now: Instant, timeout: Duration) {
        self.begin_close(now, timeout);
        self.drive(now);
    }

    /// Closes within `timeout`, as nobody needs the consumer any more. A close that is under way keeps its time: somebody
    /// waits for it.
    pub fn abandon(&mut self, now: Instant, timeout: Duration) {
        if self.is_open() {
            self.close(now, timeout);
        }
    }
}

/// Events from the driver.
impl ShareConsumer {
    /// Takes in a snapshot of the cluster.
    pub fn handle_cluster(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.cluster = cluster;
        self.refresh_told = None;
        self.watch_topics();
        self.drive(now);
    }

    /// Takes in what became of a request.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        self.dispatch(now, answer);
        self.drive(now);
    }

    /// Looks at the buffer after it stirred.
    pub fn handle_buffer(&mut self, now: Instant) {
        self.drive(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.drive(now);
    }

    /// What to do next.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }
}

impl ShareConsumer {
    pub(super) fn next_session(&mut self) -> u64 {
        self.last_session += 1;
        self.last_session
    }

    /// Ends the consumer for the user; what he said is sent still.
    pub(super) fn fail(&mut self, error: Error) {
        tracing::error!(%error, "the share consumer cannot go on");
        self.member.fail();
        self.buffer.fail(error);
    }

    /// Tells what became of acknowledgements.
    pub(super) fn report(
        &mut self,
        partition: TopicPartition,
        offsets: Vec<RangeInclusive<Offset>>,
        result: Result<(), Error>,
    ) {
        if offsets.is_empty() {
            return;
        }
        if let Err(error) = &result {
            tracing::debug!(%partition, %error, "acknowledgement failed");
            self.note_close(error);
        }
        self.outputs.push_back(Output::Acknowledged(Acknowledgement {
            partition,
            offsets,
            result,
        }));
    }

    /// Reports acknowledgements that never left, and lets commits know.
    pub(super) fn report_lost(&mut self, lost: Vec<Lost>, error: &Error) {
        for Lost { broker, partition, offsets } in lost {
            let error = error.clone().with_partition(&partition);
            let round = self.sessions.get(&broker).map_or(0, |session| session.round);
            self.commits.note_lost(broker, round, &error);
            self.report(partition, offsets, Err(error));
        }
    }

    /// Starts the session over: what was acquired in it is lost.
    pub(super) fn reset_session(&mut self, broker: NodeId, error: &Error) {
        let number = self.next_session();
        let Some(session) = self.sessions.get_mut(&broker) else { return };
        let holder = session.holder();
        session.reset(number);
        let lost = self.buffer.end(holder);
        self.report_lost(lost, error);
        self.commits.session_over(broker);
    }
}

/// What is said of a record whose lock is gone.
pub(super) fn lock_is_gone() -> Error {
    Error::from_code(ApiKey::SHARE_ACKNOWLEDGE, ErrorCode::INVALID_RECORD_STATE)
        .during(Operation::Acknowledge)
        .with_detail("its acquisition lock ran out, or its session broke, before this was said")
}
