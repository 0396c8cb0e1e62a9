//! What a consumer reads and where it stands: assignment, positions, reset rules, and what the user hears of them.

mod assignment;
mod event;
mod filter;
mod position;
mod reset;

pub(crate) use assignment::{Source, Subscription};
pub use event::{Change, Event, Rebalance, RebalanceId};
pub use filter::TopicFilter;
pub use position::Position;
pub(crate) use position::{Assigned, Revision, Stage, StageKind};
pub use reset::{OffsetReset, OffsetSpec};
