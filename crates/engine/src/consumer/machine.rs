//! The machine that a consumer's driver owns: its parts and its commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ErrorCode, Timestamp, Topic, TopicPartition};

use super::close::Phase;
use super::membership::Membership;
use super::output::{Output, Query, QueryId};
use super::queries::Queries;
use super::settings::Settings;
use crate::backoff::Backoff;
use crate::commit::{CommitId, CommitMode, CommittedOffset, Sender, Waiter};
use crate::error::{Error, ErrorKind, Operation};
use crate::fetch::{FetchBuffer, Fetcher, Limits, OffsetLookup, Validator, Which};
use crate::group::{GroupMembershipOperation, MemberState};
use crate::metadata::Cluster;
use crate::request::{Answer, RequestIds};
use crate::subscription::{
    Assigned, Event, OffsetReset, Position, RebalanceId, Source, Stage, Subscription,
};

/// A consumer without sockets, tasks or clocks.
///
/// The driver calls commands and `handle_*`, then drains [`poll_output`](Self::poll_output) to `None`, then sleeps
/// until [`poll_timeout`](Self::poll_timeout), an answer, a command, or a stir of the [`FetchBuffer`]. The user's
/// task reads events and records from the buffer.
#[derive(Debug)]
pub struct Consumer {
    pub(super) settings: Settings,
    pub(super) buffer: Arc<FetchBuffer>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) subscription: Subscription,
    pub(super) fetcher: Fetcher,
    pub(super) validator: Validator,
    pub(super) offsets: OffsetLookup,
    pub(super) membership: Option<Membership>,
    pub(super) queries: Queries,
    pub(super) phase: Phase,
    pub(super) outputs: VecDeque<Output>,
    pub(super) ids: RequestIds,
    pub(super) rng: Rng,
    /// The wall clock's time at a moment.
    pub(super) wall: (Instant, Timestamp),
    /// The topics that the driver knows to be needed.
    pub(super) told_topics: BTreeSet<Topic>,
    /// Or that it is all of them.
    pub(super) told_all: bool,
    /// What the metadata said last of topics that cannot be read.
    pub(super) troubles: BTreeMap<Topic, ErrorCode>,
    /// Metadata is stale somewhere.
    pub(super) refresh: bool,
    /// When the driver was last told so, unless a snapshot came since.
    pub(super) refresh_told: Option<Instant>,
    /// When to look next for partitions that stand still.
    pub(super) watch_at: Option<Instant>,
    pub(super) timeout: Option<Instant>,
    /// Offsets that were stored and not asked for; `None` where nobody asks.
    pub(super) stored: Option<VecDeque<BTreeMap<TopicPartition, CommittedOffset>>>,
    last_commit: u64,
}

impl Consumer {
    /// A consumer of nothing. At `now` it is `wall` by the wall clock, which only
    /// [`OffsetReset::ByDuration`] needs; `rng` spreads the waits after errors.
    pub fn new(settings: Settings, now: Instant, wall: Timestamp, mut rng: Rng) -> Self {
        let backoff = Backoff::new(settings.retry_backoff, settings.retry_backoff_max);
        let limits = Limits {
            isolation: settings.isolation_level,
            rack: settings.client_rack.clone(),
            min_bytes: settings.fetch_min_bytes,
            max_bytes: settings.fetch_max_bytes,
            partition_max_bytes: settings.max_partition_fetch_bytes,
            max_wait: settings.fetch_max_wait,
            buffer_bytes: settings.buffer_bytes,
        };
        let (reset, timeout) = (settings.auto_offset_reset, settings.request_timeout);
        Self {
            buffer: Arc::default(),
            cluster: Arc::default(),
            subscription: Subscription::new(backoff.clone()),
            fetcher: Fetcher::new(
                limits,
                timeout,
                settings.metadata_max_age,
                reset,
                backoff.clone(),
            ),
            validator: Validator::new(reset, timeout),
            offsets: OffsetLookup::new(settings.isolation_level, timeout, backoff.clone()),
            membership: settings.group.as_ref().map(|group| {
                let auto_commit = settings.auto_commit_interval;
                Membership::new(now, group, auto_commit, timeout, &backoff, &mut rng)
            }),
            queries: Queries::new(),
            phase: Phase::Open,
            outputs: VecDeque::new(),
            ids: RequestIds::default(),
            rng,
            wall: (now, wall),
            told_topics: BTreeSet::new(),
            told_all: false,
            troubles: BTreeMap::new(),
            refresh: false,
            refresh_told: None,
            watch_at: None,
            timeout: None,
            stored: None,
            last_commit: 0,
            settings,
        }
    }

