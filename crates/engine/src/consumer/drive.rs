//! What a consumer does after anything has happened, and what answers mean to it.

use std::time::{Duration, Instant};

use milena_types::{NodeId, TopicPartition};

use super::close::Phase;
use super::machine::Consumer;
use super::output::{Output, Reply};
use crate::commit::{Again, CommittedAsker, CommittedOffset};
use crate::coordinator::Found as FoundCoordinator;
use crate::disposition::Reaction;
use crate::fetch::{Asker, Found, FoundOffset, Notes};
use crate::request::Answer;
use crate::subscription::{Event, OffsetReset, OffsetSpec, Position, Revision, Source, Stage};

impl Consumer {
    /// Does everything that can be done at `now`, and sets the next timeout.
    pub(super) fn drive(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.buffer.look(now);
        // The member first: a commit is judged by what is assigned, which an answer may just have changed.
        self.drive_member(now);
        self.drive_commits(now);
        // Commits that are over may be what a rebalance waited for.
        self.drive_member(now);
        self.drive_lookups(now);
        if self.is_open() {
            self.drive_fetches(now);
            self.drive_watch(now);
        }
        self.expire_queries(now, None);
        self.drive_close(now);
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.drive_coordinator(now);
        self.tell_metadata(now);
        self.timeout = self.next_timeout(now);
    }

    fn drive_coordinator(&mut self, now: Instant) {
        if !self.needs_coordinator() {
            return;
        }
        if let Some(membership) = &mut self.membership
            && let Some(outbound) = membership.lookup.poll_request(now, &mut self.ids)
        {
            self.outputs.push_back(Output::Request(outbound));
        }
    }

    fn needs_coordinator(&self) -> bool {
        self.membership.as_ref().is_some_and(|membership| {
            membership.member.is_active()
                || !membership.commits.is_idle()
                || membership.committed.is_waiting(&self.subscription)
        })
    }

    /// Asks for positions: committed ones, by reset, validated.
    fn drive_lookups(&mut self, now: Instant) {
        let mut outbound = Vec::new();
        if let Some(membership) = &mut self.membership
            && let Some(coordinator) = membership.lookup.coordinator()
        {
            let (subscription, ids) = (&mut self.subscription, &mut self.ids);
            let member = membership.member.epoch();
            outbound = membership.committed.poll(now, coordinator, member, subscription, ids);
        }
        let subscription = &self.subscription;
        self.offsets.withdraw(|tp, asker| match asker {
            Asker::Reset(revision) => {
                subscription.get(tp).is_none_or(|assigned| assigned.revision() != revision)
            }
            Asker::Query(_) => false,
        });
        let wall = self.wall_at(now);
        for (tp, assigned) in self.subscription.iter_mut() {
            let Stage::Reset(reset) = *assigned.stage() else { continue };
            if !assigned.asked
                && !assigned.waits(now)
                && let Some(spec) = reset.spec(wall)
            {
                assigned.asked = true;
                self.offsets.ask(Asker::Reset(assigned.revision()), tp.clone(), spec);
            }
        }
        let (cluster, ids, refresh) = (&self.cluster, &mut self.ids, &mut self.refresh);
        outbound.extend(self.offsets.poll(now, cluster, ids, refresh));
        let subscription = &mut self.subscription;
        outbound.extend(self.validator.poll(now, subscription, cluster, ids, refresh));
        self.outputs.extend(outbound.into_iter().map(Output::Request));
    }

    fn drive_fetches(&mut self, now: Instant) {
        let mut notes = Notes::default();
        let fetches = self.fetcher.plan(
            now,
            &mut self.subscription,
            &self.cluster,
            &self.buffer,
            &mut self.ids,
            &mut notes,
        );
        self.outputs.extend(fetches.into_iter().map(Output::Request));
        self.note(notes);
    }

    fn note(&mut self, notes: Notes) {
        self.refresh |= notes.refresh_metadata;
        self.outputs.extend(notes.hints.into_iter().map(Output::LeaderHint));
    }

