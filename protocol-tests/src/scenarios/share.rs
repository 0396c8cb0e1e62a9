//! Share groups (KIP-932): our share consumers against every broker that has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::{Acknowledgement, Kafka, Record, ShareConsumer, ShareConsumerBuilder, ShareMessage};
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use tokio::time::{sleep, sleep_until, timeout};

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// Locks last 15 s at least on a real broker, and more than one runs out.
pub(super) const LIMIT: Duration = Duration::from_secs(180);

/// No record takes longer, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest that brokers allow unless they are set otherwise.
const LOCK: Duration = Duration::from_secs(15);

/// Renewals and record limits came with 4.2; share groups are switched on by themselves from there on.
pub(super) fn fits(on: &Target) -> bool {
    *on.version() >= Version::of(4, 2, 0)
}

/// Lets the group begin at the first record, with the shortest locks there are.
pub(super) async fn set_up_group(on: &Target, group: &str) -> Result {
    let config = |name: &str, value: &str| {
        message!(AlterableConfig { name: name.into(), value: Some(value.into()) })
    };
    let lock_ms = LOCK.as_millis().to_string();
    let configs =
        vec![config(OFFSET_RESET, "earliest"), config("share.record.lock.duration.ms", &lock_ms)];
    let resource = message!(AlterConfigsResource {
        resource_type: GROUP,
        resource_name: group.into(),
        configs: configs,
    });
    let ask = message!(IncrementalAlterConfigsRequest { resources: vec![resource] });
    let mut any = Connection::open(on.address()).await?;
    let Response::IncrementalAlterConfigs(told) = any.call(ask, 1).await? else {
        return Err("another answer than IncrementalAlterConfigs'".into());
    };
    for answer in told.responses {
        assert_eq!(answer.error_code, ErrorCode::NONE, "{:?}", answer.error_message);
    }
    // The controller has answered; the leader that reads it learns of it later.
    for address in on.bootstrap_servers().split(',') {
        while !begins_at_the_first(address, group).await? {
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn begins_at_the_first(address: &str, group: &str) -> Result<bool> {
    let resource = message!(DescribeConfigsResource {
        resource_type: GROUP,
        resource_name: group.into(),
        configuration_keys: Some(vec![OFFSET_RESET.into()]),
    });
    let ask = message!(DescribeConfigsRequest { resources: vec![resource] });
    let Response::DescribeConfigs(told) = Connection::open(address).await?.call(ask, 4).await?
    else {
        return Err("another answer than DescribeConfigs'".into());
    };
    let mut configs = told.results.iter().flat_map(|result| &result.configs);
    Ok(configs.any(|config| config.value.as_deref() == Some("earliest")))
}

/// How requests number a group's settings.
const GROUP: i8 = 32;

const OFFSET_RESET: &str = "share.auto.offset.reset";

/// A topic of one partition, a group set up for it, and a client.
async fn stage(on: &Target, name: &str) -> Result<(Kafka, String, String)> {
    let kafka = connect(on).await?;
    let (topic, group) = (on.unique(name), on.unique("share-group"));
    create(&kafka, on, &topic, 1).await?;
    set_up_group(on, &group).await?;
    Ok((kafka, topic, group))
}

/// A member that acknowledges by hand.
fn member(kafka: &Kafka, group: &str, topic: &str) -> Result<ShareConsumerBuilder> {
    let member = kafka.share_consumer(group).subscribe([topic]);
    Ok(member.set("share.acknowledgement.mode", "explicit")?)
}

pub(super) async fn write(kafka: &Kafka, topic: &str, numbers: std::ops::Range<usize>) -> Result {
    let producer = kafka.producer().build().await?;
    for number in numbers {
        let record = Record::to(topic).value(number.to_string());
        drop(producer.send(record).enqueue().await?);
    }
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}

async fn next(consumer: &mut ShareConsumer) -> Result<ShareMessage> {
    let message = timeout(PATIENCE, consumer.try_next()).await.map_err(|_| "no record")??;
    message.ok_or_else(|| "closed".into())
}

/// Takes `count` records, whatever number of polls that is.
async fn take(consumer: &mut ShareConsumer, count: usize) -> Result<Vec<ShareMessage>> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let messages = consumer.poll(PATIENCE).await?;
        assert!(!messages.is_empty(), "{} of {count}", taken.len());
        taken.extend(messages);
    }
    Ok(taken)
}

pub(super) fn text(message: &ShareMessage) -> String {
    String::from_utf8_lossy(message.value().unwrap_or_default()).into_owned()
}

/// Two members on one partition: what one accepted, the other never gets.
pub(super) async fn two_consumers_get_each_record_once(on: Arc<Target>) -> Result {
    let (kafka, topic, group) = stage(&on, "share-once").await?;
    let first = kafka.share_consumer(&group).subscribe([&*topic]).max_poll_records(5);
    let mut first = first.build().await?;
    let mut second = member(&kafka, &group, &topic)?.max_poll_records(5).build().await?;
    let producer = kafka.producer().build().await?;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut written, mut of_first, mut of_second) = (0, 0, 0);
    // In batches of one, which are what can be shared, until both have had some and all is done.
    while seen.len() < written || of_first < 20 || of_second < 20 {
        if seen.len() == written {
            for number in written..written + 20 {
                producer.send(Record::to(&*topic).value(number.to_string())).await?;
            }
            written += 20;
        }
        tokio::select! {
            polled = first.poll(PATIENCE) => for message in polled? {
                assert_eq!(message.delivery_count(), 1);
                *seen.entry(text(&message)).or_default() += 1;
                of_first += 1;
            },
            polled = second.poll(PATIENCE) => for message in polled? {
                assert_eq!(message.delivery_count(), 1);
                *seen.entry(text(&message)).or_default() += 1;
                of_second += 1;
                message.accept();
            },
        }
    }
    producer.close(PATIENCE).await?;
    first.commit().await?;
    second.commit().await?;
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    first.close(PATIENCE).await?;
    second.close(PATIENCE).await?;
    // A third finds nothing but what is new.
    let mut third = member(&kafka, &group, &topic)?.build().await?;
    write(&kafka, &topic, written..written + 1).await?;
    let message = next(&mut third).await?;
    assert_eq!(text(&message), written.to_string());
    message.accept();
    third.close(PATIENCE).await?;
    Ok(())
}

