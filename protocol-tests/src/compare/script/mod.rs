//! The requests that both clusters are sent, in this order.

mod acls;
mod administration;
mod brokers;
mod cluster;
mod cluster_rights;
mod consumer_groups;
mod features;
mod fetch;
mod groups;
mod markers;
mod migration;
mod offsets;
mod placement;
mod produce;
mod quorum;
mod quotas;
mod rebalances;
mod rights;
mod scram;
mod settings;
mod share;
mod share_committed;
mod share_groups;
mod share_reader;
mod streams_groups;
mod telemetry;
mod throttled;
mod tokens;
mod topics;
mod transactional_offsets;
mod transactional_producer;
mod transactions;

use super::recorder::Recorder;
use crate::Result;

/// Sends all of it.
pub(crate) async fn run(on: &mut Recorder) -> Result {
    cluster::run(on).await?;
    topics::run(on).await?;
    settings::run(on).await?;
    produce::run(on).await?;
    fetch::run(on).await?;
    offsets::run(on).await?;
    groups::run(on).await?;
    rebalances::run(on).await?;
    consumer_groups::run(on).await?;
    migration::run(on).await?;
    transactions::run(on).await?;
    transactional_offsets::run(on).await?;
    markers::run(on).await?;
    share_groups::run(on).await?;
    streams_groups::run(on).await?;
    administration::run(on).await?;
    brokers::run(on).await?;
    placement::run(on).await?;
    quorum::run(on).await?;
    quotas::run(on).await?;
    scram::run(on).await?;
    tokens::run(on).await?;
    throttled::run(on).await?;
    acls::without_authorizer(on).await?;
    telemetry::run(on).await?;
    features::run(on).await?;
    topics::delete(on).await
}

/// Sends what is about rights, to clusters that judge by them.
pub(crate) async fn run_with_authorizer(on: &mut Recorder) -> Result {
    rights::make_topics(on).await?;
    acls::run(on).await?;
    rights::run(on).await
}