    fn tell_metadata(&mut self, now: Instant) {
        let mut topics = self.subscription.topics();
        topics.extend(self.queries.partitions().map(|tp| tp.topic.clone()));
        if let Some(membership) = &self.membership {
            topics.extend(membership.member.topics());
        }
        let by_filter = matches!(self.subscription.source, Source::Filter(..));
        let matched = self.membership.as_ref().is_some_and(|m| m.member.needs_all_topics());
        if by_filter || matched {
            if !std::mem::replace(&mut self.told_all, true) {
                self.outputs.push_back(Output::AllTopics);
            }
        } else if std::mem::take(&mut self.told_all) || topics != self.told_topics {
            self.told_topics = topics.clone();
            let may_create = self.settings.allow_auto_create_topics;
            self.outputs.push_back(Output::Topics { topics, may_create });
        }
        // A driver that was told waits by itself between two tries; a snapshot that does not help is told of anew.
        let due = self.refresh_told.is_none_or(|told| told + REFRESH_AGAIN <= now);
        if std::mem::take(&mut self.refresh) && due {
            self.refresh_told = Some(now);
            self.outputs.push_back(Output::RefreshMetadata);
        }
    }

    fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let mut next = vec![
            self.fetcher.timeout(now, &self.subscription),
            self.offsets.timeout(now),
            self.queries.timeout(),
            self.close_timeout(),
            self.rebalance_timeout(),
            self.watch_timeout(),
        ];
        if let Some(membership) = &self.membership {
            let reachable = membership.lookup.coordinator().is_some();
            let idle_since = self.buffer.idle_since();
            next.push(membership.member.timeout(reachable, idle_since));
            // What cannot be done now is done when the answer comes that allows it; no clock is needed for that.
            let may_commit = self.may_commit();
            next.push(membership.commits.timeout(reachable && may_commit));
            next.push(membership.committed.timeout(now));
            next.push(membership.lookup.poll_timeout().filter(|_| self.needs_coordinator()));
            let auto = membership.auto.as_ref().filter(|_| may_commit && self.is_open());
            next.push(auto.and_then(|auto| auto.timeout()));
        }
        // What is due already and was not done waits for something else; it is looked at again soon, not at once.
        next.into_iter().flatten().min().map(|at| at.max(now + TIMEOUT_MIN))
    }
}

/// Answers.
impl Consumer {
    pub(super) fn dispatch(&mut self, now: Instant, answer: Answer) {
        let mut answer = answer;
        if let Some(membership) = &mut self.membership {
            answer = match membership.lookup.handle_answer(now, answer, &mut self.rng) {
                Ok(found) => return self.handle_coordinator(now, found),
                Err(answer) => *answer,
            };
        }
        self.dispatch_to_group(now, &mut answer);
        let (subscription, buffer, rng) = (&mut self.subscription, &self.buffer, &mut self.rng);
        let cluster = &self.cluster;
        let notes =
            self.fetcher.handle_answer(now, &mut answer, subscription, cluster, buffer, rng);
        if let Some(notes) = notes {
            return self.note(notes);
        }
        let refresh = &mut self.refresh;
        if self.validator.handle_answer(now, &mut answer, subscription, buffer, rng, refresh) {
            return;
        }
        if let Some(found) = self.offsets.handle_answer(now, &mut answer, rng, refresh) {
            for found in found {
                self.handle_found(now, found);
            }
        }
    }

    fn dispatch_to_group(&mut self, now: Instant, answer: &mut Answer) {
        let is_leaving = self.is_leaving();
        let Some(membership) = &mut self.membership else { return };
        let answered = answer.result.is_ok();
        if membership.member.handle_answer(now, answer, &mut self.rng) {
            if answered {
                membership.lookup.prove();
            }
            return;
        }
        let (commits, rng) = (&mut membership.commits, &mut self.rng);
        if let Some(settled) = commits.handle_answer(now, answer, is_leaving, rng) {
            if settled.lose_coordinator {
                self.lose_coordinator(now, answer.broker);
            }
            if let (Some(membership), Some((reaction, code, sender))) =
                (&mut self.membership, settled.reaction)
            {
                membership.member.handle_reaction(reaction, code, &sender);
            }
            if let Some(stored) = self.stored.as_mut().filter(|_| !settled.stored.is_empty()) {
                stored.push_back(settled.stored);
            }
            return self.commits_over(now, settled.over);
        }
        let (subscription, rng) = (&mut self.subscription, &mut self.rng);
        if let Some((asker, result)) =
            membership.committed.handle_answer(now, answer, subscription, rng)
        {
            self.handle_committed(now, answer.broker, asker, result);
        }
    }

