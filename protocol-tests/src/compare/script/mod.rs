//! The requests that both clusters are sent, in this order.

mod cluster;
mod fetch;
mod groups;
mod offsets;
mod produce;
mod topics;
mod transactions;

use super::recorder::Recorder;
use crate::Result;

/// Sends all of it.
pub(crate) async fn run(on: &mut Recorder) -> Result {
    cluster::run(on).await?;
    topics::run(on).await?;
    produce::run(on).await?;
    fetch::run(on).await?;
    offsets::run(on).await?;
    groups::run(on).await?;
    transactions::run(on).await?;
    topics::delete(on).await
}
