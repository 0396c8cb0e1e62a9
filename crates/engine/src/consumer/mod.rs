//! The consumer: a machine over subscription, fetch, group and commit.

mod machine;
mod output;
mod settings;

pub use machine::Consumer;
pub use output::{FoundOffset, Output, Query, QueryId, Reply};
pub use settings::Settings;

pub use crate::commit::{CommitId, CommitMode, CommittedOffset};
pub use crate::fetch::{Ends, FetchBuffer, IsolationLevel};
pub use crate::group::{GroupSettings, MemberState};
pub use crate::subscription::{
    Change, Event, OffsetReset, OffsetSpec, Position, Rebalance, RebalanceId,
};
