//! Reading from a replica that is near (KIP-392). Broker n is in rack n of three.

use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use milena_types::TopicPartition;
use milena_wire::Response;
use milena_wire::messages::FetchRequest;
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use tokio::time::{sleep, timeout};

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// The first version that carries racks.
const FETCH: i16 = 11;

/// Older brokers do not know it.
const SINCE: Version = Version::of(2, 3, 0);

const RECORDS: i64 = 100;

/// The first wait for a record: the follower may have to catch up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn fits(on: &Target) -> bool {
    on.choice().brokers == 3 && *on.version() >= SINCE
}

/// The leader gives those who are near another replica no records, so that whoever reads them all has them from there.
pub(super) async fn a_replica_in_the_reader_s_rack_is_read_from(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("near");
    create(&kafka, &on, &topic, 1).await?;
    let producer = kafka.producer().build().await?;
    for number in 0..RECORDS {
        let _delivery =
            producer.send(Record::to(&topic).value(number.to_string())).enqueue().await?;
    }
    producer.flush().await?;
    let leader = on.leader(&topic).await?;
    let near = leader % 3 + 1;
    let rack = format!("rack-{near}");
    let mut raw = Connection::open(&on.leader_address(&topic).await?).await?;
    loop {
        let Response::Fetch(told) = raw.call(fetch(&topic, &rack), FETCH).await? else {
            return Err("another answer than Fetch's".into());
        };
        let partition = &told.responses[0].partitions[0];
        if partition.preferred_read_replica == near {
            assert!(partition.records.as_ref().is_none_or(milena_wire::Records::is_empty));
            break;
        }
        // The follower has not caught up yet.
        sleep(Duration::from_millis(50)).await;
    }
    let consumer = kafka.consumer_without_group().assign([TopicPartition::new(&*topic, 0)]);
    let consumer = consumer.set("auto.offset.reset", "earliest")?.set("client.rack", &rack)?;
    let mut consumer = consumer.build().await?;
    for offset in 0..RECORDS {
        let message = timeout(PATIENCE, consumer.try_next()).await??;
        assert_eq!(message.ok_or("the consumer was closed")?.offset().get(), offset);
    }
    // What comes while it reads from there.
    producer.send(Record::to(&topic).value("later")).await?;
    let message = timeout(PATIENCE, consumer.try_next()).await??.ok_or("closed")?;
    assert_eq!(message.offset().get(), RECORDS);
    consumer.close(PATIENCE).await?;
    Ok(())
}

fn fetch(topic: &str, rack: &str) -> FetchRequest {
    let partition = message!(FetchPartition { partition: 0, partition_max_bytes: 1 << 20 });
    let topic = message!(FetchTopic { topic: topic.into(), partitions: vec![partition] });
    message!(FetchRequest {
        max_wait_ms: 100,
        min_bytes: 1,
        max_bytes: 10 << 20,
        session_epoch: -1,
        topics: vec![topic],
        rack_id: rack.into(),
    })
}
