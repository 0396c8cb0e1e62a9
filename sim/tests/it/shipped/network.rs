//! What lies between clients and cluster: bytes arrive torn, late and in order, and connections break.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use milena_broker::Broker;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::time::sleep;

/// How connections are.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// Each piece is this late.
    pub(super) latency_ms: Range<u64>,
    /// How large pieces are.
    pub(super) piece_bytes: usize,
    /// After about how many bytes a connection breaks, while the network is rough.
    pub(super) breaks_after: usize,
}

/// The network of a world.
pub(super) struct Network {
    weather: Weather,
    rng: Arc<Mutex<Rng>>,
    is_rough: Arc<AtomicBool>,
}

impl Network {
    pub(super) fn new(weather: Weather, rng: Rng) -> Self {
        let is_rough = Arc::new(AtomicBool::new(true));
        Self { weather, rng: Arc::new(Mutex::new(rng)), is_rough }
    }

    /// Nothing breaks any more; what is slow stays slow.
    pub(super) fn calm(&self) {
        self.is_rough.store(false, Ordering::Relaxed);
    }

    /// What connects through it.
    pub(super) fn dialer(
        &self,
        broker: &Broker,
    ) -> impl Fn(&str, u16) -> io::Result<DuplexStream> + Send + Sync + 'static {
        let (dial, weather, rng) = (broker.dialer(), self.weather.clone(), Arc::clone(&self.rng));
        let is_rough = Arc::clone(&self.is_rough);
        move |host, port| {
            let mut rng = rng.lock().unwrap().fork();
            if is_rough.load(Ordering::Relaxed) && rng.u8(0..20) == 0 {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let far = dial(host, port)?;
            let (near, end) = duplex(PIPE_BYTES);
            let mut way = || Way {
                left: rng.usize(1..2 * weather.breaks_after),
                rng: rng.fork(),
                weather: weather.clone(),
                is_rough: Arc::clone(&is_rough),
            };
            let (there, back) = (way(), way());
            tokio::spawn(carry(end, far, there, back));
            Ok(near)
        }
    }
}

/// Ends with either direction: whoever still listens hears that the other is gone.
async fn carry(near: DuplexStream, far: DuplexStream, there: Way, back: Way) {
    let ((requests, client), (answers, broker)) = (split(near), split(far));
    tokio::select! {
        biased;
        () = there.pass(requests, broker) => {}
        () = back.pass(answers, client) => {}
    }
}

/// One direction of a connection.
struct Way {
    rng: Rng,
    weather: Weather,
    /// After so many bytes more it breaks, if the network is still rough.
    left: usize,
    is_rough: Arc<AtomicBool>,
}

impl Way {
    async fn pass(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut bytes = vec![0; self.weather.piece_bytes];
        loop {
            let most = self.rng.usize(1..=bytes.len());
            let Ok(count @ 1..) = from.read(&mut bytes[..most]).await else { break };
            sleep(Duration::from_millis(self.rng.u64(self.weather.latency_ms.clone()))).await;
            let breaks = count >= self.left && self.is_rough.load(Ordering::Relaxed);
            let arrives = if breaks { self.left } else { count };
            if to.write_all(&bytes[..arrives]).await.is_err() || breaks {
                break;
            }
            self.left = self.left.saturating_sub(count).max(1);
        }
    }
}

const PIPE_BYTES: usize = 16 << 10;