    fn handle_coordinator(&mut self, now: Instant, found: FoundCoordinator) {
        match found {
            // Connections are made to where the metadata says: a coordinator that is new, or has come back at another
            // place, is reached once the metadata knows. If it leads nothing that is read, nothing else asks for that.
            FoundCoordinator::Coordinator(found) => {
                let known = self.cluster.broker(found.id);
                let is_there = known
                    .is_some_and(|known| (&known.host, known.port) == (&found.host, found.port));
                self.refresh |= !is_there;
            }
            FoundCoordinator::NotYet(error) => tracing::debug!(%error, "no coordinator yet"),
            FoundCoordinator::Failed(error) => {
                let Some(membership) = &mut self.membership else { return };
                let over = membership.commits.fail(&error);
                self.buffer.tell(Event::Error(error));
                self.commits_over(now, over);
            }
        }
    }

    fn handle_committed(
        &mut self,
        now: Instant,
        broker: Option<NodeId>,
        asker: CommittedAsker,
        result: Result<crate::commit::Fetched, Again>,
    ) {
        let mut fetched = match result {
            Ok(fetched) => fetched,
            Err(Again::Unanswered | Again::Code(Reaction::FindCoordinator)) => {
                return self.lose_coordinator(now, broker);
            }
            Err(Again::Code(_)) => return,
        };
        match asker {
            CommittedAsker::Query(number) => {
                let result = match fetched.errors.into_iter().next() {
                    Some(error) => Err(error),
                    None => Ok(Reply::Committed(
                        fetched
                            .offsets
                            .into_iter()
                            .filter_map(|(tp, committed)| Some((tp, committed?)))
                            .collect(),
                    )),
                };
                self.answer_query(number, result);
            }
            CommittedAsker::Positions(positions) => {
                let failed = !fetched.errors.is_empty();
                for error in fetched.errors.drain(..) {
                    self.buffer.tell(Event::Error(error));
                }
                for (tp, revision) in positions {
                    match fetched.offsets.remove(&tp) {
                        Some(committed) => self.start(&tp, revision, committed),
                        // Told above; asked again later, as rights may be given.
                        None if failed => self.delay(now, &tp, revision),
                        None => {}
                    }
                }
            }
        }
    }

    /// A partition starts at its committed offset, unless a seek or a rebalance came first (R10).
    fn start(
        &mut self,
        tp: &TopicPartition,
        revision: Revision,
        committed: Option<CommittedOffset>,
    ) {
        if self.subscription.current(tp, revision).is_none() {
            return;
        }
        let position = committed.map(|one| Position::new(one.offset, one.leader_epoch));
        let stage = match position {
            Some(position) => Self::unread(position),
            None => self.without_offset(tp),
        };
        self.decide(tp, revision, stage);
    }

    /// A leader found where a partition starts, or what a query asked for.
    fn handle_found(&mut self, now: Instant, found: Found) {
        let Found { asker, partition, result } = found;
        let revision = match asker {
            Asker::Query(number) => return self.query_found(number, partition, result),
            Asker::Reset(revision) => revision,
        };
        let Some(assigned) = self.subscription.current(&partition, revision) else { return };
        match result {
            Ok(Some(FoundOffset { offset, leader_epoch, .. })) => {
                let position = Position::new(offset, leader_epoch);
                self.decide(&partition, revision, Stage::Fetching(position));
            }
            // No record is young enough: the end is where the next one will be.
            Ok(None) if matches!(assigned.stage(), Stage::Reset(OffsetReset::ByDuration(_))) => {
                self.offsets.ask(asker, partition, OffsetSpec::Latest);
            }
            Ok(None) => self.delay(now, &partition, revision),
            Err(error) => {
                self.buffer.tell(Event::Error(error));
                self.delay(now, &partition, revision);
            }
        }
    }

    /// Moves a partition on by the table, with the position as the user sees it.
    fn decide(&mut self, tp: &TopicPartition, revision: Revision, stage: Stage) {
        let next = self.subscription.revise();
        if let Some(assigned) = self.subscription.current(tp, revision) {
            assigned.go(stage, next);
            assigned.confirmed = None;
            self.buffer.place(tp, next, stage.position());
        }
    }

    /// Asks again about a partition after a wait.
    fn delay(&mut self, now: Instant, tp: &TopicPartition, revision: Revision) {
        if let Some(assigned) = self.subscription.current(tp, revision) {
            assigned.asked = false;
            assigned.retry_at = Some(now + assigned.backoff.next_wait(&mut self.rng));
        }
    }
}

/// A driver that did nothing about stale metadata is told again after this.
const REFRESH_AGAIN: Duration = Duration::from_secs(1);

/// The shortest time to the next look at what could not be done.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
