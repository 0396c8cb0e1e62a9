//! PushTelemetry (key 72), version 0.
//!
//! What a client tells of itself (KIP-714): metrics in OpenTelemetry's format, compressed or not. It is taken once an interval,
//! for the subscriptions that the client was told last, and a last time from one that ends.
//!
//! Notes: what is pushed is kept in the journal where the settings have somebody who receives it, decompressed and not looked
//! into, and INVALID_RECORD where it cannot be decompressed or is then too large, as with a plugin of Kafka's that reads it.
//! Otherwise it is taken and forgotten, as with a broker of Kafka's without such a plugin.

use bytes::Bytes;
use milena_records::{BufferPool, CompressionType, Decompressor, Limits};
use milena_types::{ErrorCode, Uuid};
use milena_wire::Response;
use milena_wire::messages::push_telemetry_request::PushTelemetryRequest;
use milena_wire::messages::push_telemetry_response::PushTelemetryResponse;

use super::{Call, Outcome, Versions};
use crate::journal::AcceptedTelemetry;
use crate::state::State;
use crate::telemetry::Push;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &PushTelemetryRequest,
) -> Outcome {
    let taken = take(state, call, request);
    Outcome::Answer(error(request, taken.err().unwrap_or(ErrorCode::NONE)))
}

pub(super) fn error(_: &PushTelemetryRequest, code: ErrorCode) -> Response {
    PushTelemetryResponse { error_code: code, ..Default::default() }.into()
}

fn take(
    state: &mut State,
    call: &Call<'_>,
    request: &PushTelemetryRequest,
) -> Result<(), ErrorCode> {
    let id = request.client_instance_id;
    if id == Uuid::ZERO || id == ONE {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let compression = u8::try_from(request.compression_type).ok();
    let compression = compression.and_then(|id| CompressionType::from_id(id).ok());
    let bytes_max = state.settings.telemetry_bytes_max;
    let is_received = state.settings.client_telemetry && !request.metrics.is_empty();
    let at = state.wall(call.now);
    let client = state.telemetry_client(call, id).ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)?;
    let push = Push {
        subscription_id: request.subscription_id,
        is_terminating: request.terminating,
        is_compression_known: compression.is_some(),
        bytes: request.metrics.len(),
        bytes_max,
    };
    client.push(call.now, push)?;
    if !is_received {
        return Ok(());
    }
    let metrics = decompress(compression.unwrap_or_default(), &request.metrics, bytes_max);
    let metrics = metrics.map_err(|code| client.refuse(code))?;
    state.journal.note_telemetry(AcceptedTelemetry {
        at,
        node: call.node,
        client_id: call.client_id.to_owned(),
        client_instance_id: id,
        subscription_id: request.subscription_id,
        is_terminating: request.terminating,
        metrics,
    });
    Ok(())
}

fn decompress(
    compression: CompressionType,
    metrics: &[u8],
    bytes_max: usize,
) -> Result<Bytes, ErrorCode> {
    let mut limits = Limits::default();
    limits.bytes_max = bytes_max;
    let mut plain = Vec::new();
    let mut decompressor = Decompressor::new(limits, BufferPool::new(0, 0));
    let read = decompressor.decompress(compression, metrics, &mut plain);
    read.map_err(|_| ErrorCode::INVALID_RECORD)?;
    Ok(plain.into())
}

/// Kafka keeps it for itself.
const ONE: Uuid = Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
