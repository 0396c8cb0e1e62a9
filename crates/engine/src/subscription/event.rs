//! What the user of a consumer has to hear.

use std::time::Duration;

use milena_types::{Offset, TopicPartition};

use super::position::Position;
use crate::error::Error;

/// Something that the user hears of in [`FetchBuffer::take_event`](crate::consumer::FetchBuffer::take_event), before any
/// record that was fetched after it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Partitions come or go. Nothing goes on in the group until
    /// [`Consumer::acknowledge`](crate::consumer::Consumer::acknowledge) says that the user's callback has returned.
    Rebalance(Rebalance),
    /// A log was cut below what was read: the cluster lost records, or an unclean leader took over (KIP-320).
    Truncated {
        /// Where.
        partition: TopicPartition,
        /// The position that no longer fits the log.
        position: Position,
        /// Where the log parted from what was read; `None` where the broker cannot tell. With a reset policy the
        /// consumer goes on there, or by the policy; without one it waits for a seek.
        diverged_at: Option<Position>,
    },
    /// The topic was deleted and made anew: what was read is of another log. With a reset policy the consumer goes on at
    /// the new log's start, of which it has read nothing; without one it waits for a seek.
    Recreated {
        /// Where.
        partition: TopicPartition,
        /// The position in the log that is gone.
        position: Position,
    },
    /// A partition that is assigned and not paused has made no progress, though there is something to read, or it is
    /// not known where to start. Told once, until it goes on; the consumer keeps trying.
    Stalled {
        /// Where.
        partition: TopicPartition,
        /// The next offset to fetch; `None` where it is not known yet.
        position: Option<Position>,
        /// The end of what may be read, as a broker said last.
        end: Option<Offset>,
        /// For how long, at least: twice the request timeout.
        waited: Duration,
    },
    /// The user did not poll for `max.poll.interval.ms`: the member has left its group, its partitions are lost.
    /// It joins again with the next poll.
    PollIntervalExceeded {
        /// The setting that was exceeded.
        limit: Duration,
    },
    /// Something failed that trying again does not heal. One with a topic-partition stops that partition only.
    Error(Error),
}

/// Partitions come or go.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rebalance {
    /// Names it when it is acknowledged.
    pub id: RebalanceId,
    /// What happens to the partitions.
    pub change: Change,
    /// Which ones; may be none.
    pub partitions: Vec<TopicPartition>,
}

/// Names a [`Rebalance`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RebalanceId(pub(crate) u64);

/// What happens to partitions in a rebalance.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every listener has to treat these three apart")]
pub enum Change {
    /// They are read from now on; a seek before the acknowledgement decides where.
    Assigned,
    /// They are given up; offsets may still be committed before the acknowledgement.
    Revoked,
    /// They are another member's already; nothing can be committed for them.
    Lost,
}
