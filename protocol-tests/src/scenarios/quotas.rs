//! Brokers that ask for silence (KIP-219).

use std::sync::Arc;
use std::time::Duration;

use milena::{Kafka, NodeId, Producer, Record, TopicPartition};
use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;
use milena_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use milena_wire::messages::{AlterClientQuotasRequest, MetadataRequest};
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};
use crate::user::create;

/// Rounds of silence.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// Those whose quotas are set over the protocol (KIP-546).
pub(super) fn fits(on: &Target) -> bool {
    on.choice().brokers >= 3 && on.speaks(ApiKey::ALTER_CLIENT_QUOTAS)
}

/// Quotas of addresses came with KIP-612. One broker alone, as brokers connect to each other too.
pub(super) fn fits_one(on: &Target) -> bool {
    on.choice().brokers == 1 && *on.version() >= Version::of(2, 8, 0)
}

/// Quotas of changes came with KIP-599.
pub(super) fn fits_changes(on: &Target) -> bool {
    *on.version() >= Version::of(2, 8, 0)
}

/// For a record that waits for a silence to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections a second, of which ten seconds' worth are free.
const CONNECTIONS: u32 = 2;

/// Many times what is free, which the broker may learn of late.
const CONNECTIONS_MAX: usize = 400;

/// Bytes a second; each broker counts for itself, over its last ten seconds or so.
const QUOTA: u32 = 20_000;

/// Ten seconds too many for the quota.
const LARGE_BYTES: usize = 400_000;

/// How often a machine may stand still at the wrong moment.
const ROUNDS_MAX: usize = 10;

pub(super) async fn a_broker_that_asks_for_silence_gets_it_and_others_do_not(
    on: Arc<Target>,
) -> Result {
    let topic = on.unique("quota");
    let builder = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
    let kafka = builder.client_id(&topic).connect().await?;
    create(&kafka, &on, &topic, 3).await?;
    let (silent, other) = two_leaders(&kafka, &topic).await?;
    let producer = kafka.producer().set("linger.ms", "0")?.build().await?;
    let to = |partition: i32, bytes| {
        Record::to(topic.as_str()).partition(partition).value(vec![b'x'; bytes])
    };
    // Leaders that have just been named refuse for a moment.
    for partition in [silent.0, other.0] {
        producer.send(to(partition, 1)).await?;
    }
    limit(&on, &topic).await?;
    for _ in 0..ROUNDS_MAX {
        let (began, asked) = silence(&producer, || to(silent.0, LARGE_BYTES)).await?;
        let sent = producer.metrics().batches_sent;
        let waiting = producer.send(to(silent.0, 1)).enqueue().await?;
        producer.send(to(other.0, 1)).await?;
        let sent = producer.metrics().batches_sent - sent;
        let is_telling = began.elapsed() < asked;
        waiting.await?;
        assert!(began.elapsed() >= asked, "{:?} of {asked:?}", began.elapsed());
        if is_telling {
            assert_eq!(sent, 1, "what the silent broker is to get waits here");
            producer.close(Duration::from_secs(30)).await?;
            return Ok(());
        }
    }
    Err("no record came through to the other broker within a silence".into())
}

