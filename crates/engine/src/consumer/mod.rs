//! The consumer: a machine over subscription, fetch, group and commit.

mod close;
mod drive;
mod machine;
mod membership;
mod output;
mod queries;
mod settings;
mod subscribe;
#[cfg(test)]
mod tests;
mod topics;
mod watch;

pub use machine::Consumer;
pub use output::{Output, Query, QueryId, Reply};
pub use settings::Settings;
pub(crate) use watch::Still;

pub use crate::commit::{CommitId, CommitMode, CommittedOffset};
pub use crate::fetch::{
    Chunk, ChunkIter, Claimed, Ends, FetchBuffer, FoundOffset, IsolationLevel, Polled, Reader, Stay,
};
#[doc(hidden)]
pub use crate::group::share_out;
pub use crate::group::{
    AssignmentStrategy, GroupMembershipOperation, GroupProtocol, GroupSettings, MemberState,
};
pub use crate::subscription::{
    Change, Event, OffsetReset, OffsetSpec, Position, Rebalance, RebalanceId, TopicFilter,
};
