//! Sockets of the loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use milena_types::NodeId;
use tokio::net::TcpListener;

use super::pump;
use super::shared::Shared;

/// Listens on the loopback; port 0 takes a free one.
pub(super) fn bind(port: u16) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes connections for a node until the task is aborted.
pub(super) async fn accept(listener: TcpListener, node: NodeId, shared: Arc<Shared>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of file descriptors, most likely: they come back as connections close.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and waited for; where it cannot be set they are only later.
        let _ = stream.set_nodelay(true);
        if let Ok((connection, outbox, inbox)) = shared.open(node) {
            tokio::spawn(pump::serve(stream, Arc::clone(&shared), connection, outbox, inbox));
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
