//! What lies between the clients and their brokers, and harms frames.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use milena::Kafka;
use milena_types::ApiKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::harm::{Fate, Harms, Way};
use crate::Result;
use crate::target::Target;

/// A client of its own, all of whose frames may be harmed.
pub(super) async fn connect(on: &Target, harms: &Arc<Harms>) -> Result<Kafka> {
    let builder = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
    let harms = Arc::clone(harms);
    let dial = move |host: &str, port| {
        let (near, far) = duplex(BUFFER_BYTES);
        tokio::spawn(carry(far, (host.to_owned(), port), Arc::clone(&harms)));
        Ok(near)
    };
    Ok(builder.in_process(dial).connect().await?)
}

/// Carries frames until one is torn, or both sides have hung up.
async fn carry(client: DuplexStream, address: (String, u16), harms: Arc<Harms>) -> io::Result<()> {
    let broker = TcpStream::connect(address).await?;
    broker.set_nodelay(true)?;
    let ((mut requests, mut to_client), (mut answers, mut to_broker)) =
        (split(client), broker.into_split());
    // Answers come in the order of requests.
    let asked = Mutex::new(VecDeque::new());
    let there = async {
        while let Some(mut frame) = next(&mut requests).await? {
            let api = frame.get(4..6).map_or(-1, |key| i16::from_be_bytes([key[0], key[1]]));
            let api = ApiKey::from_wire(api);
            asked.lock().unwrap().push_back(api);
            let fate = harms.strike(Way::Request, api, &mut frame);
            if !pass(&frame, fate, &mut to_broker).await? {
                return Ok(());
            }
        }
        // The broker answers what it has, and hangs up.
        _ = to_broker.shutdown().await;
        Ok(())
    };
    let back = async {
        let mut is_heard = true;
        while let Some(mut frame) = next(&mut answers).await? {
            let api = asked.lock().unwrap().pop_front().unwrap_or(ApiKey::from_wire(-1));
            // What nobody hears is read all the same: what was asked is still carried out.
            let fate = harms.strike(Way::Answer, api, &mut frame);
            is_heard = is_heard && pass(&frame, fate, &mut to_client).await?;
        }
        _ = to_client.shutdown().await;
        Ok(())
    };
    tokio::try_join!(there, back).map(|_: ((), ())| ())
}

/// The next frame with its length, or the end: half a frame is none.
async fn next(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let Ok(length) = from.read_u32().await else { return Ok(None) };
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(bytes + 4, 0);
    Ok(from.read_exact(&mut frame[4..]).await.is_ok().then_some(frame))
}

/// Sends a frame on as it fares, and says whether somebody took it.
///
/// # Errors
/// The connection is to end.
async fn pass(frame: &[u8], fate: Fate, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<bool> {
    match fate {
        Fate::Whole => Ok(to.write_all(frame).await.is_ok()),
        Fate::Torn(at) => {
            _ = to.write_all(&frame[..at]).await;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Fate::Late(at, pause) => {
            let (first, rest) = frame.split_at(at);
            _ = to.write_all(first).await;
            sleep(pause).await;
            Ok(to.write_all(rest).await.is_ok())
        }
    }
}

/// As a socket's: some requests fit, a large one is cut in its midst.
const BUFFER_BYTES: usize = 64 << 10;

/// More than the clients ask for at a time (`fetch.max.bytes`).
const FRAME_BYTES_MAX: usize = 64 << 20;
