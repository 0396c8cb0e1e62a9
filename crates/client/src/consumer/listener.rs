//! Who hears of partitions that come and go.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use milena_engine::consumer::Change;
use milena_types::{Offset, TopicPartition};

use super::ConsumerHandle;

/// Hears of partitions that come and go, or stand still.
///
/// Called within the consumer's `poll`, one call at a time; the group waits for it, for `max.poll.interval.ms` at most.
/// Calls of the handle work inside: commit what was worked off when partitions are revoked, seek when they are assigned.
///
/// [`Consumer::close`](crate::Consumer::close) calls `revoked` for what is assigned then. A consumer that is dropped, or
/// closed by its handle, calls nothing.
pub trait RebalanceListener: Send + Sync + 'static {
    /// These partitions are read from now on; may be none.
    fn assigned(
        &self,
        handle: &ConsumerHandle,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = ()> + Send {
        let _ = (handle, partitions);
        async {}
    }

    /// These partitions are given up; offsets may still be committed.
    fn revoked(
        &self,
        handle: &ConsumerHandle,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = ()> + Send {
        let _ = (handle, partitions);
        async {}
    }

    /// These partitions belong to another member already; nothing can be committed for them.
    fn lost(
        &self,
        handle: &ConsumerHandle,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = ()> + Send {
        let _ = (handle, partitions);
        async {}
    }

    /// The consumer did not ask for records for `limit` (`max.poll.interval.ms`), and was taken out of its group for
    /// that: [`lost`](Self::lost) follows, and the group gives it partitions again. Poll more often, take fewer records
    /// at once, or allow for more time.
    fn poll_interval_exceeded(&self, limit: Duration) -> impl Future<Output = ()> + Send {
        let _ = limit;
        async {}
    }

    /// A partition that is assigned and not paused makes no progress, though there is something to read, or it is not
    /// known where to start: its leader may be gone, or a coordinator out of reach, while everything else looks healthy.
    /// Called once, until the partition goes on; the consumer keeps trying.
    fn stalled(&self, handle: &ConsumerHandle, stall: &Stall) -> impl Future<Output = ()> + Send {
        let _ = (handle, stall);
        async {}
    }
}

/// A partition that stands still; see [`RebalanceListener::stalled`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// Where.
    pub partition: TopicPartition,
    /// The next offset to fetch; `None` where it is not known yet.
    pub position: Option<Offset>,
    /// The end of what may be read, as a broker said last; `None` where none has.
    pub end: Option<Offset>,
    /// For how long, at least: twice `request.timeout.ms`.
    pub waited: Duration,
}

/// What a consumer waits for while its listener hears of something, or the group is answered. It may be shared, as its
/// future need not: without that a consumer were no `Sync`, and no future that borrows one, as `commit`, could be spawned.
pub(super) struct Hearing(Mutex<Told>);

pub(super) type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Hearing {
    pub(super) fn new(told: Told) -> Self {
        Self(Mutex::new(told))
    }

    /// Nothing is locked: whoever polls has it for himself.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

/// [`RebalanceListener`] as an object: its futures own what they need, so that a `poll` which is dropped half-way goes
/// on where it was.
pub(super) trait Listener: Send + Sync {
    fn hear(
        self: std::sync::Arc<Self>,
        change: Change,
        handle: ConsumerHandle,
        partitions: Vec<TopicPartition>,
    ) -> Told;

    fn late(self: std::sync::Arc<Self>, limit: Duration) -> Told;

    fn stall(self: std::sync::Arc<Self>, handle: ConsumerHandle, stall: Stall) -> Told;
}

impl<L: RebalanceListener> Listener for L {
    fn hear(
        self: std::sync::Arc<Self>,
        change: Change,
        handle: ConsumerHandle,
        partitions: Vec<TopicPartition>,
    ) -> Told {
        Box::pin(async move {
            match change {
                Change::Assigned => self.assigned(&handle, &partitions).await,
                Change::Revoked => self.revoked(&handle, &partitions).await,
                Change::Lost => self.lost(&handle, &partitions).await,
            }
        })
    }

    fn late(self: std::sync::Arc<Self>, limit: Duration) -> Told {
        Box::pin(async move { self.poll_interval_exceeded(limit).await })
    }

    fn stall(self: std::sync::Arc<Self>, handle: ConsumerHandle, stall: Stall) -> Told {
        Box::pin(async move { self.stalled(&handle, &stall).await })
    }
}

impl fmt::Debug for dyn Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RebalanceListener")
    }
}
