//! Records go through an idempotent producer, a transactional copier and a group while brokers are killed, stand still and
//! are restarted, and frames are cut, truncated, delayed and flipped.

use std::sync::Arc;
use std::time::Duration;

use super::guarantees::EXACTLY_ONCE_SINCE;
use crate::Result;
use crate::storm::{self, Plan};
use crate::target::Target;

/// The faults, the calm after them, and the reading.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

/// The short form; `protocol-tests storm` has the long one.
const SHORT: Plan = Plan { seconds: 60, records: 20_000, seed: None };

pub(super) fn fits(on: &Target) -> bool {
    on.choice().brokers >= 3 && *on.version() >= EXACTLY_ONCE_SINCE
}

pub(super) async fn each_record_is_where_it_was_acknowledged_and_read_once(
    on: Arc<Target>,
) -> Result {
    storm::run(on, SHORT).await
}