pub(super) async fn what_is_released_comes_again_and_what_is_rejected_does_not(
    on: Arc<Target>,
) -> Result {
    let (kafka, topic, group) = stage(&on, "share-again").await?;
    write(&kafka, &topic, 0..3).await?;
    let mut consumer = member(&kafka, &group, &topic)?.build().await?;
    for message in take(&mut consumer, 3).await? {
        assert_eq!(message.delivery_count(), 1);
        match &*text(&message) {
            "0" => message.accept(),
            "1" => message.release(),
            _ => message.reject(),
        }
    }
    consumer.commit().await?;
    let again = next(&mut consumer).await?;
    assert_eq!((&*text(&again), again.delivery_count()), ("1", 2));
    again.accept();
    consumer.commit().await?;
    write(&kafka, &topic, 3..4).await?;
    let last = next(&mut consumer).await?;
    assert_eq!((&*text(&last), last.delivery_count()), ("3", 1));
    last.accept();
    consumer.close(PATIENCE).await?;
    Ok(())
}

/// Nothing is said of a record: another member gets it, and what is said afterwards is told to be too late.
pub(super) async fn a_lock_that_runs_out_lets_the_record_go(on: Arc<Target>) -> Result {
    let (kafka, topic, group) = stage(&on, "share-lock").await?;
    write(&kafka, &topic, 0..1).await?;
    let told: Arc<Mutex<Vec<Acknowledgement>>> = Arc::default();
    let hear = Arc::clone(&told);
    let slow = member(&kafka, &group, &topic)?;
    let slow = slow.on_acknowledged(move |news| hear.lock().unwrap().push(news.clone()));
    let mut slow = slow.build().await?;
    let held = next(&mut slow).await?;
    assert_eq!(slow.handle().lock_timeout().await?, Some(LOCK));
    let mut other = member(&kafka, &group, &topic)?.build().await?;
    let message = next(&mut other).await?;
    assert_eq!((&*text(&message), message.delivery_count()), ("0", 2));
    message.accept();
    other.close(PATIENCE).await?;
    // The broker's lock began before the record came here. Of what another is done with, it takes any word.
    sleep_until(held.locked_until().into()).await;
    held.accept();
    _ = slow.commit().await;
    slow.close(PATIENCE).await?;
    let told = told.lock().unwrap();
    let failed = told.iter().filter(|told| told.result.is_err()).count();
    assert_eq!((told.len(), failed), (1, 1), "{told:?}");
    Ok(())
}

/// Held for twice as long as a lock lasts, and nobody else gets it.
pub(super) async fn a_renewed_lock_holds(on: Arc<Target>) -> Result {
    let (kafka, topic, group) = stage(&on, "share-renew").await?;
    write(&kafka, &topic, 0..1).await?;
    let mut worker = member(&kafka, &group, &topic)?.build().await?;
    let mut other = member(&kafka, &group, &topic)?.build().await?;
    let held = next(&mut worker).await?;
    let work = async {
        for _ in 0..10 {
            sleep(LOCK / 5).await;
            held.renew();
            worker.commit().await?;
        }
        held.accept();
        worker.commit().await
    };
    tokio::select! {
        worked = work => worked?,
        stolen = next(&mut other) => panic!("{:?}", stolen?),
    }
    write(&kafka, &topic, 1..2).await?;
    let message = next(&mut other).await?;
    assert_eq!((&*text(&message), message.delivery_count()), ("1", 1));
    message.accept();
    other.close(PATIENCE).await?;
    worker.close(PATIENCE).await?;
    Ok(())
}

