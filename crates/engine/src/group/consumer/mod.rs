//! Membership by the consumer protocol (KIP-848): one heartbeat carries all, and the coordinator shares out.

mod assignment;
mod member;
mod request;
mod state;

pub(crate) use member::{Member, Wanted};
