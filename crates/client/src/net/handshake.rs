//! From an address to a connection that takes requests.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use milena_engine::connection::{Negotiation, Step, Versions};
use milena_engine::metadata::Address;
use milena_engine::request::Failure;
use milena_types::CorrelationId;
use tokio::time::timeout;
use tracing::debug;

use super::frame::{FrameWriter, Frames};
use super::settings::Settings;
use super::transport::{Stream, Transport};

/// A connection that has finished its handshake.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Stream>,
    pub(super) frames: Frames,
    pub(super) versions: Versions,
    pub(super) next_correlation: CorrelationId,
}

/// Dials `address` and agrees on versions, within `limit` for each way to dial and again for each handshake.
pub(super) async fn open(
    transport: &dyn Transport,
    settings: &Settings,
    address: &Address,
    limit: Duration,
) -> Result<Opened, Failure> {
    let unreachable = |why: &dyn std::fmt::Display| {
        debug!(%why, "no connection");
        Failure::Unreachable(format!("{address}: {why}").into())
    };
    let mut negotiation = Negotiation::new(&settings.client_id);
    // The negotiation ends by itself after a few connections.
    loop {
        let mut stream =
            transport.connect(address, limit).await.map_err(|error| unreachable(&error))?;
        let mut frames = Frames::new(PREAUTH_FRAME_BYTES_MAX);
        let agreed = timeout(limit, agree(&mut *stream, &mut frames, &mut negotiation)).await;
        match agreed {
            Ok(Ok(Some((versions, next_correlation)))) => {
                // SASL comes here: the connection speaks, and carries nothing of the user's yet.
                frames.allow(settings.frame_bytes_max);
                settings.features.learn(&versions);
                return Ok(Opened { stream, frames, versions, next_correlation });
            }
            Ok(Ok(None)) => {}
            Ok(Err(failure)) => return Err(failure),
            Err(_elapsed) => {
                return Err(unreachable(
                    &"connected, but no answer to ApiVersions in time; is this a Kafka listener?",
                ));
            }
        }
    }
}

/// Drives `negotiation` on a fresh connection; `None` where it wants another one.
async fn agree(
    stream: &mut dyn Stream,
    frames: &mut Frames,
    negotiation: &mut Negotiation,
) -> Result<Option<(Versions, CorrelationId)>, Failure> {
    let mut step = negotiation.handle_connected();
    loop {
        step = match step {
            Step::Send(frame) => {
                let mut writer = FrameWriter::default();
                writer.push(frame);
                match exchange(stream, frames, writer).await {
                    Ok(frame) => negotiation.handle_frame(frame),
                    Err(error) => negotiation.handle_lost(&error.to_string()),
                }
            }
            Step::Done(versions, next_correlation) => {
                return Ok(Some((versions, next_correlation)));
            }
            Step::Reconnect => return Ok(None),
            Step::Failed(failure) => return Err(failure),
        };
    }
}

async fn exchange(
    stream: &mut dyn Stream,
    frames: &mut Frames,
    mut writer: FrameWriter,
) -> io::Result<Bytes> {
    while writer.has_work() {
        writer.write(stream).await?;
    }
    frames.read(stream).await
}

/// ApiVersions of every API takes about 1 KiB; whoever answers more before we trust him wants our memory.
const PREAUTH_FRAME_BYTES_MAX: usize = 256 * 1024;
