//! The shipped consumer against every broker: what a fetch brings, whatever its limits are and whatever became of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use milena::{Consumer, Message, Offset, Record, TopicPartition};
use milena_types::{ApiKey, ErrorCode};
use milena_wire::messages::FetchRequest;
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use milena_wire::{Records, Response};
use tokio::time::{Instant, sleep, timeout};

use super::offsets::{Log, expect};
use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// A cleaner comes every fifteen seconds, and a topic is deleted some time after the answer.
pub(super) const LIMIT: Duration = Duration::from_secs(240);

/// A broker takes its time to come back.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(300);

/// From here on formats of records are no setting any more (KIP-724).
const ONE_FORMAT_SINCE: Version = Version::of(3, 0, 0);

const PATIENCE: Duration = Duration::from_secs(50);
const CLOSE: Duration = Duration::from_secs(30);

/// Where a topic says in which format its records are stored, and the newest tools can have it say so.
pub(super) fn has_formats(on: &Target) -> bool {
    let may_be_told = on.speaks(ApiKey::INCREMENTAL_ALTER_CONFIGS);
    on.embedded().is_none() && may_be_told && *on.version() < ONE_FORMAT_SINCE
}

async fn next(consumer: &mut Consumer) -> Result<Message> {
    let next = timeout(PATIENCE, consumer.try_next()).await.map_err(|_| "nothing comes")??;
    Ok(next.ok_or("the consumer was closed")?)
}

/// Alone in its answer, and with it the one behind it.
pub(super) async fn a_record_above_all_limits_is_read(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("above");
    create(&kafka, &on, &topic, 1).await?;
    let producer = kafka.producer().build().await?;
    let values = ["small".to_owned(), "x".repeat(500_000), "behind".to_owned()];
    for value in &values {
        producer.send(Record::to(topic.as_str()).partition(0).value(value.as_str())).await?;
    }
    producer.close(CLOSE).await?;
    let limits =
        [("max.partition.fetch.bytes", "1000"), ("fetch.max.bytes", "1000"), FROM_THE_START];
    let mut builder = kafka.consumer_without_group().assign([(topic.as_str(), 0)]);
    for (key, value) in limits {
        builder = builder.set(key, value)?;
    }
    let mut consumer = builder.build().await?;
    for value in &values {
        assert_eq!(next(&mut consumer).await?.value(), Some(value.as_bytes()));
    }
    Ok(consumer.close(CLOSE).await?)
}

const FROM_THE_START: (&str, &str) = ("auto.offset.reset", "earliest");

/// Answers end in the midst of a batch, of all partitions but the first in turn.
pub(super) async fn small_fetches_bring_everything_in_order(on: Arc<Target>) -> Result {
    const EACH: usize = 300;
    let kafka = connect(&on).await?;
    let topic = on.unique("small-fetches");
    create(&kafka, &on, &topic, 3).await?;
    let producer = kafka.producer().set("batch.size", "2000")?.set("compression.type", "lz4")?;
    let producer = producer.build().await?;
    for number in 0..3 * EACH {
        let (partition, value) = (i32::try_from(number % 3)?, format!("{number:0>50}"));
        let record = Record::to(topic.as_str()).partition(partition).value(value);
        drop(producer.send(record).enqueue().await?);
    }
    producer.close(CLOSE).await?;
    let all = (0..3).map(|partition| TopicPartition::new(topic.as_str(), partition));
    let builder = kafka.consumer_without_group().assign(all);
    let builder =
        builder.set("max.partition.fetch.bytes", "3000")?.set("fetch.max.bytes", "4000")?;
    let mut consumer = builder.set(FROM_THE_START.0, FROM_THE_START.1)?.build().await?;
    let mut ends = [0; 3];
    for _ in 0..3 * EACH {
        let record = next(&mut consumer).await?;
        let partition = usize::try_from(record.partition())?;
        let end = &mut ends[partition];
        assert_eq!(record.offset().get(), i64::try_from(*end)?, "of partition {partition}");
        let number = 3 * *end + partition;
        assert_eq!(record.value(), Some(format!("{number:0>50}").as_bytes()));
        *end += 1;
    }
    Ok(consumer.close(CLOSE).await?)
}

