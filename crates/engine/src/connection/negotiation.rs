//! Agreeing on versions with a broker: the first exchange on every connection.

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId, ErrorCode};
use milena_wire::ByteString;
use milena_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use milena_wire::{Frame, Request, Response, decode_response, encode_request};

use super::versions::Versions;
use crate::request::Failure;

/// Asks a broker what it speaks (KIP-35, KIP-511), over as many connections as that takes, and no more.
///
/// It starts with the newest version, and every further question is in an older one, so that it ends. A broker that
/// does not know a version says so in the shape of version 0, with or without the version that it does know; one kind
/// of broker just hangs up, so after two hang-ups version 0 is tried.
#[derive(Debug)]
pub struct Negotiation {
    client_id: Option<ByteString>,
    version: i16,
    correlation: CorrelationId,
    hang_ups: u32,
}

/// What to do next.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum Step {
    /// Write this and read one frame, for [`Negotiation::handle_frame`].
    Send(Frame),
    /// Take requests; the first one's correlation id is this.
    Done(Versions, CorrelationId),
    /// Close the connection, open another and call [`Negotiation::handle_connected`].
    Reconnect,
    /// Give up.
    Failed(Failure),
}

impl Negotiation {
    /// Nothing is agreed on; `client_id` goes into the requests' headers, if it is not empty.
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: (!client_id.is_empty()).then(|| client_id.into()),
            version: newest(),
            correlation: CorrelationId::FIRST,
            hang_ups: 0,
        }
    }

    /// A connection is open, and nothing was sent on it.
    pub fn handle_connected(&mut self) -> Step {
        self.correlation = CorrelationId::FIRST;
        self.ask()
    }

    /// The broker answered, without the length prefix.
    pub fn handle_frame(&mut self, frame: Bytes) -> Step {
        // Every version has the correlation id first and the code next, as the header of this answer never changes.
        let code = frame.get(4..6).and_then(|code| code.try_into().ok()).map(i16::from_be_bytes);
        let is_refused = code == Some(ErrorCode::UNSUPPORTED_VERSION.get()) && self.version > 0;
        let version = if is_refused { 0 } else { self.version };
        let (correlation, response) = match decode_response(ApiKey::API_VERSIONS, version, frame) {
            Ok(decoded) => decoded,
            Err(_) if is_refused => return self.fall_back(0),
            Err(error) => return malformed(&format!("answer to ApiVersions: {error}")),
        };
        if correlation != self.correlation {
            return malformed("answer to ApiVersions has another correlation id");
        }
        let Response::ApiVersions(response) = response else {
            return malformed("answer to another request than ApiVersions");
        };
        if is_refused {
            let listed =
                response.api_keys.iter().find(|api| api.api_key == ApiKey::API_VERSIONS.get());
            let known = listed.map_or(0, |api| api.max_version.clamp(0, self.version - 1));
            return self.fall_back(known);
        }
        if response.error_code.is_error() {
            return malformed(&format!("ApiVersions refused: {}", response.error_code));
        }
        Step::Done(read(&response), self.correlation.next())
    }

    /// The connection ended before the broker answered; `why` is for the message.
    pub fn handle_lost(&mut self, why: &str) -> Step {
        self.hang_ups += 1;
        if self.hang_ups > HANG_UPS_MAX {
            let why =
                format!("{why} before an answer to ApiVersions; does the port expect TLS or SASL?");
            return Step::Failed(Failure::Unreachable(why.into()));
        }
        if self.hang_ups == HANG_UPS_MAX {
            self.version = 0;
        }
        Step::Reconnect
    }

    /// Asks again on the same connection, in an older version.
    fn fall_back(&mut self, version: i16) -> Step {
        self.version = version;
        self.correlation = self.correlation.next();
        self.ask()
    }

    fn ask(&mut self) -> Step {
        let mut request = ApiVersionsRequest::default();
        if self.version >= 3 {
            request.client_software_name = SOFTWARE_NAME.into();
            request.client_software_version = env!("CARGO_PKG_VERSION").into();
        }
        let request = Request::from(request);
        match encode_request(&request, self.version, self.correlation, self.client_id.as_deref()) {
            Ok(frame) => Step::Send(frame),
            Err(error) => Step::Failed(Failure::Unencodable(error.to_string().into())),
        }
    }
}

fn read(response: &ApiVersionsResponse) -> Versions {
    let ranges = response.api_keys.iter();
    let ranges =
        ranges.map(|api| (ApiKey::from_wire(api.api_key), api.min_version, api.max_version));
    let supported = response.supported_features.iter();
    let supported = supported.map(|f| (f.name.to_string(), f.min_version, f.max_version));
    let finalized = response.finalized_features.iter();
    let finalized =
        finalized.map(|f| (f.name.to_string(), f.min_version_level, f.max_version_level));
    let epoch = Some(response.finalized_features_epoch).filter(|epoch| *epoch >= 0);
    Versions::new(ranges).with_features(supported, finalized, epoch)
}

fn newest() -> i16 {
    Request::versions(ApiKey::API_VERSIONS).map_or(0, |versions| *versions.end())
}

fn malformed(why: &str) -> Step {
    Step::Failed(Failure::MalformedResponse(why.into()))
}

/// Brokers allow letters, digits, dots and dashes (KIP-511).
const SOFTWARE_NAME: &str = "milena";

/// A broker that restarts hangs up once or twice. Version 0 lists no features, so it is the last resort.
const HANG_UPS_MAX: u32 = 2;

#[cfg(test)]
mod tests;
