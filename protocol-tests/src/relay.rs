//! What lies between one client and its brokers, and stands still or breaks when told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use milena::Kafka;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::Result;
use crate::target::Target;

/// Passes requests and answers on, unless told otherwise. Answers are never held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relay {
    rules: Arc<watch::Sender<Rules>>,
    seen: Arc<Seen>,
}

/// What passes.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    /// Of connections dialled before this many others nothing does.
    held_before: usize,
    /// How many bytes of requests a connection carries in its life.
    bytes_max: Option<usize>,
    /// Connections dialled before this many others are cut.
    cut_before: usize,
    /// No connection is made.
    refuses: bool,
}

/// What has happened.
#[derive(Debug, Default)]
struct Seen {
    dialled: AtomicUsize,
    stuck: AtomicUsize,
    ended: AtomicUsize,
    late: AtomicUsize,
}

impl Relay {
    /// The settings of a client that connects through this alone.
    pub(crate) async fn connect(&self, on: &Target) -> Result<Kafka> {
        let builder = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
        let relay = self.clone();
        Ok(builder.in_process(move |host, port| relay.dial(host, port)).connect().await?)
    }

    /// Requests on the connections that there are stand still.
    pub(crate) fn hold(&self) {
        let dialled = self.seen.dialled.load(Ordering::SeqCst);
        self.rules.send_modify(|rules| rules.held_before = dialled);
    }

    /// Each connection stands still once it has carried so many bytes of requests.
    pub(crate) fn hold_behind(&self, bytes: usize) {
        self.rules.send_modify(|rules| rules.bytes_max = Some(bytes));
    }

    /// Ends the connections that there are, with what is in them.
    pub(crate) fn cut(&self) {
        let dialled = self.seen.dialled.load(Ordering::SeqCst);
        self.rules.send_modify(|rules| rules.cut_before = dialled);
    }

    /// Ends the connections that there are, and makes no other.
    pub(crate) fn refuse(&self) {
        self.rules.send_modify(|rules| rules.refuses = true);
        self.cut();
    }

    /// Everything passes, and what was held arrives: also where the client has hung up since.
    pub(crate) fn let_go(&self) {
        self.rules.send_modify(|rules| {
            *rules = Rules { cut_before: rules.cut_before, ..Rules::default() };
        });
    }

    /// How many connections have stood still with bytes in them, so far.
    pub(crate) fn stuck(&self) -> usize {
        self.seen.stuck.load(Ordering::SeqCst)
    }

    /// How many of them the brokers have dealt with since, after the client had gone.
    pub(crate) fn late(&self) -> usize {
        self.seen.late.load(Ordering::SeqCst)
    }

    /// Whether no connection is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.seen.ended.load(Ordering::SeqCst) == self.seen.dialled.load(Ordering::SeqCst)
    }

    fn dial(&self, host: &str, port: u16) -> io::Result<DuplexStream> {
        if self.rules.borrow().refuses {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = duplex(PIPE_BYTES);
        let place = self.seen.dialled.fetch_add(1, Ordering::SeqCst);
        let (address, rules, seen) =
            ((host.to_owned(), port), self.rules.subscribe(), Arc::clone(&self.seen));
        tokio::spawn(async move {
            let mut cut = rules.clone();
            tokio::select! {
                _ = cut.wait_for(|rules| place < rules.cut_before) => {}
                _ = carry(far, address, rules, place, &seen) => {}
            }
            seen.ended.fetch_add(1, Ordering::SeqCst);
        });
        Ok(near)
    }
}

/// Carries requests to the broker at `address`, and its answers back, until both have hung up.
async fn carry(
    client: DuplexStream,
    address: (String, u16),
    mut rules: watch::Receiver<Rules>,
    place: usize,
    seen: &Seen,
) -> io::Result<()> {
    let broker = TcpStream::connect(address).await?;
    broker.set_nodelay(true)?;
    let ((mut requests, mut to_client), (mut answers, mut to_broker)) =
        (split(client), broker.into_split());
    let mut stood_still = false;
    let there = async {
        let (mut bytes, mut carried) = ([0; CHUNK_BYTES], 0);
        while let Ok(count @ 1..) = requests.read(&mut bytes).await {
            carried += count;
            let passes = |rules: &Rules| {
                place >= rules.held_before && rules.bytes_max.is_none_or(|most| carried <= most)
            };
            if !passes(&rules.borrow()) {
                stood_still = true;
                seen.stuck.fetch_add(1, Ordering::SeqCst);
            }
            if rules.wait_for(passes).await.is_err()
                || to_broker.write_all(&bytes[..count]).await.is_err()
            {
                break;
            }
        }
        // The broker answers what it has, and hangs up.
        _ = to_broker.shutdown().await;
    };
    let back = async {
        _ = copy(&mut answers, &mut to_client).await;
        _ = to_client.shutdown().await;
    };
    tokio::join!(there, back);
    if stood_still {
        seen.late.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// What one look at the rules lets pass.
const CHUNK_BYTES: usize = 1024;

/// Less than a batch: what is behind it is still the client's.
const PIPE_BYTES: usize = 4096;
