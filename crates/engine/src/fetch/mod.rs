//! Records from brokers to the user's task: sessions, plans, answers, the shared buffer and its reader.

mod buffer;
mod limits;
mod session;

pub use buffer::{Ends, FetchBuffer};
pub use limits::IsolationLevel;
