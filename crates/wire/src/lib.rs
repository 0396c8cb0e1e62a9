#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod api;
mod error;
mod frame;
#[allow(
    clippy::exhaustive_structs,
    clippy::nonminimal_bool,
    reason = "generated from the schemas, which set the fields"
)]
pub mod messages;
mod reader;
mod records;
mod writer;

pub use bytestring::ByteString;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use frame::{
    Frame, FrameError, FrameReader, RequestHeader, decode_request, decode_request_header,
    decode_response, encode_request, encode_response, peek_correlation_id,
};
pub use messages::{Request, Response};
pub use reader::Reader;
pub use records::Records;
pub use writer::Writer;
