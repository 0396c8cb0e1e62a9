//! One connection to a broker: agreeing on versions, then requests in order.

mod negotiation;
pub mod pipeline;
mod shape;
mod throttle;
mod versions;

pub use negotiation::{Negotiation, Step};
pub use pipeline::{CloseReason, Output, Pipeline};
pub use versions::Versions;