/// A fetch session is told what came and what went: what went is not read any more, and what came is.
pub(super) async fn partitions_come_to_a_session_and_go(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("sessions");
    create(&kafka, &on, &topic, 3).await?;
    let at = |partition: i32| TopicPartition::new(topic.as_str(), partition);
    let producer = kafka.producer().set("linger.ms", "0")?.build().await?;
    let builder = kafka.consumer_without_group().assign([at(0)]);
    let mut consumer = builder.set(FROM_THE_START.0, FROM_THE_START.1)?.build().await?;
    let mut ends = [0; 3];
    for (round, assigned) in
        [&[0][..], &[0, 1], &[0, 1, 2], &[2], &[1, 2], &[0], &[0, 1, 2]].into_iter().enumerate()
    {
        let positions = consumer.handle().positions();
        consumer.assign(assigned.iter().map(|&partition| at(partition))).await?;
        for &partition in assigned {
            // What stayed goes on where it was; what is new begins at the start, and is sent to its end.
            let index = usize::try_from(partition)?;
            if !positions.contains_key(&at(partition)) && ends[index] > 0 {
                let end = Offset::new(ends[index]).ok_or("a negative offset")?;
                consumer.handle().seek(at(partition), end).await?;
            }
        }
        for (partition, end) in (0..).zip(&mut ends) {
            let value = format!("{round}");
            producer.send(Record::to(topic.as_str()).partition(partition).value(value)).await?;
            *end += 1;
        }
        let mut wanted: BTreeMap<i32, i64> = BTreeMap::new();
        for &partition in assigned {
            wanted.insert(partition, ends[usize::try_from(partition)?] - 1);
        }
        while !wanted.is_empty() {
            let record = next(&mut consumer).await?;
            let last = wanted.get(&record.partition()).copied();
            assert!(last.is_some(), "{record:?} of {assigned:?} in round {round}");
            if last == Some(record.offset().get()) {
                assert_eq!(record.value(), Some(round.to_string().as_bytes()));
                wanted.remove(&record.partition());
            }
        }
    }
    producer.close(CLOSE).await?;
    Ok(consumer.close(CLOSE).await?)
}

/// What is deleted under a reader's feet is passed over, and said so by the offsets alone.
pub(super) async fn a_reader_goes_on_where_the_log_begins(on: Arc<Target>) -> Result {
    const START: i64 = 20;
    let log = Log::of(on, "under-feet", 0).await?;
    // Each is a batch of its own, and so an answer of its own; a reader that nobody takes from stops after a few.
    let value = |number: i64| format!("{number:0>40000}");
    let producer = log.kafka.producer().set("linger.ms", "0")?.build().await?;
    for number in 0..START {
        let record = Record::to(log.topic.as_str()).partition(0).value(value(number));
        producer.send(record).await?;
    }
    producer.close(CLOSE).await?;
    let builder = log.kafka.consumer_without_group().assign([log.tp()]);
    let builder = builder.set("fetch.max.bytes", "1")?.set("max.poll.records", "1")?;
    let mut consumer = builder.set(FROM_THE_START.0, FROM_THE_START.1)?.build().await?;
    assert_eq!(next(&mut consumer).await?.value(), Some(value(0).as_bytes()));
    log.delete_before(START).await?;
    log.fill(START, START + 5).await?;
    // What was fetched before comes still, in order; then what is there.
    let mut end = 1;
    let first = loop {
        let record = next(&mut consumer).await?;
        if record.offset().get() != end {
            break record;
        }
        assert_eq!(record.value(), Some(value(end).as_bytes()));
        end += 1;
        assert!(end < START, "all of it was read before it was deleted");
    };
    assert_eq!(first.offset().get(), START, "after {end} records");
    assert_eq!(first.value(), Some(START.to_string().as_bytes()));
    expect(&mut consumer, START + 1, START + 5).await?;
    Ok(consumer.close(CLOSE).await?)
}

/// Of each key the last record stays, and no offset moves.
pub(super) async fn a_compacted_log_is_read_over_its_gaps(on: Arc<Target>) -> Result {
    const KEYS: usize = 5;
    let kafka = connect(&on).await?;
    let topic = on.unique("compacted");
    let make = kafka.admin().create_topic(topic.as_str()).partitions(1).replication_factor(1);
    let make = make.config("cleanup.policy", "compact").config("segment.ms", "100");
    make.config("min.cleanable.dirty.ratio", "0.001").await?;
    let producer = kafka.producer().set("linger.ms", "0")?.build().await?;
    let mut values = BTreeMap::new();
    let mut sent = 0_usize;
    let deadline = Instant::now() + LIMIT - CLOSE;
    loop {
        for _ in 0..2 * KEYS {
            let (key, value) = (format!("key {}", sent % KEYS), format!("value {sent}"));
            let record = Record::to(topic.as_str()).partition(0);
            producer.send(record.key(key.as_str()).value(value.as_str())).await?;
            values.insert(key, value);
            sent += 1;
        }
        let builder = kafka.consumer_without_group().assign([(topic.as_str(), 0)]);
        let mut consumer = builder.set(FROM_THE_START.0, FROM_THE_START.1)?.build().await?;
        let (mut seen, mut count, mut last) = (BTreeMap::new(), 0, None);
        while last < Some(i64::try_from(sent)? - 1) {
            let record = next(&mut consumer).await?;
            let (key, value) = (text(record.key())?, text(record.value())?);
            assert!(last < Some(record.offset().get()), "{record:?} after {last:?}");
            assert_eq!(value, format!("value {}", record.offset()), "at its own place");
            last = Some(record.offset().get());
            count += 1;
            seen.insert(key, value);
        }
        consumer.close(CLOSE).await?;
        assert_eq!(seen, values, "each key's last value");
        if count < sent {
            break;
        }
        assert!(Instant::now() < deadline, "all {count} records are there still");
        sleep(Duration::from_millis(200)).await;
    }
    Ok(producer.close(CLOSE).await?)
}

