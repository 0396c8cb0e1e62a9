//! Requests and responses of every API, told apart by their keys.

use std::ops::RangeInclusive;

use milena_types::ApiKey;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::messages::{Request, Response};
use crate::reader::Reader;
use crate::writer::Writer;

/// From the generated list: the two enums, and what depends on the API.
macro_rules! apis {
    ($($name:ident $key:ident $request:ident $response:ident $versions:expr, flexible $flexible:literal;)*) => {
        /// Any request.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Request {
            $(#[doc = concat!("A `", stringify!($request), "`.")] $name($request),)*
        }

        /// Any response.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Response {
            $(#[doc = concat!("A `", stringify!($response), "`.")] $name($response),)*
        }

        $(
            impl From<$request> for Request {
                fn from(request: $request) -> Self {
                    Self::$name(request)
                }
            }

            impl From<$response> for Response {
                fn from(response: $response) -> Self {
                    Self::$name(response)
                }
            }
        )*

        impl Request {
            /// Every API there is a message for, with its versions.
            pub const APIS: &[(milena_types::ApiKey, std::ops::RangeInclusive<i16>)] =
                &[$((milena_types::ApiKey::$key, $versions)),*];

            /// What it asks for.
            pub fn api_key(&self) -> milena_types::ApiKey {
                match self {
                    $(Self::$name(_) => milena_types::ApiKey::$key,)*
                }
            }

            /// The lowest version with compact lengths and tagged fields (KIP-482).
            pub(crate) fn flexible_since(key: milena_types::ApiKey) -> i16 {
                match key {
                    $(milena_types::ApiKey::$key => $flexible,)*
                    _ => i16::MAX,
                }
            }

            pub(crate) fn write(
                &self,
                w: &mut crate::writer::Writer,
                version: i16,
            ) -> Result<(), crate::error::EncodeError> {
                match self {
                    $(Self::$name(message) => message.encode(w, version),)*
                }
            }

            pub(crate) fn read(
                key: milena_types::ApiKey,
                r: &mut crate::reader::Reader,
                version: i16,
            ) -> Result<Option<Self>, crate::error::DecodeError> {
                Ok(Some(match key {
                    $(milena_types::ApiKey::$key => Self::$name($request::decode(r, version)?),)*
                    _ => return Ok(None),
                }))
            }
        }

        impl Response {
            /// What it answers.
            pub fn api_key(&self) -> milena_types::ApiKey {
                match self {
                    $(Self::$name(_) => milena_types::ApiKey::$key,)*
                }
            }

            pub(crate) fn write(
                &self,
                w: &mut crate::writer::Writer,
                version: i16,
            ) -> Result<(), crate::error::EncodeError> {
                match self {
                    $(Self::$name(message) => message.encode(w, version),)*
                }
            }

            pub(crate) fn read(
                key: milena_types::ApiKey,
                r: &mut crate::reader::Reader,
                version: i16,
            ) -> Result<Option<Self>, crate::error::DecodeError> {
                Ok(Some(match key {
                    $(milena_types::ApiKey::$key => Self::$name($response::decode(r, version)?),)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}
pub(crate) use apis;

impl Request {
    /// The versions of `key` that the schemas have; `None` for an API without messages here.
    pub fn versions(key: ApiKey) -> Option<RangeInclusive<i16>> {
        Self::APIS.iter().find(|(api, _)| *api == key).map(|(_, versions)| versions.clone())
    }

    /// Whether `version` of `key` has compact lengths and tagged fields (KIP-482).
    pub fn is_flexible(key: ApiKey, version: i16) -> bool {
        version >= Self::flexible_since(key)
    }

    /// Writes the body in `version`.
    ///
    /// # Errors
    /// Where the version is unknown, or has no place for a field that is set and must not be left out.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        known(self.api_key(), version)?;
        self.write(w, version)
    }

    /// Reads the body of a request for `key` in `version`.
    ///
    /// # Errors
    /// Where the bytes are not that message.
    pub fn decode(key: ApiKey, version: i16, r: &mut Reader) -> Result<Self, DecodeError> {
        let read = if known(key, version).is_ok() { Self::read(key, r, version)? } else { None };
        read.ok_or_else(|| r.error(DecodeErrorKind::UnsupportedVersion))
    }
}

impl Response {
    /// Writes the body in `version`.
    ///
    /// # Errors
    /// Where the version is unknown, or has no place for a field that is set and must not be left out.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        known(self.api_key(), version)?;
        self.write(w, version)
    }

    /// Reads the body of a response to `key` in `version`.
    ///
    /// # Errors
    /// Where the bytes are not that message.
    pub fn decode(key: ApiKey, version: i16, r: &mut Reader) -> Result<Self, DecodeError> {
        let read = if known(key, version).is_ok() { Self::read(key, r, version)? } else { None };
        read.ok_or_else(|| r.error(DecodeErrorKind::UnsupportedVersion))
    }
}

fn known(key: ApiKey, version: i16) -> Result<(), EncodeError> {
    match Request::versions(key) {
        Some(versions) if versions.contains(&version) => Ok(()),
        _ => Err(EncodeError::UnsupportedVersion { version }),
    }
}
