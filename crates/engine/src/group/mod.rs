//! Membership in a group by the classic protocol.

mod assignor;
mod settings;
mod state;

pub use settings::GroupSettings;
pub use state::MemberState;
