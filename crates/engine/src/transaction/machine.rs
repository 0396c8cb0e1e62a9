//! The machine of transactions: commands, and which request is next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{NodeId, TopicPartition};
use milena_wire::ByteString;

use super::calls::{Calls, TransactionCall, Wish};
use super::end::{End, TransactionOutcome};
use super::enrollment::Enrollment;
use super::offsets::{GroupMetadata, OffsetCommits};
use super::request::What;
use super::state::State;
use super::version::TransactionVersion;
use crate::commit::CommittedOffset;
use crate::coordinator::{self, CoordinatorKind, Lookup};
use crate::idempotence::Identity;
use crate::metadata::Broker;
use crate::request::{Outbound, RequestId, RequestIds};
use crate::{Backoff, Error, ErrorKind, Fate, Operation};

/// How a transactional producer behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `transactional.id`
    pub(crate) transactional_id: Arc<str>,
    /// When the coordinator aborts a transaction by itself (`transaction.timeout.ms`).
    pub(crate) timeout: Duration,
    /// A transaction stays open until it is ended by hand (`transaction.two.phase.commit.enable`, KIP-939).
    pub(crate) is_two_phase: bool,
    pub(crate) request_timeout: Duration,
    pub(crate) retry_backoff: Duration,
    pub(crate) retry_backoff_max: Duration,
}

/// The transactions of one producer, one after the other.
#[derive(Debug)]
pub(crate) struct Transactions {
    pub(super) settings: Settings,
    pub(super) id: ByteString,
    pub(super) state: State,
    /// Why only an abort is left, or nothing at all.
    error: Option<Error>,
    /// What the coordinators said last, for the error of a call whose time runs out.
    pub(super) trouble: Option<Error>,
    /// What the cluster has agreed on, as far as it was heard.
    cluster_version: TransactionVersion,
    /// Of the transaction that is open, or was last.
    pub(super) version: TransactionVersion,
    pub(super) identity: Option<Identity>,
    /// Under which protocol transactions were made with this identity.
    used_under: Option<TransactionVersion>,
    /// Under the first protocol: something of this identity failed, or a request of it is lost, and a broker may read it
    /// late. It would count for the next transaction, were that one to have the same epoch (R7).
    pub(super) is_doubtful: bool,
    /// Counts transactions.
    number: u64,
    pub(super) begun: Begun,
    /// Something of it is stored, so that the coordinator was done with the one before.
    pub(super) is_acknowledged: bool,
    pub(super) coordinator: Lookup,
    pub(super) group: Option<(Arc<str>, Lookup)>,
    /// Which of the two is missing.
    sought: Option<What>,
    pub(super) asked: Option<Asked>,
    /// The next request waits until then.
    pub(super) not_before: Option<Instant>,
    pub(super) backoff: Backoff,
    pub(super) enrollment: Enrollment,
    pub(super) offsets: OffsetCommits,
    pub(super) end: End,
    pub(super) calls: Calls,
    pub(super) events: VecDeque<Event>,
}

/// Whether the coordinator knows of the open transaction.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Begun {
    /// It does not: there is nothing to end.
    No,
    /// It was told, and gave no answer.
    Maybe,
    Yes,
}

/// The request under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) what: What,
    pub(super) node: NodeId,
    /// What was known before it.
    pub(super) begun_before: Begun,
}

/// What the sender is to do.
#[derive(Debug)]
pub(crate) enum Event {
    /// New batches count under this identity, from 0.
    Identity(Identity),
    /// Partitions were enrolled.
    Enrolled,
    /// What is not on its way to a broker will not be sent.
    DropUnsent,
    /// A coordinator was found; the metadata must know it to be reached.
    Coordinator(Broker),
    /// The producer cannot go on.
    Broken(Error),
}

/// How far the sender is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Nothing that was appended is without a result, and no request is under way.
    pub(crate) is_drained: bool,
    /// A sequence is missing for good in some partition: only a new epoch heals that.
    pub(crate) has_gaps: bool,
}

