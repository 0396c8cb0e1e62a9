//! The machine set running: on sockets of the loopback, or on pipes within the process.

mod broker;
mod builder;
mod data_dir;
mod frames;
mod listen;
mod pump;
mod shared;

pub use broker::Broker;
pub use builder::Builder;
