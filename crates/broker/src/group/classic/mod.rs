//! Groups of the classic protocol (KIP-62, 345, 394, 814): their leader assigns.

mod commit;
mod group;
mod join;
mod leave;
mod member;
mod migrated;
mod rebalance;
mod subscription;
mod sync;

pub use group::GroupState;
pub(crate) use group::{Answer, ClassicGroup, Reply};
pub(crate) use join::{JoinAnswer, JoinRequest};
pub(crate) use leave::LeaveRequest;
pub(crate) use member::Member;
pub(crate) use sync::{Identity, SyncAnswer, SyncRequest};
