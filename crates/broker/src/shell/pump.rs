//! One connection's bytes: frames off the stream into the machine, answers back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use milena_wire::FrameReader;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frames::Frames;
use super::shared::{Inbox, Outbox, Shared};
use crate::connection::ConnectionId;

/// Serves a connection until either side ends it.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send,
    shared: Arc<Shared>,
    connection: ConnectionId,
    outbox: Arc<Outbox>,
    inbox: Inbox,
) {
    let (reader, writer) = tokio::io::split(stream);
    // Whatever ends one side ends both; how it ended is of no use to anyone.
    tokio::select! {
        biased;
        _ = write_frames(writer, &outbox, inbox) => {}
        _ = read_frames(reader, &shared, connection, &outbox) => {}
        () = close_in_time(&outbox) => {}
    }
    shared.close(connection);
}

async fn write_frames(
    mut writer: impl AsyncWrite + Unpin,
    outbox: &Outbox,
    mut inbox: Inbox,
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut is_open = true;
    while is_open {
        let Some(Some(frame)) = inbox.recv().await else { break };
        frames.push(frame);
        // What came meanwhile goes out by the same write.
        while frames.remaining() < WRITE_BYTES {
            match inbox.try_recv() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => is_open = false,
                Err(_) => break,
            }
        }
        let bytes = frames.remaining();
        writer.write_all_buf(&mut frames).await?;
        writer.flush().await?;
        outbox.note_written(bytes);
    }
    writer.shutdown().await
}

async fn read_frames(
    mut reader: impl AsyncRead + Unpin,
    shared: &Shared,
    connection: ConnectionId,
    outbox: &Outbox,
) -> io::Result<()> {
    let frames = FrameReader::new(shared.with(|cluster, _| cluster.frame_bytes_max()));
    let mut received = BytesMut::with_capacity(READ_BYTES);
    loop {
        while let Some(frame) = frames.read(&mut received).map_err(io::Error::other)? {
            shared.handle(connection, frame);
            wait_for_room(shared, connection, outbox).await;
        }
        // Small frames share a buffer: one of its own for each would keep far more memory alive than it stores.
        if received.capacity() - received.len() < READ_BYTES_MIN {
            received.reserve(READ_BYTES);
        }
        if reader.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

/// Returns once the client is no longer too far ahead of its answers.
async fn wait_for_room(shared: &Shared, connection: ConnectionId, outbox: &Outbox) {
    loop {
        // Made before the look, so that what happens between the two is not missed.
        let (worked, written) = (shared.worked.notified(), outbox.written.notified());
        if !shared.is_behind(connection) && outbox.bytes() < OUTBOX_BYTES_MAX {
            return;
        }
        tokio::select! {
            () = worked => {}
            () = written => {}
        }
    }
}

/// Ends once the cluster has closed the connection and the client had its time to read what was sent before.
async fn close_in_time(outbox: &Outbox) {
    outbox.closing.notified().await;
    tokio::time::sleep(LINGER).await;
}

/// How much is written by one call, about.
const WRITE_BYTES: usize = 256 << 10;

/// How much room a fresh buffer has.
const READ_BYTES: usize = 64 << 10;

/// How much room a read needs at least.
const READ_BYTES_MIN: usize = 4 << 10;

/// A client that leaves this much unread is not read from.
const OUTBOX_BYTES_MAX: usize = 16 << 20;

/// How long a client may take to read the last answers of a connection that is closed: a dead broker's socket does not
/// stay open for one that does not read.
const LINGER: Duration = Duration::from_secs(1);
