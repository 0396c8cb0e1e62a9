//! Pipes to a cluster that can be made to stand still with what is in them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use milena_broker::Broker;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::sync::watch;

/// What lies between a client and a cluster. Answers pass always, requests where nothing holds them.
pub(crate) struct Wires {
    dialled: Arc<AtomicUsize>,
    /// How many connections, the oldest first, stand still.
    held: watch::Sender<usize>,
}

impl Wires {
    pub(crate) fn new() -> Self {
        Self { dialled: Arc::default(), held: watch::Sender::new(0) }
    }

    /// What connects through them.
    pub(crate) fn dialer(
        &self,
        broker: &Broker,
    ) -> impl Fn(&str, u16) -> io::Result<DuplexStream> + Send + Sync + 'static {
        let (dial, dialled, held) = (broker.dialer(), Arc::clone(&self.dialled), self.held.clone());
        move |host, port| {
            let far = dial(host, port)?;
            let (near, end) = duplex(PIPE_BYTES);
            let place = dialled.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(carry(end, far, held.subscribe(), place));
            Ok(near)
        }
    }

    /// Nothing more arrives on the connections that there are.
    pub(crate) fn hold(&self) {
        self.held.send_replace(self.dialled.load(Ordering::Relaxed));
    }

    /// Everything arrives that was held, also where the client has hung up since.
    pub(crate) fn let_go(&self) {
        self.held.send_replace(0);
    }
}

async fn carry(
    near: DuplexStream,
    far: DuplexStream,
    mut held: watch::Receiver<usize>,
    place: usize,
) {
    let ((mut requests, mut client), (mut answers, mut broker)) = (split(near), split(far));
    let there = async {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = requests.read(&mut bytes).await {
            if held.wait_for(|held| place >= *held).await.is_err()
                || broker.write_all(&bytes[..count]).await.is_err()
            {
                break;
            }
        }
        // Whichever way it ended, nothing more comes.
        let _ = broker.shutdown().await;
    };
    let back = async {
        let _ = copy(&mut answers, &mut client).await;
        let _ = client.shutdown().await;
    };
    tokio::join!(there, back);
}

/// Less than a batch: what is behind it is still the client's.
const PIPE_BYTES: usize = 4096;
