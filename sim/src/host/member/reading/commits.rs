//! How the user of a member commits, and what he does when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use milena_engine::Error;
use milena_engine::consumer::{CommitId, CommitMode, CommittedOffset};
use milena_types::TopicPartition;

use super::{AGAIN, Mark, Phase, Reading};
use crate::clock::Clock;
use crate::group::Commits;
use crate::history::{Call, CallKind, History};

impl Reading {
    pub(super) fn commit(&mut self, clock: &Clock, history: &mut History) {
        self.again_at = None;
        match self.style {
            Commits::Auto(_) | Commits::Marked | Commits::Copies(_) => self.is_dirty = false,
            Commits::Sync => {
                let id = self.commit_handed_out(clock, history);
                self.phase = Phase::Committing(id);
            }
            Commits::Async => {
                self.is_dirty = false;
                let id = self.machine.commit(clock.now(), None, CommitMode::Once);
                self.commits.insert(id, None);
            }
        }
    }

    pub(super) fn commit_handed_out(&mut self, clock: &Clock, history: &mut History) -> CommitId {
        self.is_dirty = false;
        let id = self.machine.commit(clock.now(), None, CommitMode::Retry);
        self.wait_for(clock, history, id);
        id
    }

    fn wait_for(&mut self, clock: &Clock, history: &mut History, id: CommitId) {
        let timeout = self.machine.settings().default_api_timeout;
        let call = note_call(history, clock, self.index, CallKind::Commit, timeout + ROUND_TRIP);
        self.commits.insert(id, Some(call));
    }

    /// Commits what was marked by now, as far as it is this member's still.
    pub(super) fn commit_marks(&mut self, clock: &Clock, history: &mut History) {
        if !self.commits.is_empty() || self.marks.iter().all(|mark| mark.at > clock.elapsed()) {
            return;
        }
        let buffer = Arc::clone(&self.buffer);
        // Of two tasks the slower one is done with less: the group does not go back for it.
        let is_news = |mark: &Mark| {
            let floor = self.floors.get(&mark.of);
            floor.is_none_or(|floor| floor.0 != mark.stay || floor.1 < mark.end.offset)
        };
        self.marks.retain(is_news);
        // Half of the users look first whether it is theirs still; the others are told.
        if self.rng.bool() {
            self.marks.retain(|mark| buffer.stay(&mark.of) == Some(mark.stay));
        }
        let mut ends: BTreeMap<TopicPartition, CommittedOffset> = BTreeMap::new();
        let mut stays = BTreeMap::new();
        let is_due = |mark: &Mark| mark.is_owed || mark.at <= clock.elapsed();
        for mark in self.marks.iter().filter(|mark| is_due(mark)) {
            let is_new_stay = stays.insert(mark.of.clone(), mark.stay) != Some(mark.stay);
            let end = ends.entry(mark.of.clone()).or_insert_with(|| mark.end.clone());
            if is_new_stay || end.offset < mark.end.offset {
                *end = mark.end.clone();
            }
        }
        if ends.is_empty() {
            return;
        }
        if self.machine.ensure_held(&stays).is_err() {
            self.marks.retain(|mark| buffer.stay(&mark.of) == Some(mark.stay));
            return self.commit_marks(clock, history);
        }
        let all = std::mem::take(&mut self.marks).into_iter();
        (self.marked, self.marks) = all.partition(is_due);
        let id = self.machine.commit(clock.now(), Some(ends), CommitMode::Retry);
        self.wait_for(clock, history, id);
    }

    pub(super) fn committed(
        &mut self,
        clock: &Clock,
        history: &mut History,
        id: CommitId,
        result: &Result<(), Error>,
    ) {
        let Some(call) = self.commits.remove(&id) else { return };
        if let Err(error) = result {
            let text = format!("{} commits: {error}", self.index);
            history.surfaced.push((clock.elapsed(), text));
            self.is_dirty |= self.style != Commits::Marked && self.is_subscribed;
            self.again_at = self.is_dirty.then(|| clock.elapsed() + AGAIN);
            // What could not be stored stays marked: a slower task's mark must not go back behind it, since it may be
            // stored all the same.
            for mark in &mut self.marked {
                (mark.at, mark.is_owed) = (clock.elapsed() + AGAIN, true);
            }
            self.marks.append(&mut self.marked);
        }
        for mark in self.marked.drain(..) {
            let floor = (mark.stay, mark.end.offset);
            let known = self.floors.entry(mark.of).or_insert(floor);
            *known = floor.max(*known);
        }
        if let Some(place) = call {
            end_call(history, clock, place, result.is_ok());
        }
        match self.phase {
            Phase::Committing(waiting) if waiting == id => {
                self.phase = Phase::Thinking(clock.elapsed());
            }
            Phase::Hearing(rebalance, until, Some(waiting)) if waiting == id => {
                self.phase = Phase::Hearing(rebalance, until, None);
            }
            Phase::Thinking(_)
            | Phase::Polling
            | Phase::Copying
            | Phase::Hearing(..)
            | Phase::Committing(_)
            | Phase::Away
            | Phase::Closing(_)
            | Phase::Closed => {}
        }
    }
}

pub(in crate::host) fn note_call(
    history: &mut History,
    clock: &Clock,
    client: usize,
    what: CallKind,
    timeout: Duration,
) -> usize {
    let invoked = clock.elapsed();
    let deadline = invoked + timeout + TICK;
    history.calls.push(Call { what, client, invoked, deadline, returned: None });
    history.calls.len() - 1
}

pub(in crate::host) fn end_call(history: &mut History, clock: &Clock, place: usize, is_ok: bool) {
    if let Some(call) = history.calls.get_mut(place) {
        call.returned.get_or_insert((clock.elapsed(), is_ok));
    }
}

/// A request that was sent at the last moment still gets the time of a round trip.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// Deadlines are met to the resolution of a timer.
const TICK: Duration = Duration::from_millis(1);
