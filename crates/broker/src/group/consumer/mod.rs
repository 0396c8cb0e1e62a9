//! Groups of the consumer protocol (KIP-848): the coordinator assigns, members reconcile one by one.

mod assignor;
mod classic_member;
mod commit;
mod fence;
mod group;
mod heartbeat;
mod member;
mod partitions;
mod pattern;
mod reconciliation;
mod static_member;
mod tally;
mod target;

pub(crate) use assignor::Assignor;
pub(crate) use classic_member::Downgrade;
pub(crate) use commit::{Committer, MayCommit};
pub use group::ConsumerGroupState;
pub(crate) use group::{ConsumerGroup, next};
pub(crate) use heartbeat::{AWAY, Beat, Heartbeat, Step};
pub(crate) use member::{ClassicSide, Member, MemberState};
pub(crate) use partitions::{Assigned, Partitions, has_any, is_within};
pub(crate) use pattern::whole as whole_pattern;
