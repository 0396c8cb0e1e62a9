//! GetTelemetrySubscriptions (key 71), version 0.
//!
//! What a client is to tell of itself, how often, and by which number it refers to that (KIP-714): of all subscriptions that
//! mean it. A client is known by an id that the first answer gives it, to each node by itself.
//!
//! Notes: ApiVersions lists it only where the settings have somebody who receives what is pushed, as Kafka's does; it is
//! answered in any case, as by Kafka. Patterns are matched by the crate `regex`, whose syntax lacks a little of Java's, and
//! no client has a `client_source_port`.

use milena_types::{ErrorCode, Uuid};
use milena_wire::Response;
use milena_wire::messages::get_telemetry_subscriptions_request::GetTelemetrySubscriptionsRequest;
use milena_wire::messages::get_telemetry_subscriptions_response::GetTelemetrySubscriptionsResponse;

use super::{Call, Outcome, Versions};
use crate::state::State;
use crate::telemetry::Demand;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &GetTelemetrySubscriptionsRequest,
) -> Outcome {
    let id = match request.client_instance_id {
        Uuid::ZERO => state.draw_uuid(),
        known => known,
    };
    let bytes_max = state.settings.telemetry_bytes_max;
    let Some(client) = state.telemetry_client(call, id) else { return Outcome::Close };
    let told = match client.ask(call.now) {
        Ok(demand) => tell(id, demand, bytes_max),
        Err(code) => error(request, code),
    };
    Outcome::Answer(told)
}

pub(super) fn error(_: &GetTelemetrySubscriptionsRequest, code: ErrorCode) -> Response {
    GetTelemetrySubscriptionsResponse { error_code: code, ..Default::default() }.into()
}

fn tell(id: Uuid, demand: &Demand, bytes_max: usize) -> Response {
    let response = GetTelemetrySubscriptionsResponse {
        client_instance_id: id,
        subscription_id: demand.subscription_id,
        accepted_compression_types: ACCEPTED.to_vec(),
        push_interval_ms: demand.interval_ms,
        telemetry_max_bytes: i32::try_from(bytes_max).unwrap_or(i32::MAX),
        delta_temporality: true,
        requested_metrics: demand.metrics.iter().map(|metric| metric.as_str().into()).collect(),
        ..Default::default()
    };
    response.into()
}

/// zstd, lz4, gzip and snappy, in the order of Kafka's liking.
const ACCEPTED: [i8; 4] = [4, 3, 1, 2];
