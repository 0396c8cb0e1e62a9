//! Reading: what a consumer asked for, remembered over a session (KIP-227), and what it gets.

mod interest;
mod session;

pub(crate) use interest::{Interest, TopicKey};
pub(crate) use session::{SessionRequest, SessionUse, Sessions, Shown};
