//! What clients may use, and how long those wait that use more (KIP-13, KIP-124, KIP-546).

mod entity;
mod limits;
mod mutation;
mod rate;

pub(crate) use entity::{EntityFilter, QuotaEntity, QuotaValues, check_value};
pub(crate) use limits::{Quotas, Used};
pub(crate) use mutation::Mutations;
