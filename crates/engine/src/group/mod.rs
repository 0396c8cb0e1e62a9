//! Membership in a group.

mod action;
mod assignor;
mod consumer;
mod heartbeat;
mod member;
mod message;
mod protocol;
mod request;
mod settings;
mod state;

pub(crate) use action::{Action, Identity, Surroundings};
pub use assignor::{AssignmentStrategy, share_out};
pub(crate) use protocol::Protocol;
pub use settings::{GroupMembershipOperation, GroupProtocol, GroupSettings};
pub use state::MemberState;