impl Transactions {
    pub(crate) fn new(settings: Settings) -> Self {
        let id = ByteString::from(&*settings.transactional_id);
        let lookup = lookup_settings(&settings);
        Self {
            coordinator: Lookup::new(CoordinatorKind::Transaction, id.clone(), lookup),
            backoff: Backoff::new(settings.retry_backoff, settings.retry_backoff_max),
            settings,
            id,
            state: State::Starting,
            error: None,
            trouble: None,
            cluster_version: TransactionVersion::default(),
            version: TransactionVersion::default(),
            identity: None,
            used_under: None,
            is_doubtful: false,
            number: 0,
            begun: Begun::No,
            is_acknowledged: false,
            group: None,
            sought: None,
            asked: None,
            not_before: None,
            enrollment: Enrollment::default(),
            offsets: OffsetCommits::default(),
            end: End::default(),
            calls: Calls::default(),
            events: VecDeque::new(),
        }
    }

    /// What the cluster has agreed on. Counts from the next transaction on.
    pub(crate) fn set_cluster_version(&mut self, version: TransactionVersion) {
        self.cluster_version = version;
    }

    /// Waits until no transaction is under way and the next may begin.
    pub(crate) fn settle(&mut self, deadline: Instant) -> TransactionCall {
        let call = self.calls.add(Wish::Settle, deadline);
        self.refuse_if_broken(call);
        call
    }

    /// Begins a transaction as soon as the last one has ended.
    pub(crate) fn begin(&mut self, deadline: Instant) -> TransactionCall {
        let call = self.calls.add(Wish::Begin, deadline);
        if matches!(self.state, State::Open | State::Failed) {
            self.misused(call, "a transaction is open; commit or abort it first");
        }
        self.refuse_if_broken(call);
        call
    }

    /// Puts consumed offsets into the transaction.
    pub(crate) fn send_offsets(
        &mut self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        group: GroupMetadata,
        deadline: Instant,
    ) -> TransactionCall {
        let call = self.calls.add(Wish::Offsets, deadline);
        match self.state {
            State::Open if offsets.is_empty() => self.calls.finish(call, Ok(())),
            State::Open => self.offsets.push(call, group, offsets),
            State::Failed => self.calls.finish(call, Err(self.failure())),
            State::Starting | State::Ready | State::Committing | State::Aborting => {
                self.misused(call, "no transaction is open");
            }
            State::Broken => self.refuse_if_broken(call),
        }
        call
    }

    /// Commits, once everything that was appended is stored.
    pub(crate) fn commit(&mut self, deadline: Instant) -> TransactionCall {
        let call = self.calls.add(Wish::Commit, deadline);
        match self.state {
            State::Open => {
                self.become_(State::Committing);
                self.end.begin(TransactionOutcome::Committed);
            }
            State::Failed => self.calls.finish(call, Err(self.failure())),
            State::Starting | State::Ready | State::Committing | State::Aborting => {
                self.misused(call, "no transaction is open");
            }
            State::Broken => self.refuse_if_broken(call),
        }
        call
    }

    /// Under which identity the open transaction can be committed whatever happens to this producer, where nothing of it
    /// is lost.
    pub(crate) fn prepare(&self) -> Result<Identity, Error> {
        let misuse = |rule| Err(Error::misuse(rule).during(Operation::Transaction));
        if !self.settings.is_two_phase {
            return misuse("to prepare takes transaction.two.phase.commit.enable=true");
        }
        match (self.state, self.identity) {
            (State::Open, _) if !self.offsets.is_empty() => {
                misuse("offsets are on their way into the transaction: wait for send_offsets first")
            }
            (State::Open, Some(identity)) => Ok(identity),
            (State::Failed | State::Broken, _) => Err(self.failure()),
            _ => misuse("no transaction is open"),
        }
    }

    /// Aborts; where no transaction is open, there is nothing to do.
    pub(crate) fn abort(&mut self, deadline: Instant) -> TransactionCall {
        let call = self.calls.add(Wish::Abort, deadline);
        self.abandon();
        match self.state {
            State::Starting | State::Ready => self.calls.finish(call, Ok(())),
            State::Committing => self.misused(call, "the transaction is being committed"),
            State::Broken => self.refuse_if_broken(call),
            State::Open | State::Failed | State::Aborting => {}
        }
        call
    }

