//! Connections within the process, for tests, simulation and the embedded broker.

use std::fmt;
use std::io;
use std::time::Duration;

use milena_engine::metadata::Address;
use tokio::io::DuplexStream;

use super::transport::{Connecting, Stream, Transport};

/// Connections that a closure makes: whoever listens at an address gets the other end.
pub(crate) struct Memory {
    dial: Box<Dial>,
}

type Dial = dyn Fn(&str, u16) -> io::Result<DuplexStream> + Send + Sync;

impl Memory {
    /// Connections to whatever `dial` finds at a host and port.
    pub(crate) fn new(
        dial: impl Fn(&str, u16) -> io::Result<DuplexStream> + Send + Sync + 'static,
    ) -> Self {
        Self { dial: Box::new(dial) }
    }
}

impl Transport for Memory {
    fn connect<'a>(&'a self, address: &'a Address, _timeout: Duration) -> Connecting<'a> {
        Box::pin(async move {
            let stream = (self.dial)(&address.host, address.port)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
