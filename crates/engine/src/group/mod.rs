//! Membership in a group by the classic protocol.

mod assignor;
mod heartbeat;
mod member;
mod protocol;
mod request;
mod settings;
mod state;

pub(crate) use member::{Action, Identity, Member, Surroundings};
pub use settings::GroupSettings;
pub use state::MemberState;