fn text(bytes: Option<&[u8]>) -> Result<String> {
    Ok(std::str::from_utf8(bytes.unwrap_or_default())?.to_owned())
}

/// Formats 0, 1 and 2 in one log, as brokers that were upgraded have them.
pub(super) async fn three_formats_in_one_log_are_read(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("formats");
    create(&kafka, &on, &topic, 1).await?;
    let mut sent = 0;
    for (format, magic, codec) in [
        ("0.9.0", 0, "none"),
        ("0.9.0", 0, "gzip"),
        ("0.10.2", 1, "none"),
        ("0.10.2", 1, "lz4"),
        ("2.0", 2, "snappy"),
    ] {
        let setting = format!("message.format.version={format}");
        let alter = ["--alter", "--entity-type", "topics", "--entity-name", &topic];
        on.tool("kafka-configs", &[&alter[..], &["--add-config", &setting]].concat(), "").await?;
        let producer = kafka.producer().set("compression.type", codec)?;
        // Before format 2 nobody is idempotent.
        let producer = producer.set("enable.idempotence", "false")?.build().await?;
        let record = |number: i64| Record::to(&*topic).partition(0).value(number.to_string());
        // The setting comes to the broker some time after the tool has gone.
        let deadline = Instant::now() + PATIENCE;
        loop {
            producer.send(record(sent)).await?;
            sent += 1;
            if stored_formats(&on, &topic, sent - 1).await? == [magic].into() {
                break;
            }
            assert!(Instant::now() < deadline, "the broker stores no format {magic}");
            sleep(Duration::from_millis(100)).await;
        }
        let first = sent;
        for _ in 0..20 {
            drop(producer.send(record(sent)).enqueue().await?);
            sent += 1;
        }
        producer.flush().await?;
        producer.close(CLOSE).await?;
        assert_eq!(stored_formats(&on, &topic, first).await?, [magic].into(), "from {first} on");
    }
    assert_eq!(stored_formats(&on, &topic, 0).await?, [0, 1, 2].into(), "in the whole log");
    let builder = kafka.consumer_without_group().assign([(topic.as_str(), 0)]);
    let mut consumer = builder.set(FROM_THE_START.0, FROM_THE_START.1)?.build().await?;
    expect(&mut consumer, 0, sent).await?;
    Ok(consumer.close(CLOSE).await?)
}

/// The formats that a topic's first partition has from an offset on, as they are stored.
async fn stored_formats(on: &Target, topic: &str, offset: i64) -> Result<BTreeSet<u8>> {
    // The first version for which a broker converts nothing to an older format.
    const FETCH: i16 = 4;
    // Where every format has them.
    const SIZE: usize = 8;
    const BODY: usize = 12;
    const MAGIC: usize = 16;
    let partition = message!(FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20 });
    let asked = message!(FetchTopic { topic: topic.into(), partitions: vec![partition] });
    let ask = message!(FetchRequest { max_bytes: 1 << 20, topics: vec![asked] });
    let mut leader = Connection::open(&on.leader_address(topic).await?).await?;
    let Response::Fetch(mut told) = leader.call(ask, FETCH).await? else {
        return Err("another answer than Fetch's".into());
    };
    let partition = told.responses.remove(0).partitions.remove(0);
    assert_eq!(partition.error_code, ErrorCode::NONE);
    let mut bytes = partition.records.map(Records::into_bytes).unwrap_or_default();
    let mut formats = BTreeSet::new();
    while !bytes.is_empty() {
        formats.insert(bytes[MAGIC]);
        let size = u32::from_be_bytes(bytes[SIZE..BODY].try_into()?);
        bytes.advance(BODY + usize::try_from(size)?);
    }
    Ok(formats)
}

/// While the broker that it reads from is killed and comes back.
pub(super) async fn a_reader_outlives_a_killed_leader(on: Arc<Target>) -> Result {
    let log = Log::of(Arc::clone(&on), "reader-kill", 1_000).await?;
    let mut consumer = log.reader("earliest").await?;
    expect(&mut consumer, 0, 500).await?;
    let leader = on.leader(&log.topic).await?;
    on.kill_broker(leader).await?;
    log.fill(1_000, 2_000).await?;
    expect(&mut consumer, 500, 1_500).await?;
    on.start_broker(leader).await?;
    log.fill(2_000, 2_500).await?;
    expect(&mut consumer, 1_500, 2_500).await?;
    Ok(consumer.close(CLOSE).await?)
}
