//! The tasks that own machines: they carry requests out and answers in, and keep the time.

pub(crate) mod consumer;
pub(crate) mod metadata;
pub(crate) mod producer;
mod seal;
pub(crate) mod share;
pub(crate) mod transaction;
pub(crate) mod turn;

use std::time::Instant;

/// Sleeps until `deadline`; for ever without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The time, as machines take it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
