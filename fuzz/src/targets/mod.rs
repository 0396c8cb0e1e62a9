//! One target each; the page of each says how its input is laid out.

pub(crate) mod cluster_script;
pub(crate) mod connection;
pub(crate) mod consumer_protocol;
pub(crate) mod decompress;
pub(crate) mod frame;
pub(crate) mod group_assignor;
pub(crate) mod properties;
pub(crate) mod record_set;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod version;

/// What a message may hold while it is read, beside its frame: what `milena-wire` promises, and an error's path.
const fn wire_bytes_max(frame: usize) -> usize {
    8 * frame + (1 << 20) + (64 << 10)
}
