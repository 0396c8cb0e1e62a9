//! Consumer groups of the classic protocol, as Kafka's group coordinator keeps them (KIP-62, 345, 394, 814).

mod classic;
mod commit;
mod join;
mod leave;
mod member;
mod rebalance;
mod sync;

pub use classic::GroupState;
pub(crate) use classic::{Answer, Group};
pub use commit::Committed;
pub(crate) use commit::{Commit, MadeGood};
pub(crate) use join::{JoinAnswer, JoinRequest};
pub(crate) use leave::LeaveRequest;
pub(crate) use member::Member;
pub(crate) use sync::{Identity, SyncAnswer, SyncRequest};
