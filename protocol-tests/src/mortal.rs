//! Clients whose connections die young.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena::Kafka;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Result;
use crate::target::Target;

/// Cuts every connection between a client and its brokers half a second to one and a half after it was dialled, wherever
/// in a request or an answer that is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaper {
    cut: Arc<AtomicUsize>,
}

impl Reaper {
    /// A client of its own, all of whose connections are cut.
    pub(crate) async fn connect(&self, on: &Target) -> Result<Kafka> {
        let cut = Arc::clone(&self.cut);
        let builder = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
        let dial = move |host: &str, port| Ok(relay((host.to_owned(), port), Arc::clone(&cut)));
        Ok(builder.in_process(dial).connect().await?)
    }

    /// How many connections were cut so far.
    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }
}

/// One end of a connection to `address` that does not live long.
fn relay(address: (String, u16), cut: Arc<AtomicUsize>) -> DuplexStream {
    let (ours, mut theirs) = duplex(BUFFER_BYTES);
    let life = Duration::from_millis(fastrand::u64(500..1500));
    tokio::spawn(async move {
        let whole = async {
            let mut broker = TcpStream::connect(address).await?;
            broker.set_nodelay(true)?;
            copy_bidirectional(&mut theirs, &mut broker).await
        };
        if timeout(life, whole).await.is_err() {
            cut.fetch_add(1, Ordering::Relaxed);
        }
    });
    ours
}

/// As a socket's: some requests fit, a large one is cut in its midst.
const BUFFER_BYTES: usize = 64 << 10;