    /// What the user's task reads.
    pub fn buffer(&self) -> &Arc<FetchBuffer> {
        &self.buffer
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the member stands in its group; `None` without one.
    pub fn member_state(&self) -> Option<MemberState> {
        Some(self.membership.as_ref()?.member.state())
    }

    /// The paused partitions.
    pub fn paused(&self) -> BTreeSet<TopicPartition> {
        let paused = self.subscription.iter().filter(|(_, assigned)| assigned.paused);
        paused.map(|(tp, _)| tp.clone()).collect()
    }

    /// Keeps the offsets of every commit that succeeds, for [`take_stored`](Self::take_stored).
    pub fn keep_stored(&mut self) {
        self.stored = Some(VecDeque::new());
    }

    /// The offsets of the next commit that succeeded; ask after each mutation, as for outputs.
    pub fn take_stored(&mut self) -> Option<BTreeMap<TopicPartition, CommittedOffset>> {
        self.stored.as_mut()?.pop_front()
    }

    /// The topics that are subscribed to by name, or that a filter has taken so far; none otherwise.
    pub fn topics(&self) -> BTreeSet<Topic> {
        match &self.subscription.source {
            Source::Topics(topics) => topics.clone(),
            Source::Filter(_, taken) => taken.clone().unwrap_or_default(),
            Source::None | Source::Manual | Source::Coordinator => BTreeSet::new(),
        }
    }

    /// The assigned partitions.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.subscription.partitions().into_iter().collect()
    }
}

/// Commands.
impl Consumer {
    /// Reads these partitions, from now on these and no others. One that stays keeps its position; a new one starts
    /// at the group's committed offset, or by `auto.offset.reset`.
    ///
    /// # Errors
    /// `Misuse` with a subscription; `Closed`.
    pub fn assign(
        &mut self,
        now: Instant,
        partitions: BTreeSet<TopicPartition>,
    ) -> Result<(), Error> {
        self.ensure_open(Operation::Subscribe)?;
        if self.subscription.source.is_shared() {
            let rule = "topics are subscribed to: unsubscribe first";
            return Err(Error::misuse(rule).during(Operation::Subscribe));
        }
        self.commit_returned(now, CommitMode::Once);
        let old = self.subscription.partitions();
        let gone: Vec<_> = old.into_iter().filter(|tp| !partitions.contains(tp)).collect();
        self.let_go(&gone);
        self.subscription.source =
            if partitions.is_empty() { Source::None } else { Source::Manual };
        for tp in partitions {
            if !self.subscription.is_assigned(&tp) {
                self.take(tp, true);
            }
        }
        self.drive(now);
        Ok(())
    }

    /// Reads nothing any more; commits if it commits by itself, and leaves the group. The listener's `revoked` is
    /// the caller's to run before this.
    ///
    /// # Errors
    /// `Closed`.
    pub fn unsubscribe(&mut self, now: Instant) -> Result<(), Error> {
        self.ensure_open(Operation::Subscribe)?;
        self.commit_returned(now, CommitMode::Once);
        // Sent before LeaveGroup, on the same connection.
        self.drive_commits(now);
        if self.subscription.source.is_shared() {
            let operation = GroupMembershipOperation::Default;
            self.leave_group(now, operation, "the consumer unsubscribed from all topics");
        }
        self.subscription.source = Source::None;
        let partitions = self.subscription.partitions();
        self.let_go(&partitions);
        self.drive(now);
        Ok(())
    }

    /// Reads on from `position`, which takes effect at once: nothing fetched before is handed out any more.
    ///
    /// # Errors
    /// `Misuse` if the partition is not assigned.
    pub fn seek(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        position: Position,
    ) -> Result<(), Error> {
        let revision = self.subscription.revise();
        let assigned = self.assigned_mut(partition, Operation::Seek)?;
        assigned.confirmed = None;
        assigned.seek(Self::unread(position), revision);
        self.buffer.place(partition, revision, Some(position));
        self.drive(now);
        Ok(())
    }

    /// Reads on from where `reset` says, once the leader told where that is.
    ///
    /// # Errors
    /// `Misuse` if a partition is not assigned, or `reset` says nothing; then nothing moves.
    pub fn seek_by(
        &mut self,
        now: Instant,
        partitions: &BTreeSet<TopicPartition>,
        reset: OffsetReset,
    ) -> Result<(), Error> {
        if reset == OffsetReset::None {
            let rule = "to seek takes a place: earliest, latest or a duration";
            return Err(Error::misuse(rule).during(Operation::Seek));
        }
        self.ensure_assigned(partitions, Operation::Seek)?;
        for tp in partitions {
            let revision = self.subscription.revise();
            if let Some(assigned) = self.subscription.get_mut(tp) {
                assigned.seek(Stage::Reset(reset), revision);
                self.buffer.place(tp, revision, None);
            }
        }
        self.drive(now);
        Ok(())
    }