/// Two partitions of different brokers, once all is known of the topic: brokers hear of it one by one.
async fn two_leaders(kafka: &Kafka, topic: &str) -> Result<((i32, NodeId), (i32, NodeId))> {
    loop {
        let (_, described) = kafka.admin().describe_topics([topic]).await?.remove(0);
        let partitions = described.map(|told| told.partitions().to_vec()).unwrap_or_default();
        let leaders = partitions.iter().filter_map(|at| Some((at.index, at.leader?)));
        let leaders: Vec<_> = leaders.collect();
        if let Some(first) = leaders.first()
            && let Some(other) = leaders.iter().find(|leader| leader.1 != first.1)
        {
            return Ok((*first, *other));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Has brokers ask this client for silence where it sends too much.
async fn limit(on: &Target, client_id: &str) -> Result {
    let mut controller = Connection::open(&on.controller_address().await?).await?;
    let value = Some(f64::from(QUOTA));
    alter(&mut controller, ("client-id", client_id), "producer_byte_rate", value).await
}

/// Sets a quota of somebody, or removes it.
async fn alter(
    controller: &mut Connection,
    (kind, name): (&str, &str),
    key: &str,
    value: Option<f64>,
) -> Result {
    let entity = message!(EntityData { entity_type: kind.into(), entity_name: Some(name.into()) });
    let op = message!(OpData {
        key: key.into(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    });
    let entry = message!(EntryData { entity: vec![entity], ops: vec![op] });
    let ask = message!(AlterClientQuotasRequest { entries: vec![entry] });
    let Response::AlterClientQuotas(told) = controller.call(ask, 0).await? else {
        return Err("another answer than AlterClientQuotas'".into());
    };
    assert_eq!(told.entries[0].error_code, ErrorCode::NONE, "{told:?}");
    Ok(())
}

/// Sends until the answer asks for silence: brokers hear of a quota one by one. Says when the last record was sent, and
/// how long a silence was asked for.
async fn silence<'a>(
    producer: &Producer,
    record: impl Fn() -> Record<'a>,
) -> Result<(Instant, Duration)> {
    loop {
        let before = producer.metrics();
        let began = Instant::now();
        producer.send(record()).await?;
        let told = producer.metrics();
        if told.throttles > before.throttles {
            assert!(told.throttle_max > Duration::ZERO);
            return Ok((began, told.throttle_total - before.throttle_total));
        }
    }
}

pub(super) async fn who_connects_too_often_gets_nothing_and_is_closed(on: Arc<Target>) -> Result {
    let address = on.controller_address().await?;
    let mut controller = Connection::open(&address).await?;
    let (local, key) = (("ip", "127.0.0.1"), "connection_creation_rate");
    alter(&mut controller, local, key, Some(f64::from(CONNECTIONS))).await?;
    let began = Instant::now();
    let mut closed_after = None;
    for _ in 0..CONNECTIONS_MAX {
        let mut connection = Connection::open(&address).await?;
        let opened = Instant::now();
        if connection.call(MetadataRequest::default(), 4).await.is_err() {
            closed_after = Some(opened.elapsed());
            break;
        }
    }
    let took = began.elapsed();
    // Whoever was connected before is heard; who comes after, in the end.
    alter(&mut controller, local, key, None).await?;
    loop {
        let mut connection = Connection::open(&address).await?;
        if connection.call(MetadataRequest::default(), 4).await.is_ok() {
            break;
        }
    }
    let closed_after = closed_after.ok_or(format!("all were heard, in {took:?}"))?;
    assert!(closed_after < Duration::from_secs(10), "{closed_after:?}");
    Ok(())
}

/// Partitions a second that may be made and deleted, of which eleven seconds' worth are free.
const MUTATIONS: f64 = 10.0;

/// So many that the last waits for two seconds and more, each of as many partitions as come free in two.
const TOPICS: usize = 8;
const PARTITIONS: i32 = 20;

pub(super) async fn topics_beyond_the_mutation_quota_are_made_and_deleted_later(
    on: Arc<Target>,
) -> Result {
    let name = on.unique("mutated");
    let builder = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
    let kafka = builder.client_id(&name).connect().await?;
    let mut controller = Connection::open(&on.controller_address().await?).await?;
    let (client, key) = (("client-id", name.as_str()), "controller_mutation_rate");
    alter(&mut controller, client, key, Some(MUTATIONS)).await?;
    let topics: Vec<_> = (0..TOPICS).map(|n| format!("{name}-{n}")).collect();
    let began = Instant::now();
    for topic in topics.iter().map(String::as_str) {
        kafka.admin().create_topic(topic).partitions(PARTITIONS).replication_factor(1).await?;
    }
    // One topic's partitions may be made before the quota is known.
    let took = began.elapsed();
    assert!(took > Duration::from_millis(500), "nobody was told to wait, in {took:?}");
    let gone = kafka.admin().delete_topics(topics.iter().take(2).map(String::as_str)).await?;
    assert!(gone.iter().all(|(_, result)| result.is_ok()), "{gone:?}");
    alter(&mut controller, client, key, None).await?;
    kafka.admin().delete_topics(topics.iter().skip(2).map(String::as_str)).await?;
    Ok(())
}

/// Records of a thousand bytes that are twelve seconds' worth of the quota, of which ten are free.
const READ_QUOTA: f64 = 200_000.0;
const RECORDS: usize = 2_400;

pub(super) async fn a_reader_beyond_its_quota_gets_everything_later(on: Arc<Target>) -> Result {
    let name = on.unique("read");
    let builder = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
    let kafka = builder.client_id(&name).connect().await?;
    create(&kafka, &on, &name, 1).await?;
    let producer = kafka.producer().build().await?;
    for _ in 0..RECORDS {
        let record = Record::to(name.as_str()).partition(0).value(vec![b'x'; 1000]);
        drop(producer.send(record).enqueue().await?);
    }
    producer.close(Duration::from_secs(30)).await?;
    let mut controller = Connection::open(&on.controller_address().await?).await?;
    let (client, key) = (("client-id", name.as_str()), "consumer_byte_rate");
    alter(&mut controller, client, key, Some(READ_QUOTA)).await?;
    let mut throttled = Duration::ZERO;
    // Brokers hear of a quota one by one, and the first reading may be over before.
    while throttled.is_zero() {
        let all = [TopicPartition::new(name.as_str(), 0)];
        let reader = kafka.consumer_without_group().assign(all);
        let reader = reader.set("auto.offset.reset", "earliest")?;
        // Several answers, of which not the first is beyond the quota.
        let mut reader = reader.set("max.partition.fetch.bytes", "300000")?.build().await?;
        for offset in 0..RECORDS {
            let message = timeout(PATIENCE, reader.try_next()).await??.ok_or("closed")?;
            assert_eq!(usize::try_from(message.offset().get())?, offset);
        }
        throttled = reader.metrics().fetch.throttle_total;
        reader.close(PATIENCE).await?;
    }
    alter(&mut controller, client, key, None).await
}
