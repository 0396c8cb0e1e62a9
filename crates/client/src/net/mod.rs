//! Connections: how a request of a machine gets to a broker and its answer back.
//!
//! A [`Pool`] keeps one task, the pump, per broker and lane. Drivers hand requests to the pool, which never blocks,
//! and get each answered exactly once, by channel. There is no task per request.

mod connection;
mod features;
mod frame;
mod handshake;
mod memory;
mod pool;
mod reply;
mod settings;
mod tcp;
mod transport;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use memory::Memory;
pub(crate) use pool::{Pool, WeakPool};
pub(crate) use reply::ReplyTo;
pub(crate) use settings::Settings;
pub(crate) use tcp::Tcp;
pub(crate) use transport::Transport;
