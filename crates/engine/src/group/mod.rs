//! Membership in a group.

mod action;
mod assignor;
mod heartbeat;
mod member;
mod message;
mod protocol;
mod request;
mod settings;
mod state;

pub(crate) use action::{Action, Identity, Surroundings};
pub(crate) use protocol::Protocol;
pub use settings::GroupSettings;
pub use state::MemberState;
