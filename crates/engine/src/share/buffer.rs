//! Where acquired records wait for the user, and his acknowledgements for the driver.
//!
//! The one structure that the driver, the user's task and whoever holds a record share. Its lock is held for a few map
//! operations, never while a record is decoded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use milena_types::{Offset, TopicPartition, Uuid};

use super::acknowledge::Acknowledge;
use super::ledger::{AcquisitionId, Holder, Ledger, Lost, Parcel, Remainder, Verdict};
use super::settings::AcknowledgementMode;
use crate::error::Error;

/// Acquired records and errors on their way to the user; acknowledgements on their way back.
#[derive(Debug)]
pub struct ShareBuffer {
    mode: AcknowledgementMode,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    /// In order of arrival.
    acquired: VecDeque<Acquired>,
    errors: VecDeque<Error>,
    /// What ends the consumer: told with every poll.
    failed: Option<Error>,
    /// With implicit acknowledgement: handed out, and accepted with the next poll, though its lock may be gone by then.
    in_hand: BTreeMap<AcquisitionId, InHand>,
    /// What was said about records that were no longer the user's to decide.
    late: Vec<(TopicPartition, Offset)>,
    user: Option<Waker>,
    driver: Option<Waker>,
    /// The driver has something to look at.
    stirred: bool,
    /// The user waits, and there is nothing for him.
    wanting: bool,
    polling: bool,
    last_poll: Option<Instant>,
    /// Nothing is handed out any more.
    closed: bool,
}

/// What is in the user's hand of one acquisition.
#[derive(Debug)]
struct InHand {
    partition: TopicPartition,
    offsets: BTreeSet<i64>,
}

/// What one answer brought of one partition.
#[derive(Debug)]
pub(super) struct Acquired {
    pub(super) id: AcquisitionId,
    pub(super) partition: TopicPartition,
    /// Whole batches; a slice of the frame.
    pub(super) records: Bytes,
    /// Which offsets are acquired, in order, and how often they have been delivered with this time.
    pub(super) ranges: VecDeque<AcquiredRange>,
}

#[derive(Clone, Debug)]
pub(super) struct AcquiredRange {
    pub(super) offsets: RangeInclusive<i64>,
    pub(super) delivery_count: u16,
}

/// For the user.
impl ShareBuffer {
    pub(super) fn new(mode: AcknowledgementMode) -> Self {
        Self { mode, state: Mutex::default() }
    }

    /// Says that the user asks for records: with implicit acknowledgement, what he was given before is accepted. The
    /// clock of `max.poll.interval.ms` stands still until [`leave_poll`](Self::leave_poll).
    pub fn enter_poll(&self, now: Instant) {
        let mut state = self.lock();
        state.accept_in_hand();
        let was_idle = !std::mem::replace(&mut state.polling, true);
        // Who was expelled for not polling joins again.
        if was_idle {
            state.stir();
        }
        state.last_poll = Some(now);
    }

    /// Says that the user got what he asked for, or gave up waiting.
    pub fn leave_poll(&self, now: Instant) {
        let mut state = self.lock();
        state.polling = false;
        state.wanting = false;
        state.last_poll = Some(now);
    }

    /// With implicit acknowledgement: accepts everything that was handed out so far.
    pub fn accept_in_hand(&self) {
        self.lock().accept_in_hand();
    }