    /// Aborts the transaction, if one is open, and nobody waits for it. One that is being committed goes on, and is
    /// aborted if that fails.
    pub(crate) fn abandon(&mut self) {
        self.end.is_abandoned |= self.state == State::Committing;
        if !matches!(self.state, State::Open | State::Failed) {
            return;
        }
        self.become_(State::Aborting);
        self.end.begin(TransactionOutcome::Aborted);
        self.drop_rest(&aborted());
    }

    /// A record or an offset of the transaction is lost: it can only be aborted.
    pub(crate) fn fail(&mut self, error: &Error) {
        if !matches!(self.state, State::Open | State::Committing) {
            return;
        }
        if self.may_have_ended() {
            // It may be committed: to do it again would do it twice (trap 22).
            self.break_off(error);
            self.events.push_back(Event::Broken(self.failure()));
            return;
        }
        let error = error.clone().abortable();
        self.become_(State::Failed);
        // What is in the log of what failed is anyone's guess; a new epoch leaves it behind (KIP-360).
        self.is_doubtful |= self.begun != Begun::No;
        self.error = Some(error.clone());
        self.calls.finish_all(Wish::Commit, &Err(error.clone()));
        if std::mem::take(&mut self.end.is_abandoned) {
            self.abandon();
        } else {
            self.drop_rest(&error);
        }
    }

    /// The producer cannot go on: all calls fail with `error`.
    pub(crate) fn break_off(&mut self, error: &Error) {
        if self.state == State::Broken {
            return;
        }
        let error = error.clone().fatal();
        let error = if self.may_have_ended() { error.with_fate(Fate::Unknown) } else { error };
        self.become_(State::Broken);
        self.error = Some(error.clone());
        self.asked = None;
        self.offsets.clear();
        for wish in [Wish::Settle, Wish::Begin, Wish::Offsets, Wish::Commit, Wish::Abort] {
            self.calls.finish_all(wish, &Err(error.clone()));
        }
    }

    /// Lets no further transaction begin, and aborts the open one.
    pub(crate) fn close(&mut self, error: &Error) {
        self.abandon();
        for wish in [Wish::Settle, Wish::Begin] {
            self.calls.finish_all(wish, &Err(error.clone()));
        }
    }

    /// Whether nothing is under way that would change what readers see.
    pub(crate) fn is_idle(&self) -> bool {
        !self.state.is_within() && self.calls.is_empty()
    }

    /// How the last transaction ended; `None` before the first end.
    pub(crate) fn outcome(&self) -> Option<TransactionOutcome> {
        self.end.outcome_before
    }