    /// Hands out nothing of these partitions, and fetches nothing more of them, until they are resumed or leave.
    ///
    /// # Errors
    /// `Misuse` if a partition is not assigned; then none is paused.
    pub fn pause(
        &mut self,
        now: Instant,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), Error> {
        self.set_paused(now, partitions, true)
    }

    /// Undoes [`pause`](Self::pause).
    ///
    /// # Errors
    /// `Misuse` if a partition is not assigned; then none is resumed.
    pub fn resume(
        &mut self,
        now: Instant,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), Error> {
        self.set_paused(now, partitions, false)
    }

    /// Commits `offsets`, or with `None` every position behind what was handed out; ends as
    /// [`Output::Committed`]. Commits are sent in the order of these calls, one at a time.
    ///
    /// With subscribed topics, offsets of a partition that is not assigned end as `Rebalanced`, and so does everything
    /// while the member is out of its group, or as what it failed with. Of those that were
    /// handed out [`ensure_held`](Self::ensure_held) tells whether they may still be committed.
    pub fn commit(
        &mut self,
        now: Instant,
        offsets: Option<BTreeMap<TopicPartition, CommittedOffset>>,
        mode: CommitMode,
    ) -> CommitId {
        let id = self.next_commit();
        let refusal = self.ensure_open(Operation::Commit).err().or_else(|| self.commit_refusal());
        if let Some(error) = refusal {
            self.outputs.push_back(Output::Committed { id, result: Err(error) });
            return id;
        }
        let offsets = offsets.unwrap_or_else(|| self.positions(Which::HandedOut));
        self.buffer.return_to(&offsets);
        let deadline = now + self.settings.default_api_timeout;
        self.push_commit(Waiter { id, deadline, is_own: false }, offsets, mode);
        self.drive(now);
        id
    }

    /// Asks brokers; ends as [`Output::Answered`].
    pub fn query(&mut self, now: Instant, query: Query) -> QueryId {
        let id = self.open_query(now, query);
        self.drive(now);
        id
    }

    /// Has the group share its partitions out anew (KIP-568); the coordinator logs `reason` (KIP-800). Does nothing
    /// where the group rebalances already or nothing is subscribed to.
    pub fn enforce_rebalance(&mut self, now: Instant, reason: &str) {
        if let Some(membership) = &mut self.membership {
            membership.member.enforce_rebalance(reason);
        }
        self.drive(now);
    }

    /// The user's callback for this rebalance has returned, and what he had in hand before is done with.
    pub fn acknowledge(&mut self, now: Instant, rebalance: RebalanceId) {
        self.handle_acknowledgement(now, rebalance);
        self.drive(now);
    }

    /// Commits if it commits by itself, leaves the group, and ends as [`Output::Closed`] within `timeout`. What is in
    /// the user's hand is not committed, unless he is done with it and [`FetchBuffer::enter_poll`] said so; the
    /// listener's `revoked` is the caller's to run before this. `operation` may have the member stay in its group.
    pub fn close(&mut self, now: Instant, timeout: Duration, operation: GroupMembershipOperation) {
        self.begin_close(now, timeout, operation);
        self.drive(now);
    }

    /// Closes within `timeout`, as nobody needs the consumer any more. A close that is under way keeps its time: somebody
    /// waits for it.
    pub fn abandon(&mut self, now: Instant, timeout: Duration) {
        if self.is_open() {
            self.close(now, timeout, GroupMembershipOperation::Default);
        }
    }
}

/// Events from the driver.
impl Consumer {
    /// Takes in a snapshot of the cluster.
    pub fn handle_cluster(&mut self, now: Instant, cluster: Arc<Cluster>) {
        Validator::handle_cluster(&mut self.subscription, &cluster);
        if let Some(membership) = &mut self.membership {
            membership.member.handle_cluster(&cluster);
        }
        self.cluster = cluster;
        self.filter_topics();
        self.refresh_told = None;
        self.watch_topics();
        self.watch_topic_ids();
        self.drive(now);
    }

