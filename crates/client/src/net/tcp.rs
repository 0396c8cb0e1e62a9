//! Connections over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use milena_engine::metadata::Address;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tracing::debug;

use super::transport::{Connecting, Stream, Transport};

/// Connections over TCP.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    /// `send.buffer.bytes`; `None` leaves it to the operating system.
    pub(crate) send_buffer_bytes: Option<u32>,
    /// `receive.buffer.bytes`; `None` leaves it to the operating system.
    pub(crate) receive_buffer_bytes: Option<u32>,
}

impl Transport for Tcp {
    fn connect<'a>(&'a self, address: &'a Address, timeout: Duration) -> Connecting<'a> {
        Box::pin(async move {
            let stream = self.connect_to_any(address, timeout).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl Tcp {
    /// Tries every address that the name has at this moment, in the resolver's order (KIP-302, KIP-602).
    async fn connect_to_any(&self, address: &Address, limit: Duration) -> io::Result<TcpStream> {
        let resolved = timeout(limit, lookup_host((&*address.host, address.port))).await??;
        self.connect_to_first(address, resolved, limit).await
    }

    /// Tries one after the other what `address` was resolved to, each for `limit`.
    pub(super) async fn connect_to_first(
        &self,
        address: &Address,
        resolved: impl Iterator<Item = SocketAddr>,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        let mut last_error = None;
        for resolved in resolved.take(ADDRESSES_MAX) {
            match timeout(limit, self.connect_to(resolved)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    debug!(%address, %resolved, %error, "no connection");
                    last_error = Some(error);
                }
                Err(elapsed) => {
                    debug!(%address, %resolved, "no connection in time");
                    last_error = Some(elapsed.into());
                }
            }
        }
        Err(last_error
            .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "name has no address")))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Before the connection is made: the window is agreed on then.
        if let Some(bytes) = self.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        // A request is written whole: waiting for more bytes gains nothing and costs 40 ms.
        socket.set_nodelay(true)?;
        socket.set_keepalive(true)?;
        socket.connect(address).await
    }
}

/// A name with more addresses than this would keep one dial busy for minutes.
const ADDRESSES_MAX: usize = 16;