    /// The running transaction's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn version(&self) -> TransactionVersion {
        self.version
    }

    /// Whether the transaction's end, or the next one's beginning, depends on how far the sender is.
    pub(crate) fn needs_progress(&self) -> bool {
        match self.state {
            State::Committing | State::Aborting => true,
            State::Ready => self.calls.wants(Wish::Begin),
            State::Starting | State::Open | State::Failed | State::Broken => false,
        }
    }

    /// Whether records for the partition in `slot` may be sent; under the first protocol only once it is enrolled,
    /// which this asks for.
    pub(crate) fn may_send(&mut self, slot: usize, partition: &TopicPartition) -> bool {
        match (self.state, self.version) {
            (State::Open | State::Committing, TransactionVersion::Two) => true,
            (State::Open | State::Committing, TransactionVersion::One) => {
                self.enrollment.want(partition, slot);
                self.enrollment.is_enrolled(slot)
            }
            _ => false,
        }
    }

    /// Records are on their way: under the second protocol their broker tells the coordinator.
    pub(crate) fn departed(&mut self) {
        if self.version == TransactionVersion::Two {
            self.begun = Begun::Yes;
        }
    }

    /// Records are stored.
    pub(crate) fn acknowledged(&mut self) {
        self.is_acknowledged = true;
    }

    /// Why records are not taken into a transaction; `None` where they are.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match self.state {
            State::Open | State::Committing => None,
            State::Failed | State::Broken => Some(aborted().because(self.failure())),
            State::Aborting => Some(aborted()),
            State::Starting | State::Ready => {
                Some(Error::misuse("no transaction is open").during(Operation::Send))
            }
        }
    }

    /// The next request; `None` while one is under way, or there is nothing to ask.
    pub(crate) fn poll_request(
        &mut self,
        now: Instant,
        ids: &mut RequestIds,
        progress: Progress,
    ) -> Option<Outbound> {
        self.expire(now);
        self.sought = None;
        self.not_before = self.not_before.filter(|&at| at > now);
        self.step(progress);
        if self.asked.is_some() || self.not_before.is_some() {
            return None;
        }
        let what = self.next(progress)?;
        let lookup = self.lookup(what)?;
        let Some(node) = lookup.coordinator() else {
            let request = lookup.poll_request(now, ids);
            self.sought = Some(what);
            return request;
        };
        self.request(what, ids.deal(), node)
    }

    /// What has happened since the last time.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The calls that have their result.
    pub(crate) fn take_results(&mut self) -> Vec<(TransactionCall, Result<(), Error>)> {
        self.calls.take_results()
    }

    /// When to poll again, by time alone.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lookup = self.sought.and_then(|what| match what {
            What::Offsets => self.group.as_ref()?.1.poll_timeout(),
            What::Init | What::Partitions | What::Group | What::End => {
                self.coordinator.poll_timeout()
            }
        });
        [self.calls.timeout(), self.not_before, lookup].into_iter().flatten().min()
    }

    /// Whether the coordinator may have committed or aborted, which its answer alone tells.
    fn may_have_ended(&self) -> bool {
        let is_asked = self.asked.as_ref().is_some_and(|asked| asked.what == What::End);
        is_asked || self.end.is_lost
    }

    /// Does what needs no request.
    fn step(&mut self, progress: Progress) {
        let is_over = matches!(self.state, State::Committing | State::Aborting)
            && self.is_at_end(progress)
            && self.begun == Begun::No;
        if is_over {
            // The coordinator knows nothing of it (trap 19).
            self.ended();
        }
        if self.state != State::Ready {
            return;
        }
        self.calls.finish_all(Wish::Settle, &Ok(()));
        let Some(call) = self.calls.first(Wish::Begin) else { return };
        // Late requests of the old protocol must not count for transactions of the new one (trap 17).
        let is_upgraded = self.used_under == Some(TransactionVersion::One)
            && self.cluster_version == TransactionVersion::Two;
        if self.is_doubtful || progress.has_gaps || is_upgraded {
            self.become_(State::Starting);
            return;
        }
        self.become_(State::Open);
        self.number += 1;
        self.version = self.cluster_version;
        self.begun = Begun::No;
        self.is_acknowledged = false;
        self.enrollment = Enrollment::default();
        self.calls.finish(call, Ok(()));
    }

    fn next(&self, progress: Progress) -> Option<What> {
        match self.state {
            State::Starting => {
                let is_wanted = self.calls.wants(Wish::Settle) || self.calls.wants(Wish::Begin);
                is_wanted.then_some(What::Init)
            }
            State::Open | State::Committing if self.enrollment.is_due() => Some(What::Partitions),
            State::Open | State::Committing if !self.offsets.is_empty() => {
                let is_added = self.offsets.first().is_some_and(|first| first.is_group_added);
                let is_told = is_added || self.version == TransactionVersion::Two;
                Some(if is_told { What::Offsets } else { What::Group })
            }
            State::Committing | State::Aborting => self.is_at_end(progress).then_some(What::End),
            State::Open | State::Ready | State::Failed | State::Broken => None,
        }
    }

    /// Whether nothing but its end is left of the transaction.
    fn is_at_end(&self, progress: Progress) -> bool {
        let is_complete =
            self.state == State::Aborting || !self.enrollment.is_due() && self.offsets.is_empty();
        progress.is_drained && is_complete && self.asked.is_none()
    }

    /// The transaction is committed or aborted.
    pub(super) fn ended(&mut self) {
        if self.begun != Begun::No && self.identity.is_some() {
            self.used_under = Some(self.version);
        }
        let wish = match self.end.outcome {
            TransactionOutcome::Committed => Wish::Commit,
            TransactionOutcome::Aborted => Wish::Abort,
        };
        self.become_(State::Ready);
        self.error = None;
        self.begun = Begun::No;
        self.end.conclude();
        self.calls.finish_all(wish, &Ok(()));
    }

    /// The producer is known by `identity` from here on; nothing was done under it.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.used_under = None;
        self.is_doubtful = false;
        self.events.push_back(Event::Identity(identity));
    }

    pub(super) fn become_(&mut self, next: State) {
        let before = self.state;
        let is_allowed = self.state.become_if_allowed(next);
        tracing::trace!(transactional_id = %self.settings.transactional_id, ?before, ?next, "transaction");
        debug_assert!(is_allowed, "{before:?} to {next:?}");
    }

    /// The lookup of whom `what` is asked; `None` where there is nothing to ask.
    pub(super) fn lookup(&mut self, what: What) -> Option<&mut Lookup> {
        if what != What::Offsets {
            return Some(&mut self.coordinator);
        }
        let group_id = &self.offsets.first()?.group.group_id;
        if self.group.as_ref().is_none_or(|(known, _)| known != group_id) {
            let settings = lookup_settings(&self.settings);
            let lookup = Lookup::new(CoordinatorKind::Group, &**group_id, settings);
            self.group = Some((Arc::clone(group_id), lookup));
        }
        self.group.as_mut().map(|(_, lookup)| lookup)
    }

    /// Ends the calls whose time is over.
    fn expire(&mut self, now: Instant) {
        while let Some((call, wish)) = self.calls.late(now) {
            let late = self.late();
            match wish {
                // Nobody knows whether the offsets are in.
                Wish::Offsets => self.fail(&late),
                // Nothing of the commit was said to the coordinator: it need not happen.
                Wish::Commit if !self.end.is_sent => {
                    self.fail(&late.clone().with_fate(Fate::NotStored))
                }
                // Whoever waited is told that nobody knows, and leaves: should it fail yet, nobody else would abort.
                Wish::Commit => self.end.is_abandoned = true,
                Wish::Settle | Wish::Begin | Wish::Abort => {}
            }
            // A commit that may have happened is neither to be repeated nor to be aborted.
            let late =
                if wish == Wish::Commit { late.with_fate(Fate::Unknown).plain() } else { late };
            self.calls.finish(call, Err(late));
        }
    }

    fn late(&self) -> Error {
        let error = Error::new(ErrorKind::Timeout)
            .with_detail("the coordinator did not do it in time (max.block.ms)")
            .during(Operation::Transaction)
            .with_group(Arc::clone(&self.settings.transactional_id));
        match &self.trouble {
            Some(trouble) => error.because(trouble.clone()),
            None => error,
        }
    }

    /// Drops what the transaction still had to do.
    fn drop_rest(&mut self, error: &Error) {
        self.enrollment.stop();
        self.offsets.clear();
        self.calls.finish_all(Wish::Offsets, &Err(error.clone()));
        self.events.push_back(Event::DropUnsent);
    }

    pub(super) fn failure(&self) -> Error {
        self.error.clone().unwrap_or_else(aborted)
    }

    fn misused(&mut self, call: TransactionCall, rule: &'static str) {
        self.calls.finish(call, Err(Error::misuse(rule).during(Operation::Transaction)));
    }

    fn refuse_if_broken(&mut self, call: TransactionCall) {
        if self.state == State::Broken {
            self.calls.finish(call, Err(self.failure()));
        }
    }
}

/// What becomes of records whose transaction is aborted.
fn aborted() -> Error {
    Error::new(ErrorKind::TransactionAborted).during(Operation::Send)
}

fn lookup_settings(settings: &Settings) -> coordinator::Settings {
    coordinator::Settings {
        retry_backoff: settings.retry_backoff,
        retry_backoff_max: settings.retry_backoff_max,
        request_timeout: settings.request_timeout,
    }
}
