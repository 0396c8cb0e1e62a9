//! The tasks that own machines: they carry requests out and answers in, and keep the time.

pub(crate) mod consumer;
mod life;
pub(crate) mod metadata;
pub(crate) mod pace;
pub(crate) mod producer;
mod seal;
pub(crate) mod share;
pub(crate) mod transaction;
pub(crate) mod turn;

use std::time::Instant;

use milena_engine::{Error, Operation};
use tokio::sync::{mpsc, oneshot};

pub(crate) use life::Life;

/// Gives a driver a command and waits for the reply.
///
/// # Errors
/// `Closed` where the driver has ended, which is so if either side of its channels is gone.
pub(crate) async fn ask<C, T>(
    driver: &mpsc::Sender<C>,
    command: C,
    reply: oneshot::Receiver<T>,
    operation: Operation,
) -> Result<T, Error> {
    let closed = || Error::closed().during(operation);
    driver.send(command).await.map_err(|_| closed())?;
    reply.await.map_err(|_| closed())
}

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
