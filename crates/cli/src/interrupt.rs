//! Ctrl-C and SIGTERM: the first asks a command to end well, the next ends it at once.

use crate::failure::Failure;

/// Waits until the user or the system asks the program to end.
pub(crate) async fn interrupted() {
    tokio::select! {
        biased;
        asked = tokio::signal::ctrl_c() => {
            if asked.is_err() {
                // No handler could be set, so the system's own ends the program.
                std::future::pending::<()>().await;
            }
        }
        () = terminated() => {}
    }
}

/// Ends `work` half-way when the user asks a second time.
///
/// # Errors
/// That it was.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = interrupted() => Err(Failure::interrupted("it may not be known what was done")),
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