/// One batch of records, of which a fetch may lock three and no more (KIP-1206).
pub(super) async fn a_record_limit_is_kept(on: Arc<Target>) -> Result {
    let (kafka, topic, group) = stage(&on, "share-limit").await?;
    let producer = kafka.producer().set("linger.ms", "1000")?.build().await?;
    for number in 0..20 {
        drop(producer.send(Record::to(&*topic).value(number.to_string())).enqueue().await?);
    }
    producer.close(PATIENCE).await?;
    let strict = member(&kafka, &group, &topic)?.max_poll_records(3);
    let mut strict = strict.set("share.acquire.mode", "record_limit")?.build().await?;
    let mut other = member(&kafka, &group, &topic)?.build().await?;
    let three = strict.poll(PATIENCE).await?;
    assert_eq!(three.iter().map(text).collect::<Vec<_>>(), ["0", "1", "2"]);
    // The other seventeen are free.
    let rest = take(&mut other, 17).await?;
    assert_eq!(text(&rest[0]), "3");
    three.into_iter().chain(rest).for_each(ShareMessage::accept);
    strict.close(PATIENCE).await?;
    other.close(PATIENCE).await?;
    Ok(())
}

/// Long before the locks would run out.
pub(super) async fn closing_releases_at_once(on: Arc<Target>) -> Result {
    let (kafka, topic, group) = stage(&on, "share-close").await?;
    write(&kafka, &topic, 0..10).await?;
    let mut first = member(&kafka, &group, &topic)?.build().await?;
    let held = take(&mut first, 10).await?;
    let locked_until = held[0].locked_until();
    first.close(PATIENCE).await?;
    let mut second = member(&kafka, &group, &topic)?.build().await?;
    let again = take(&mut second, 10).await?;
    let is_early = tokio::time::Instant::now().into_std() < locked_until;
    assert!(is_early || again.iter().all(|message| message.delivery_count() == 2));
    again.into_iter().for_each(ShareMessage::accept);
    drop(held);
    second.close(PATIENCE).await?;
    Ok(())
}

/// Markers of transactions are acknowledged as gaps: the group gets past them.
pub(super) async fn markers_and_gaps_are_passed_over(on: Arc<Target>) -> Result {
    let (kafka, topic, group) = stage(&on, "share-markers").await?;
    let producer = kafka.producer().transactional_id(on.unique("share-tx"));
    let mut producer = producer.build_transactional().await?;
    for (number, commits) in [(0, true), (1, false), (2, true)] {
        let transaction = producer.begin().await?;
        drop(transaction.send(Record::to(&*topic).value(number.to_string())).await?);
        if commits { transaction.commit().await? } else { transaction.abort().await? }
    }
    producer.close(PATIENCE).await?;
    write(&kafka, &topic, 3..4).await?;
    let mut consumer = member(&kafka, &group, &topic)?.build().await?;
    // Uncommitted records are handed out unless the group says otherwise.
    let all = take(&mut consumer, 4).await?;
    assert_eq!(all.iter().map(text).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    assert!(all.iter().any(|one| one.offset().get() > 3), "markers lie between");
    all.into_iter().for_each(ShareMessage::accept);
    consumer.close(PATIENCE).await?;
    let mut next_one = member(&kafka, &group, &topic)?.build().await?;
    write(&kafka, &topic, 4..5).await?;
    let message = next(&mut next_one).await?;
    assert_eq!((&*text(&message), message.delivery_count()), ("4", 1));
    message.accept();
    next_one.close(PATIENCE).await?;
    Ok(())
}

/// Workers that fail, are dropped, and come back: nothing is lost, and what was accepted never comes again.
pub(super) async fn many_workers_do_all_the_work(on: Arc<Target>) -> Result {
    const RECORDS: usize = 3_000;
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("share-many"), on.unique("share-group"));
    create(&kafka, &on, &topic, 3).await?;
    set_up_group(&on, &group).await?;
    write(&kafka, &topic, 0..RECORDS).await?;
    let done: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (kafka, topic, group) = (kafka.clone(), topic.clone(), group.clone());
        let done = Arc::clone(&done);
        workers.spawn(async move {
            let mut turn = 0_usize;
            while done.lock().unwrap().len() < RECORDS {
                turn += 1;
                // What is handed to nobody and released counts as delivered, and the fifth time is the last.
                let consumer = member(&kafka, &group, &topic)?.max_poll_records(100);
                let consumer = consumer.set("share.acquire.mode", "record_limit")?;
                let mut consumer = consumer.build().await?;
                let mut polls = 0;
                while polls < 5 && done.lock().unwrap().len() < RECORDS {
                    let messages = consumer.poll(Duration::from_secs(1)).await?;
                    polls += usize::from(!messages.is_empty());
                    for (place, message) in messages.into_iter().enumerate() {
                        // One in nine fails at first.
                        if message.delivery_count() == 1
                            && (place + worker + turn).is_multiple_of(9)
                        {
                            message.release();
                        } else {
                            let value = text(&message);
                            message.accept();
                            assert!(done.lock().unwrap().insert(value.clone()), "{value} twice");
                        }
                    }
                    consumer.commit().await?;
                }
                if turn.is_multiple_of(2) {
                    consumer.close(PATIENCE).await?;
                }
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    assert_eq!(done.lock().unwrap().len(), RECORDS);
    Ok(())
}
