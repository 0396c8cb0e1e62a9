//! Kafka's own console programs on one side, the shipped client on the other.

use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use tokio::time::timeout;

use super::clients::{CODECS, JSON};
use crate::Result;
use crate::target::Target;
use crate::user::{connect, create, read};

/// Several JVMs, one after the other.
pub(super) const LIMIT: Duration = Duration::from_secs(240);

pub(super) async fn what_java_writes_we_read(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("java-writes");
    create(&kafka, &on, &topic, 3).await?;
    let lines: String = JSON.iter().map(|(key, value, _)| format!("{key}:{value}\n")).collect();
    for codec in CODECS {
        let args = ["--topic", &topic, "--compression-codec", codec];
        let args = [&args[..], &["--property", "parse.key=true"]].concat();
        let args = [&args[..], &["--property", "key.separator=:"]].concat();
        on.tool("kafka-console-producer", &args, &lines).await?;
    }
    let rows = read(&kafka, &topic, 3, JSON.len() * CODECS.len()).await?;
    for (key, value, partition) in JSON {
        let same = rows.iter().filter(|row| {
            row.partition == partition
                && row.key.as_deref() == Some(key.as_bytes())
                && row.value.as_deref() == Some(value.as_bytes())
        });
        assert_eq!(same.count(), CODECS.len(), "{key}");
    }
    Ok(())
}

pub(super) async fn what_we_write_java_reads(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("java-reads");
    create(&kafka, &on, &topic, 3).await?;
    for codec in CODECS {
        let producer = kafka.producer().set("compression.type", codec)?.build().await?;
        for (key, value, _) in JSON {
            producer.send(Record::to(topic.as_str()).key(key).value(value)).await?;
        }
        producer.close(Duration::from_secs(30)).await?;
    }
    let count = (JSON.len() * CODECS.len()).to_string();
    let args = ["--topic", &topic, "--from-beginning", "--max-messages", &count];
    let args = [&args[..], &["--timeout-ms", "20000", "--property", "print.key=true"]].concat();
    let args = [&args[..], &["--property", "key.separator= => "]].concat();
    let read = on.tool("kafka-console-consumer", &args, "").await?;
    for (key, value, _) in JSON {
        let expected = format!("{key} => {value}");
        let same = read.lines().filter(|line| *line == expected).count();
        assert_eq!(same, CODECS.len(), "{key}\n{read}");
    }
    Ok(())
}

/// Three of our consumers in a group, as Kafka's own tool describes them.
pub(super) async fn our_group_is_described_by_java(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("java-group"), on.unique("our-group"));
    create(&kafka, &on, &topic, 3).await?;
    let producer = kafka.producer().build().await?;
    for partition in 0..3 {
        for number in 0..5 {
            let record = Record::to(topic.as_str()).value(number.to_string());
            producer.send(record.partition(partition)).await?;
        }
    }
    producer.close(Duration::from_secs(30)).await?;

    let mut consumers = Vec::new();
    for _ in 0..3 {
        let builder = kafka.consumer(group.as_str()).subscribe([topic.as_str()]);
        consumers.push(builder.set("auto.offset.reset", "earliest")?.build().await?);
    }
    // All three poll until each has one partition and its five records are read.
    let mut members = tokio::task::JoinSet::new();
    let (stop, _) = tokio::sync::watch::channel(false);
    for mut consumer in consumers {
        let mut stopped = stop.subscribe();
        members.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = stopped.changed() => break,
                    message = consumer.try_next() => { message?.ok_or("closed")?; }
                }
            }
            consumer.close(Duration::from_secs(30)).await?;
            Result::Ok(())
        });
    }
    let rows = async {
        loop {
            let told =
                on.tool("kafka-consumer-groups", &["--describe", "--group", &group], "").await?;
            let rows: Vec<Vec<String>> = told
                .lines()
                .filter(|line| line.starts_with(&group))
                .map(|line| line.split_whitespace().map(str::to_owned).collect())
                .collect();
            // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID
            let mut owners: Vec<_> = rows.iter().map(|row| row[6].clone()).collect();
            owners.sort();
            owners.dedup();
            if rows.len() == 3 && owners.len() == 3 && rows.iter().all(|row| row[5] == "0") {
                return Result::Ok(rows);
            }
        }
    };
    let rows =
        timeout(Duration::from_secs(50), rows).await.map_err(|_| "no lag of 0 in time")??;
    for row in rows {
        assert_eq!(
            (&row[1], &row[3], &row[4]),
            (&topic, &"5".to_owned(), &"5".to_owned()),
            "{row:?}"
        );
        assert!(row[7].starts_with('/'), "{row:?}");
    }
    stop.send(true)?;
    while let Some(ended) = members.join_next().await {
        ended??;
    }
    let told = on.try_tool("kafka-consumer-groups", &["--describe", "--group", &group], "").await?;
    assert!(
        told.stderr.contains("has no active members") || told.stdout.contains("has no active"),
        "{told:?}"
    );
    Ok(())
}
