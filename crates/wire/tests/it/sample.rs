//! What Kafka's own classes wrote: the lines of `tests/golden`, made by `cargo xtask golden`.

use std::fmt;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId};
use milena_wire::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use milena_wire::{
    DecodeError, EncodeError, Reader, Request, Response, Writer, decode_request, decode_response,
    encode_request, encode_response,
};

/// One message in one version.
pub(crate) struct Sample {
    pub(crate) kind: Kind,
    pub(crate) version: i16,
    /// How it was filled: "full", "null", "default" or "tags".
    pub(crate) name: String,
    /// A frame without its length; of a consumer protocol message, the message alone.
    pub(crate) frame: Bytes,
    /// What Kafka says it holds, as JSON.
    pub(crate) json: String,
}

/// Which message.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Kind {
    Request(ApiKey),
    Response(ApiKey),
    Assignment,
    Subscription,
}

/// A message that was read, and how to write it again.
#[derive(Debug)]
pub(crate) enum Message {
    Request(CorrelationId, Option<String>, Request),
    Response(CorrelationId, Response),
    Assignment(ConsumerProtocolAssignment),
    Subscription(ConsumerProtocolSubscription),
}

impl Kind {
    fn of(name: &str) -> Self {
        let key = |api| {
            let known = ApiKey::ALL.iter().find(|key| key.name() == Some(api));
            *known.unwrap_or_else(|| panic!("no API {api}"))
        };
        match (name.strip_suffix("Request"), name.strip_suffix("Response")) {
            (Some(api), _) => Self::Request(key(api)),
            (_, Some(api)) => Self::Response(key(api)),
            _ if name == "ConsumerProtocolAssignment" => Self::Assignment,
            _ if name == "ConsumerProtocolSubscription" => Self::Subscription,
            _ => panic!("no message {name}"),
        }
    }

    /// Reads a frame of this message, to its last byte.
    pub(crate) fn decode(self, version: i16, frame: Bytes) -> Result<Message, DecodeError> {
        match self {
            Self::Request(_) => {
                let (header, request) = decode_request(frame)?;
                let client_id = header.client_id.map(|id| id.to_string());
                Ok(Message::Request(header.correlation_id, client_id, request))
            }
            Self::Response(key) => {
                let (correlation_id, response) = decode_response(key, version, frame)?;
                Ok(Message::Response(correlation_id, response))
            }
            Self::Assignment => {
                let mut r = Reader::new(frame);
                let message = ConsumerProtocolAssignment::decode(&mut r, version)?;
                r.finish()?;
                Ok(Message::Assignment(message))
            }
            Self::Subscription => {
                let mut r = Reader::new(frame);
                let message = ConsumerProtocolSubscription::decode(&mut r, version)?;
                r.finish()?;
                Ok(Message::Subscription(message))
            }
        }
    }
}

impl Message {
    /// The frame without its length.
    pub(crate) fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        let frame = match self {
            Self::Request(id, client_id, request) => {
                encode_request(request, version, *id, client_id.as_deref())?
            }
            Self::Response(id, response) => encode_response(response, version, *id)?,
            Self::Assignment(message) => {
                let mut w = Writer::new();
                message.encode(&mut w, version)?;
                return Ok(w.into_bytes());
            }
            Self::Subscription(message) => {
                let mut w = Writer::new();
                message.encode(&mut w, version)?;
                return Ok(w.into_bytes());
            }
        };
        let bytes = frame.into_bytes();
        let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, rest.len(), "the frame's own length");
        Ok(bytes.slice(4..))
    }

    /// The message alone, as `Debug` shows it.
    pub(crate) fn debug(&self) -> String {
        match self {
            Self::Request(_, _, message) => format!("{message:?}"),
            Self::Response(_, message) => format!("{message:?}"),
            Self::Assignment(message) => format!("{message:?}"),
            Self::Subscription(message) => format!("{message:?}"),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version;
        match self.kind {
            Kind::Request(key) => write!(f, "{key} request")?,
            Kind::Response(key) => write!(f, "{key} response")?,
            Kind::Assignment => f.write_str("assignment")?,
            Kind::Subscription => f.write_str("subscription")?,
        }
        write!(f, " version {version} ({})", self.name)
    }
}

/// All samples, in a fixed order.
pub(crate) fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut samples = Vec::new();
    for path in paths {
        let kind = Kind::of(&path.file_stem().unwrap().to_string_lossy());
        for line in fs::read_to_string(&path).unwrap().lines() {
            let mut parts = line.splitn(4, ' ');
            let mut next = || parts.next().unwrap();
            let version = next().parse().unwrap();
            let name = next().to_owned();
            let frame = unhex(next());
            samples.push(Sample { kind, version, name, frame, json: next().to_owned() });
        }
    }
    samples
}

fn unhex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<u8>>()
        .into()
}
