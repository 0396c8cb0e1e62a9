//! Who hears of partitions that come and go.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use milena_engine::consumer::Change;
use milena_types::TopicPartition;

use super::ConsumerHandle;

/// Hears of partitions that come and go.
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
}

pub(super) type Hearing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// [`RebalanceListener`] as an object: its futures own what they need, so that a `poll` which is dropped half-way goes
/// on where it was.
pub(super) trait Listener: Send + Sync {
    fn hear(
        self: std::sync::Arc<Self>,
        change: Change,
        handle: ConsumerHandle,
        partitions: Vec<TopicPartition>,
    ) -> Hearing;

    fn late(self: std::sync::Arc<Self>, limit: Duration) -> Hearing;
}

impl<L: RebalanceListener> Listener for L {
    fn hear(
        self: std::sync::Arc<Self>,
        change: Change,
        handle: ConsumerHandle,
        partitions: Vec<TopicPartition>,
    ) -> Hearing {
        Box::pin(async move {
            match change {
                Change::Assigned => self.assigned(&handle, &partitions).await,
                Change::Revoked => self.revoked(&handle, &partitions).await,
                Change::Lost => self.lost(&handle, &partitions).await,
            }
        })
    }

    fn late(self: std::sync::Arc<Self>, limit: Duration) -> Hearing {
        Box::pin(async move { self.poll_interval_exceeded(limit).await })
    }
}

impl fmt::Debug for dyn Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RebalanceListener")
    }
}
