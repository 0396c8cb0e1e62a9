//! Frames: a length, a header, a message.

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use milena_types::{ApiKey, CorrelationId};

use crate::error::{DecodeError, EncodeError};
use crate::messages::{Request, Response};
use crate::reader::Reader;
use crate::writer::Writer;

/// A frame ready to be written: its length first, then its parts, of which the large ones were not copied.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    parts: Vec<Bytes>,
    len: usize,
}

impl Frame {
    /// The parts in order, for one vectored write; the first begins with the length.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The parts in order, owned.
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// Bytes of all parts, the four of the length among them.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All parts in one piece.
    pub fn into_bytes(mut self) -> Bytes {
        match self.parts.len() {
            1 => self.parts.swap_remove(0),
            _ => self.parts.concat().into(),
        }
    }

    /// A writer that has left room for the length.
    fn begin() -> Writer {
        let mut w = Writer::new();
        w.i32(0);
        w
    }

    fn end(mut w: Writer) -> Result<Self, EncodeError> {
        let len = w.len();
        let length = i32::try_from(len - LENGTH_BYTES).map_err(|_| EncodeError::TooLong)?;
        w.stamp(length.to_be_bytes());
        Ok(Self { parts: w.into_parts(), len })
    }
}

/// Bytes that are a whole frame already, their length among them, or shall be taken for one.
impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self { len: bytes.len(), parts: vec![bytes] }
    }
}

/// What stands before a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RequestHeader {
    /// What is asked for.
    pub api_key: ApiKey,
    /// In which version.
    pub api_version: i16,
    /// Comes back with the response.
    pub correlation_id: CorrelationId,
    /// Who asks.
    pub client_id: Option<ByteString>,
}

/// Writes a request.
///
/// # Errors
/// Where `version` is unknown or cannot say what the request says.
pub fn encode_request(
    request: &Request,
    version: i16,
    correlation_id: CorrelationId,
    client_id: Option<&str>,
) -> Result<Frame, EncodeError> {
    let api_key = request.api_key();
    let mut w = Frame::begin();
    w.i16(api_key.get());
    w.i16(version);
    w.i32(correlation_id.get());
    // The client id keeps its old form in every header version.
    w.nullable_string(client_id, false, true, "client_id")?;
    if Request::is_flexible(api_key, version) {
        w.unsigned_varint(0);
    }
    request.encode(&mut w, version)?;
    Frame::end(w)
}

/// Reads the header of a request; the rest of the frame is its body.
///
/// # Errors
/// Where the bytes are no request header.
pub fn decode_request_header(frame: Bytes) -> Result<(RequestHeader, Reader), DecodeError> {
    let mut r = Reader::new(frame);
    r.field("api_key");
    let api_key = ApiKey::from_wire(r.i16()?);
    r.field("api_version");
    let api_version = r.i16()?;
    r.field("correlation_id");
    let correlation_id = CorrelationId::from_wire(r.i32()?);
    r.field("client_id");
    let client_id = r.nullable_string(false)?;
    // Whoever sends a version that nobody knows has a header that nobody can read further.
    let known = Request::versions(api_key).is_some_and(|versions| versions.contains(&api_version));
    if known && Request::is_flexible(api_key, api_version) {
        r.tagged_fields(|_, _| Ok(false))?;
    }
    Ok((RequestHeader { api_key, api_version, correlation_id, client_id }, r))
}

/// Reads a request, from a frame without its length.
///
/// # Errors
/// Where the bytes are not a request of an API and version that the schemas have.
pub fn decode_request(frame: Bytes) -> Result<(RequestHeader, Request), DecodeError> {
    let (header, mut r) = decode_request_header(frame)?;
    let request = Request::decode(header.api_key, header.api_version, &mut r)?;
    r.finish()?;
    Ok((header, request))
}

/// Writes a response.
///
/// # Errors
/// Where `version` is unknown or cannot say what the response says.
pub fn encode_response(
    response: &Response,
    version: i16,
    correlation_id: CorrelationId,
) -> Result<Frame, EncodeError> {
    let mut w = Frame::begin();
    w.i32(correlation_id.get());
    if has_tagged_header(response.api_key(), version) {
        w.unsigned_varint(0);
    }
    response.encode(&mut w, version)?;
    Frame::end(w)
}

/// Reads a response to a request for `api_key` in `version`, from a frame without its length.
///
/// # Errors
/// Where the bytes are not that response.
pub fn decode_response(
    api_key: ApiKey,
    version: i16,
    frame: Bytes,
) -> Result<(CorrelationId, Response), DecodeError> {
    let mut r = Reader::new(frame);
    r.field("correlation_id");
    let correlation_id = CorrelationId::from_wire(r.i32()?);
    if has_tagged_header(api_key, version) {
        r.tagged_fields(|_, _| Ok(false))?;
    }
    let response = Response::decode(api_key, version, &mut r)?;
    r.finish()?;
    Ok((correlation_id, response))
}

/// The correlation id of a response, whatever it answers.
///
/// # Errors
/// Where the frame is shorter than one.
pub fn peek_correlation_id(frame: &Bytes) -> Result<CorrelationId, DecodeError> {
    let mut r = Reader::new(frame.clone());
    r.field("correlation_id");
    Ok(CorrelationId::from_wire(r.i32()?))
}

/// A client that does not know the versions yet must be able to read the answer to that question: its header is the
/// old one in every version.
fn has_tagged_header(api_key: ApiKey, version: i16) -> bool {
    api_key != ApiKey::API_VERSIONS && Request::is_flexible(api_key, version)
}

/// Takes frames off a stream of bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameReader {
    frame_bytes_max: usize,
}

/// A length that no frame may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the length and its limit are all there is to say")]
pub struct FrameError {
    /// The length as it was read.
    pub length: i32,
    /// The most that is taken.
    pub frame_bytes_max: usize,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a frame of {} bytes, where 0 to {} are taken", self.length, self.frame_bytes_max)
    }
}

impl std::error::Error for FrameError {}

impl FrameReader {
    /// What librdkafka and franz-go take as well.
    pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

    /// A reader that takes frames of up to `frame_bytes_max` bytes.
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max }
    }

    /// Takes the first whole frame off `received`, without its length; `None` until it is whole.
    ///
    /// Never reserves what a length claims: `received` grows as bytes arrive.
    ///
    /// # Errors
    /// Where the length is negative or above the limit; the stream cannot be read further.
    pub fn read(&self, received: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = received.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = i32::from_be_bytes(*length);
        let bytes = match usize::try_from(length) {
            Ok(bytes) if bytes <= self.frame_bytes_max => bytes,
            _ => return Err(FrameError { length, frame_bytes_max: self.frame_bytes_max }),
        };
        if received.len() - LENGTH_BYTES < bytes {
            return Ok(None);
        }
        received.advance(LENGTH_BYTES);
        Ok(Some(received.split_to(bytes).freeze()))
    }
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new(Self::FRAME_BYTES_MAX)
    }
}

const LENGTH_BYTES: usize = 4;
