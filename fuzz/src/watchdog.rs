//! Ends the process over an input that takes too long.

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// Looks from another thread whether inputs come to an end.
pub(crate) struct Watchdog {
    events: Sender<Event>,
}

enum Event {
    Begin(Vec<u8>),
    End,
}

impl Watchdog {
    /// A watchdog that calls `on_hang` with the input and ends the process.
    pub(crate) fn start(on_hang: impl Fn(&[u8]) + Send + 'static) -> Self {
        let (events, received) = mpsc::channel();
        thread::spawn(move || {
            let mut current: Option<Vec<u8>> = None;
            loop {
                match received.recv_timeout(PATIENCE) {
                    Ok(Event::Begin(data)) => current = Some(data),
                    Ok(Event::End) => current = None,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        if let Some(data) = &current {
                            on_hang(data);
                            process::exit(1);
                        }
                    }
                }
            }
        });
        Self { events }
    }

    /// An input begins.
    pub(crate) fn begin(&self, data: &[u8]) {
        // The other end lives as long as this one.
        _ = self.events.send(Event::Begin(data.to_vec()));
    }

    /// It came to an end.
    pub(crate) fn end(&self) {
        _ = self.events.send(Event::End);
    }
}

/// Three orders of magnitude above the slowest input, for the sake of busy machines.
const PATIENCE: Duration = Duration::from_secs(20);
