//! The seam between connections and what carries their bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use milena_engine::metadata::Address;
use tokio::io::{AsyncRead, AsyncWrite};

/// What carries the bytes of one connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection being opened. Dropping it gives it up.
pub(crate) type Connecting<'a> =
    Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Opens connections: TCP, TLS over it, or pipes within the process.
pub(crate) trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Opens a connection to `address`, giving each way that its name resolves to `timeout`.
    fn connect<'a>(&'a self, address: &'a Address, timeout: Duration) -> Connecting<'a>;
}