    /// Whether there is something to take; asks the driver to fetch where there is not, and wakes the task when there
    /// is. One task at a time may wait.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_ready() {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut state.wanting, true) {
            state.stir();
        }
        match &mut state.user {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.user = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the consumer is closed: nothing will come any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The next error; take errors before records. One that ends the consumer comes every time.
    pub fn take_error(&self) -> Option<Error> {
        let mut state = self.lock();
        state.errors.pop_front().or_else(|| state.failed.clone())
    }

    /// Says `what` about a record that was handed out. One that is no longer the user's to decide, because its lock ran
    /// out, its session broke or something was said already, is reported as an acknowledgement that failed.
    pub fn acknowledge(
        &self,
        id: AcquisitionId,
        partition: &TopicPartition,
        offset: Offset,
        what: Acknowledge,
    ) {
        let mut state = self.lock();
        if let Some(in_hand) = state.in_hand.get_mut(&id) {
            in_hand.offsets.remove(&offset.get());
        }
        if !state.ledger.acknowledge(id, offset.get(), what) && !state.closed {
            state.late.push((partition.clone(), offset));
        }
        state.stir();
    }

    pub(super) fn take(&self) -> Option<Acquired> {
        self.lock().acquired.pop_front()
    }

    /// Gives the record to the user, until the lock runs out; `None` if it has, or the session ended.
    pub(super) fn hand_out(
        &self,
        id: AcquisitionId,
        partition: &TopicPartition,
        offset: i64,
    ) -> Option<Instant> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let until = state.ledger.hand_out(id, offset)?;
        if self.mode == AcknowledgementMode::Implicit {
            let none = || InHand { partition: partition.clone(), offsets: BTreeSet::new() };
            state.in_hand.entry(id).or_insert_with(none).offsets.insert(offset);
        }
        Some(until)
    }

    /// Says `what` about offsets that hold nothing to hand out.
    pub(super) fn settle(&self, id: AcquisitionId, range: RangeInclusive<i64>, what: Acknowledge) {
        let mut state = self.lock();
        if state.ledger.settle(id, range, what) {
            state.stir();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a panic elsewhere in a holder's task spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the driver.
impl ShareBuffer {
    /// Whether the machine has to look at the buffer; wakes the driver's task when it has to.
    pub fn poll_stirred(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if std::mem::take(&mut state.stirred) {
            return Poll::Ready(());
        }
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.driver = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the user waits for records and none are there.
    pub(super) fn is_wanting(&self) -> bool {
        let state = self.lock();
        state.wanting && !state.is_ready()
    }

    /// Since when the user does not poll; `None` while he does, and before he ever did.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        state.last_poll.filter(|_| !state.polling)
    }

    /// Starts the clock of `max.poll.interval.ms`.
    pub(super) fn start_clock(&self, now: Instant) {
        self.lock().last_poll.get_or_insert(now);
    }

    pub(super) fn push(
        &self,
        holder: Holder,
        topic_id: Uuid,
        partition: TopicPartition,
        (records, ranges): (Bytes, VecDeque<AcquiredRange>),
        until: Instant,
    ) {
        let mut state = self.lock();
        let offsets: Vec<_> = ranges.iter().map(|range| range.offsets.clone()).collect();
        let id = state.ledger.acquire(holder, partition.clone(), topic_id, offsets, until);
        state.acquired.push_back(Acquired { id, partition, records, ranges });
        state.wanting = false;
        state.wake_user();
    }

    /// Tells the user; of errors of one kind and place the newest is enough.
    pub(super) fn tell(&self, error: Error) {
        let mut state = self.lock();
        let place = |error: &Error| (error.kind(), error.topic().cloned(), error.topic_partition());
        state.errors.retain(|old| place(old) != place(&error));
        state.errors.push_back(error);
        state.wake_user();
    }

    /// Ends the consumer for the user; the first reason stays.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.failed.get_or_insert(error);
        state.wake_user();
    }

    /// Hands out nothing from here on; what waits goes back when the sessions close.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.acquired.clear();
        state.in_hand.clear();
        state.wake_user();
    }

    pub(super) fn take_late(&self) -> Vec<(TopicPartition, Offset)> {
        std::mem::take(&mut self.lock().late)
    }

    /// Works on the ledger.
    pub(super) fn with_ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.lock().ledger)
    }

    pub(super) fn take_parcels(&self, holder: Holder) -> Vec<Parcel> {
        self.with_ledger(|ledger| ledger.take(holder))
    }

    pub(super) fn resolve(&self, parcel: &Parcel, verdict: Verdict) -> Remainder {
        self.with_ledger(|ledger| ledger.resolve(parcel, verdict))
    }

    /// Forgets locks that ran out, and what waited under them; gives what had been said of those records.
    pub(super) fn expire(&self, now: Instant) -> Vec<Lost> {
        let mut state = self.lock();
        let lost = state.ledger.expire(now);
        state.sweep();
        lost
    }

    /// Forgets what was acquired in a session that is over; gives what had been said of those records.
    pub(super) fn end(&self, holder: Holder) -> Vec<Lost> {
        let mut state = self.lock();
        let lost = state.ledger.end(holder);
        state.sweep();
        lost
    }
}

impl State {
    fn is_ready(&self) -> bool {
        self.closed || self.failed.is_some() || !self.errors.is_empty() || !self.acquired.is_empty()
    }

    fn accept_in_hand(&mut self) {
        if self.in_hand.is_empty() {
            return;
        }
        for (id, InHand { partition, offsets }) in std::mem::take(&mut self.in_hand) {
            for offset in offsets {
                // One whose lock ran out comes again though it was worked on: the user has to hear.
                if !self.ledger.acknowledge(id, offset, Acknowledge::Accept)
                    && let Some(offset) = Offset::new(offset)
                {
                    self.late.push((partition.clone(), offset));
                }
            }
        }
        self.stir();
    }

    fn sweep(&mut self) {
        let ledger = &self.ledger;
        self.acquired.retain(|acquired| ledger.is_held(acquired.id));
    }

    fn wake_user(&mut self) {
        if let Some(waker) = self.user.take() {
            waker.wake();
        }
    }

    fn stir(&mut self) {
        if !std::mem::replace(&mut self.stirred, true)
            && let Some(waker) = self.driver.take()
        {
            waker.wake();
        }
    }
}