    /// Takes in what became of a request.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        self.dispatch(now, answer);
        self.drive(now);
    }

    /// Looks at the buffer after it stirred.
    pub fn handle_buffer(&mut self, now: Instant) {
        for (tp, revision) in self.buffer.take_rejected() {
            let next = self.subscription.revise();
            let position = self.buffer.position(&tp);
            let (Some(assigned), Some(position)) =
                (self.subscription.current(&tp, revision), position)
            else {
                continue;
            };
            // Read again from behind what was handed out: damage on the way heals, damage in the log comes up again.
            let wait = assigned.backoff.next_wait(&mut self.rng);
            // What a new leader is being asked it is asked of the earlier position, too.
            let is_validating = matches!(assigned.stage(), Stage::Validating(_));
            let stage = if is_validating { Stage::Validating } else { Stage::Fetching };
            assigned.seek(stage(position), next);
            assigned.retry_at = Some(now + wait);
            self.buffer.restart(&tp, next);
        }
        self.drive(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.drive(now);
    }

    /// Takes in that at `now` it is `wall` by the wall clock, which may have jumped.
    pub fn handle_wall(&mut self, now: Instant, wall: Timestamp) {
        self.wall = (now, wall);
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

impl Consumer {
    /// Takes a partition in.
    pub(super) fn take(&mut self, tp: TopicPartition, settled: bool) {
        let stage =
            if self.membership.is_some() { Stage::Committed } else { self.without_offset(&tp) };
        let revision = self.subscription.add(tp.clone(), stage, settled);
        self.buffer.assign(tp, revision);
    }

    /// Lets partitions go: nothing of them is handed out from here on.
    pub(super) fn let_go(&mut self, partitions: &[TopicPartition]) {
        for tp in partitions {
            self.subscription.remove(tp);
        }
        self.buffer.remove(partitions);
    }

    /// Where a partition goes for which nothing is committed.
    pub(super) fn without_offset(&self, tp: &TopicPartition) -> Stage {
        if self.settings.auto_offset_reset != OffsetReset::None {
            return Stage::Reset(self.settings.auto_offset_reset);
        }
        let error = Error::new(ErrorKind::NoOffset).during(Operation::FetchOffsets);
        self.buffer.tell(Event::Error(error.with_partition(tp)));
        Stage::Halted
    }

    /// The stage of a position that nothing was read from yet.
    pub(super) fn unread(position: Position) -> Stage {
        match position.leader_epoch {
            // The epoch lets the leader say whether its log still has what was read before.
            Some(_) => Stage::Validating(position),
            None => Stage::Fetching(position),
        }
    }

    /// In whose name a commit would be sent now.
    pub(super) fn sender(&self) -> Sender {
        match &self.membership {
            Some(membership) if self.subscription.source.is_shared() => membership.sender(),
            Some(_) | None => Sender::Standalone,
        }
    }

    /// Positions as a commit stores them.
    pub(super) fn positions(&self, which: Which) -> BTreeMap<TopicPartition, CommittedOffset> {
        let positions = self.buffer.offsets(which).into_iter();
        let committed = positions.map(|(tp, position)| {
            let leader_epoch = position.leader_epoch;
            (tp, CommittedOffset { leader_epoch, ..CommittedOffset::new(position.offset) })
        });
        committed.collect()
    }

    pub(super) fn next_commit(&mut self) -> CommitId {
        self.last_commit += 1;
        CommitId(self.last_commit)
    }

    /// The time on the wall at `now`.
    pub(super) fn wall_at(&self, now: Instant) -> Timestamp {
        let (then, wall) = self.wall;
        let elapsed_ms = now.saturating_duration_since(then).as_millis();
        let elapsed_ms = i64::try_from(elapsed_ms).unwrap_or(i64::MAX);
        Timestamp::from_millis(wall.millis().saturating_add(elapsed_ms))
    }

    fn set_paused(
        &mut self,
        now: Instant,
        partitions: &BTreeSet<TopicPartition>,
        paused: bool,
    ) -> Result<(), Error> {
        self.ensure_assigned(partitions, Operation::Poll)?;
        for tp in partitions {
            if let Some(assigned) = self.subscription.get_mut(tp) {
                assigned.paused = paused;
                self.buffer.pause(tp, paused);
            }
        }
        self.drive(now);
        Ok(())
    }

    pub(super) fn ensure_open(&self, operation: Operation) -> Result<(), Error> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Closing(_) | Phase::Closed => Err(Error::closed().during(operation)),
        }
    }

    fn ensure_assigned(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        operation: Operation,
    ) -> Result<(), Error> {
        match partitions.iter().find(|tp| !self.subscription.is_assigned(tp)) {
            Some(tp) => Err(not_assigned(tp, operation)),
            None => Ok(()),
        }
    }

    fn assigned_mut(
        &mut self,
        tp: &TopicPartition,
        operation: Operation,
    ) -> Result<&mut Assigned, Error> {
        self.subscription.get_mut(tp).ok_or_else(|| not_assigned(tp, operation))
    }
}

fn not_assigned(tp: &TopicPartition, operation: Operation) -> Error {
    Error::misuse("the partition is not assigned to this consumer")
        .during(operation)
        .with_partition(tp)
}
