//! Talks the protocol by hand: the codec, a socket, and nothing of the client.

/// A message with some of its fields set; the others have the schema's defaults.
macro_rules! message {
    ($($message:ident)::+ { $($field:ident: $value:expr),* $(,)? }) => {{
        #[allow(unused_mut, reason = "a message may be sent as its defaults are")]
        let mut message = $($message)::+::default();
        $(message.$field = $value;)*
        message
    }};
}

pub(crate) use message;

mod batch;
mod connection;

pub(crate) use batch::{Batch, crc32c, timestamp};
pub(crate) use connection::{Connection, coordinator};
