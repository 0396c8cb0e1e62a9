//! The machine that a consumer's driver owns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{Timestamp, Topic, TopicPartition};

use super::output::{Output, Query, QueryId};
use super::settings::Settings;
use crate::commit::{CommitId, CommitMode, CommittedOffset};
use crate::error::Error;
use crate::fetch::FetchBuffer;
use crate::group::MemberState;
use crate::metadata::Cluster;
use crate::request::Answer;
use crate::subscription::{OffsetReset, Position, RebalanceId};

/// A consumer without sockets, tasks or clocks.
///
/// The driver calls commands and `handle_*`, then drains [`poll_output`](Self::poll_output) to `None`, then sleeps
/// until [`poll_timeout`](Self::poll_timeout), an answer, a command, or a stir of the [`FetchBuffer`]. The user's
/// task reads events and records from the buffer.
#[derive(Debug)]
pub struct Consumer {
    settings: Settings,
    buffer: Arc<FetchBuffer>,
    outputs: VecDeque<Output>,
    rng: Rng,
}

impl Consumer {
    /// A consumer of nothing. At `now` it is `wall` by the wall clock, which only
    /// [`OffsetReset::ByDuration`] needs; `rng` spreads the waits after errors.
    pub fn new(settings: Settings, now: Instant, wall: Timestamp, rng: Rng) -> Self {
        let _ = (now, wall);
        Self { settings, buffer: Arc::default(), outputs: VecDeque::new(), rng }
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
        None
    }
}

/// Commands.
impl Consumer {
    /// Lets the group share out the partitions of `topics`, from now on these and no others.
    ///
    /// # Errors
    /// `Misuse` without a group, or with partitions assigned by hand; `Closed`.
    pub fn subscribe(&mut self, now: Instant, topics: BTreeSet<Topic>) -> Result<(), Error> {
        let _ = (now, topics);
        Ok(())
    }

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
        let _ = (now, partitions);
        Ok(())
    }

    /// Reads nothing any more; leaves the group.
    ///
    /// # Errors
    /// `Closed`.
    pub fn unsubscribe(&mut self, now: Instant) -> Result<(), Error> {
        let _ = now;
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
        let _ = (now, partition, position);
        Ok(())
    }

    /// Reads on from where `reset` says, once the leader told where that is.
    ///
    /// # Errors
    /// `Misuse` if a partition is not assigned; then nothing moves.
    pub fn seek_by(
        &mut self,
        now: Instant,
        partitions: &BTreeSet<TopicPartition>,
        reset: OffsetReset,
    ) -> Result<(), Error> {
        let _ = (now, partitions, reset);
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
        let _ = (now, partitions);
        Ok(())
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
        let _ = (now, partitions);
        Ok(())
    }

    /// The paused partitions.
    pub fn paused(&self) -> BTreeSet<TopicPartition> {
        BTreeSet::new()
    }

    /// The assigned partitions.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        BTreeSet::new()
    }

    /// Commits `offsets`, or with `None` every position behind what was handed out; ends as
    /// [`Output::Committed`]. Commits are sent in the order of these calls, one at a time.
    pub fn commit(
        &mut self,
        now: Instant,
        offsets: Option<BTreeMap<TopicPartition, CommittedOffset>>,
        mode: CommitMode,
    ) -> CommitId {
        let _ = (now, offsets, mode);
        CommitId(0)
    }

    /// Asks brokers; ends as [`Output::Answered`].
    pub fn query(&mut self, now: Instant, query: Query) -> QueryId {
        let _ = (now, query);
        QueryId(0)
    }

    /// The user's callback for this rebalance has returned, and what he had in hand before is done with.
    pub fn acknowledge(&mut self, now: Instant, rebalance: RebalanceId) {
        let _ = (now, rebalance);
    }

    /// Commits if it commits by itself, leaves the group, and ends as [`Output::Closed`] within `timeout`.
    pub fn close(&mut self, now: Instant, timeout: Duration) {
        let _ = (now, timeout);
        self.outputs.push_back(Output::Closed { result: Ok(()) });
    }
}

/// Events from the driver.
impl Consumer {
    /// Takes in a snapshot of the cluster.
    pub fn handle_cluster(&mut self, now: Instant, cluster: Arc<Cluster>) {
        let _ = (now, cluster);
    }

    /// Takes in what became of a request.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        let _ = (now, answer);
    }

    /// Looks at the buffer after it stirred.
    pub fn handle_buffer(&mut self, now: Instant) {
        let _ = now;
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Takes in that at `now` it is `wall` by the wall clock, which may have jumped.
    pub fn handle_wall(&mut self, now: Instant, wall: Timestamp) {
        let _ = (now, wall);
    }

    /// What to do next.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
