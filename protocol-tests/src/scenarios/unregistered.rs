//! Brokers that are taken out of the cluster (UnregisterBroker).

use std::sync::Arc;
use std::time::Duration;

use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;
use milena_wire::messages::describe_quorum_request::TopicData;
use milena_wire::messages::{
    DescribeClusterRequest, DescribeQuorumRequest, MetadataRequest, UnregisterBrokerRequest,
    UnregisterControllerRequest,
};
use tokio::time::sleep;

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};

/// Who is asked is another than who goes, and a quorum is left.
pub(super) fn fits(on: &Target) -> bool {
    on.choice().brokers >= 3 && on.speaks(ApiKey::UNREGISTER_BROKER)
}

/// A real broker starts twice.
pub(super) const LIMIT: Duration = Duration::from_secs(180);

const GONE: i32 = 3;

pub(super) async fn a_broker_that_is_unregistered_is_gone_until_it_starts_anew(
    on: Arc<Target>,
) -> Result {
    for is_down in [true, false] {
        if is_down {
            on.kill_broker(GONE).await?;
        }
        assert_eq!(unregister(&on, GONE).await?, (ErrorCode::NONE, Some(String::new())));
        let why = format!("Broker ID {GONE} is not currently registered");
        let refused = (ErrorCode::BROKER_ID_NOT_REGISTERED, Some(why));
        assert_eq!(unregister(&on, GONE).await?, refused);
        while listed(&on).await?.contains(&GONE) {
            sleep(Duration::from_millis(20)).await;
        }
        // Fenced brokers are told of since then.
        if *on.version() >= Version::of(4, 0, 0) {
            assert_eq!(known(&on).await?.len(), 2);
        }
        if !is_down {
            on.kill_broker(GONE).await?;
        }
        on.start_broker(GONE).await?;
        while !listed(&on).await?.contains(&GONE) {
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Who has the others' votes has to stay.
pub(super) fn fits_controllers(on: &Target) -> bool {
    on.choice().brokers >= 3 && on.speaks(ApiKey::UNREGISTER_CONTROLLER)
}

/// One that runs registers anew at once.
pub(super) async fn a_controller_that_is_down_is_forgotten_until_it_starts(
    on: Arc<Target>,
) -> Result {
    let active = active_controller(&on).await?;
    let why = "Controller cannot unregister itself while it is active.";
    let refused = (ErrorCode::INVALID_REQUEST, Some(why.to_owned()));
    assert_eq!(unregister_controller(&on, active).await?, refused);
    // The first is who is asked.
    let other = (2..).find(|id| *id != active).ok_or("no other")?;
    let gone = (ErrorCode::NONE, Some(String::new()));
    assert_eq!(unregister_controller(&on, other).await?, gone);
    let why = "Controller ID 99 is not currently registered.";
    let unknown = (ErrorCode::CONTROLLER_ID_NOT_REGISTERED, Some(why.to_owned()));
    assert_eq!(unregister_controller(&on, 99).await?, unknown);
    until_gone_again(&on, other).await?;
    on.kill_broker(other).await?;
    // The first may come before it has registered once more.
    unregister_controller(&on, other).await?;
    let why = format!("Controller ID {other} is not currently registered.");
    let unknown = (ErrorCode::CONTROLLER_ID_NOT_REGISTERED, Some(why));
    assert_eq!(unregister_controller(&on, other).await?, unknown);
    on.start_broker(other).await?;
    until_gone_again(&on, other).await
}

/// Waits until the controller is registered, and has it forgotten.
async fn until_gone_again(on: &Target, controller: i32) -> Result {
    while unregister_controller(on, controller).await?.0 != ErrorCode::NONE {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn active_controller(on: &Target) -> Result<i32> {
    let topic = message!(TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![Default::default()]
    });
    let ask = message!(DescribeQuorumRequest { topics: vec![topic] });
    let mut any = Connection::open(on.address()).await?;
    let Response::DescribeQuorum(told) = any.call(ask, 0).await? else {
        return Err("another answer than DescribeQuorum's".into());
    };
    let partition = told.topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition.ok_or("no partition")?.leader_id)
}

async fn unregister_controller(
    on: &Target,
    controller_id: i32,
) -> Result<(ErrorCode, Option<String>)> {
    let ask = message!(UnregisterControllerRequest { controller_id: controller_id });
    let mut any = Connection::open(on.address()).await?;
    let Response::UnregisterController(told) = any.call(ask, 0).await? else {
        return Err("another answer than UnregisterController's".into());
    };
    Ok((told.error_code, told.error_message.map(|why| why.to_string())))
}

async fn unregister(on: &Target, broker: i32) -> Result<(ErrorCode, Option<String>)> {
    let ask = message!(UnregisterBrokerRequest { broker_id: broker });
    let mut any = Connection::open(on.address()).await?;
    let Response::UnregisterBroker(told) = any.call(ask, 0).await? else {
        return Err("another answer than UnregisterBroker's".into());
    };
    Ok((told.error_code, told.error_message.map(|why| why.to_string())))
}

/// The brokers that clients are sent to.
async fn listed(on: &Target) -> Result<Vec<i32>> {
    let ask = message!(MetadataRequest { topics: Some(Vec::new()) });
    let Response::Metadata(told) = Connection::open(on.address()).await?.call(ask, 4).await? else {
        return Err("another answer than Metadata's".into());
    };
    Ok(told.brokers.iter().map(|broker| broker.node_id).collect())
}

/// The brokers that the controller knows, be they fenced or not.
async fn known(on: &Target) -> Result<Vec<i32>> {
    let ask = message!(DescribeClusterRequest { include_fenced_brokers: true });
    let mut any = Connection::open(on.address()).await?;
    let Response::DescribeCluster(told) = any.call(ask, 2).await? else {
        return Err("another answer than DescribeCluster's".into());
    };
    Ok(told.brokers.iter().map(|broker| broker.broker_id).collect())
}
