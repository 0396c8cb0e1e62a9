//! WriteTxnMarkers: ends of transactions past their coordinator, as an administrator sends them.

use milena_types::{ApiKey, Uuid};
use milena_wire::messages::describe_producers_request::TopicRequest;
use milena_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use milena_wire::messages::{DescribeProducersRequest, WriteTxnMarkersRequest};

use super::transactional_producer::{Producer, TOPIC};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

/// No other part of the script writes there.
const PARTITION: i32 = 4;

pub(super) async fn run(on: &mut Recorder) -> Result {
    let id = on.await_topic(TOPIC).await?;
    for version in on.versions(ApiKey::WRITE_TXN_MARKERS) {
        for transaction_version in [0, 2] {
            markers(on, id, version, transaction_version).await?;
        }
    }
    Ok(())
}

/// A producer that leaves a transaction open, and an administrator that ends it.
async fn markers(on: &mut Recorder, id: Uuid, version: i16, transaction_version: i8) -> Result {
    let name = format!("script-markers-{version}-{transaction_version}");
    let producer = Producer::begin(on, &name).await?;
    let marker = |epoch: i16, coordinator_epoch: i32, topic: &str, partition: i32| {
        let topic = message!(WritableTxnMarkerTopic {
            name: topic.into(),
            partition_indexes: vec![partition],
        });
        let mut marker = message!(WritableTxnMarker {
            producer_id: producer.id,
            producer_epoch: epoch,
            coordinator_epoch: coordinator_epoch,
            topics: vec![topic],
        });
        if version >= 2 {
            marker.transaction_version = transaction_version;
        }
        message!(WriteTxnMarkersRequest { markers: vec![marker] })
    };
    let what = |what: &str| format!("{what}, transaction version {transaction_version}");
    on.ask(&what("not there"), version, marker(0, 0, "not-there", 0)).await?;
    on.ask(&what("an unknown partition"), version, marker(0, 0, TOPIC, 99)).await?;
    producer.write(on, id, PARTITION, "open").await?;
    on.ask(&what("of the open epoch"), version, marker(0, 0, TOPIC, PARTITION)).await?;
    on.ask(&what("of the next epoch"), version, marker(1, 0, TOPIC, PARTITION)).await?;
    on.ask(&what("the same again"), version, marker(1, 0, TOPIC, PARTITION)).await?;
    on.ask(&what("of the old epoch"), version, marker(0, 0, TOPIC, PARTITION)).await?;
    on.ask(&what("of a later coordinator"), version, marker(2, 5, TOPIC, PARTITION)).await?;
    on.ask(&what("of an earlier coordinator"), version, marker(3, 4, TOPIC, PARTITION)).await?;
    let topic = message!(TopicRequest { name: TOPIC.into(), partition_indexes: vec![PARTITION] });
    let ask = message!(DescribeProducersRequest { topics: vec![topic] });
    // The coordinator knows of none of this, and has the transaction open still.
    on.ask(&what("after the markers"), 0, ask).await.map(drop)
}
