//! What lets a broker see a batch twice and store it once (KIP-98, KIP-360).

mod identity;
mod sequence;

pub(crate) use identity::{Idempotence, Identity};
pub(crate) use sequence::{Repair, Sequences, advance};
