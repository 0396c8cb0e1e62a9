//! A program that reads one topic in a group, writes another, and is meant to be killed.
//!
//! It says `stalled` on its standard output where it waits to be killed, between its two steps, and `done` when it has
//! read everything.

use std::time::Duration;

use clap::{Args, ValueEnum};
use milena::{Batch, Consumer, Kafka, Producer, Record};

use crate::Result;

/// What is to be copied, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Where the brokers are.
    #[arg(long)]
    pub(crate) bootstrap_servers: String,
    /// From which topic.
    #[arg(long)]
    pub(crate) source: String,
    /// To which topic.
    #[arg(long)]
    pub(crate) target: String,
    /// In which group, and under which transactional id.
    #[arg(long)]
    pub(crate) group: String,
    /// What is promised.
    #[arg(long)]
    pub(crate) guarantee: Guarantee,
    /// After how many whole batches it waits to be killed; never if this is left out.
    #[arg(long)]
    pub(crate) stall_after: Option<usize>,
}

/// What a copy promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "that is how people call them")]
pub(crate) enum Guarantee {
    AtLeastOnce,
    AtMostOnce,
    ExactlyOnce,
}

/// Small enough for many batches, which the records of a test are to make.
const BATCH: &str = "10";

/// Of a member that was killed; brokers allow no less.
const SESSION: &str = "6000";

const POLL: Duration = Duration::from_millis(500);

const GRACE: Duration = Duration::from_secs(30);

/// Copies until the end of the topic.
pub(crate) async fn copy(plan: &Plan) -> Result {
    let kafka = milena::connect(plan.bootstrap_servers.as_str()).await?;
    let consumer = kafka.consumer(plan.group.as_str()).subscribe([plan.source.as_str()]);
    let consumer = consumer.set("auto.offset.reset", "earliest")?.set("max.poll.records", BATCH)?;
    let consumer =
        consumer.set("session.timeout.ms", SESSION)?.set("heartbeat.interval.ms", "1000")?;
    let mut consumer = consumer.set("enable.auto.commit", "false")?.build().await?;
    match plan.guarantee {
        Guarantee::ExactlyOnce => transform(&kafka, &mut consumer, plan).await?,
        Guarantee::AtLeastOnce | Guarantee::AtMostOnce => {
            two_steps(&kafka, &mut consumer, plan).await?;
        }
    }
    consumer.close(GRACE).await?;
    println!("done");
    Ok(())
}

async fn two_steps(kafka: &Kafka, consumer: &mut Consumer, plan: &Plan) -> Result {
    let producer = kafka.producer().build().await?;
    let mut batches = 0;
    loop {
        let batch = consumer.poll(POLL).await?;
        if batch.is_empty() {
            if is_at_end(consumer).await? {
                break;
            }
            continue;
        }
        let stalls = plan.stall_after == Some(batches);
        if plan.guarantee == Guarantee::AtLeastOnce {
            write(&producer, &batch, plan).await?;
            stall_if(stalls).await;
            batch.commit().await?;
        } else {
            batch.commit().await?;
            stall_if(stalls).await;
            write(&producer, &batch, plan).await?;
        }
        batches += 1;
    }
    Ok(producer.close(GRACE).await?)
}

async fn write(producer: &Producer, batch: &Batch, plan: &Plan) -> Result {
    let records = batch
        .iter()
        .map(|message| Record::to(plan.target.as_str()).value(message.value().unwrap_or_default()));
    for outcome in producer.enqueue_all(records).await.await.iter() {
        outcome?;
    }
    Ok(())
}

async fn transform(kafka: &Kafka, consumer: &mut Consumer, plan: &Plan) -> Result {
    let producer = kafka.producer().transactional_id(plan.group.as_str());
    let mut producer = producer.build_transactional().await?;
    let mut batches = 0;
    loop {
        let stalls = plan.stall_after == Some(batches);
        let copied = producer.transform(consumer, POLL, async |transaction, batch| {
            for message in batch {
                let record = Record::to(plan.target.as_str());
                // Acknowledged, so that it lies in the log when the program is killed.
                transaction.send(record.value(message.value().unwrap_or_default())).await?;
            }
            stall_if(stalls).await;
            Ok::<_, milena::Error>(())
        });
        if copied.await? > 0 {
            batches += 1;
        } else if is_at_end(consumer).await? {
            break;
        }
    }
    Ok(producer.close(GRACE).await?)
}

async fn stall_if(stalls: bool) {
    if stalls {
        println!("stalled");
        std::future::pending::<()>().await;
    }
}

/// Whether everything of every partition was handed out.
async fn is_at_end(consumer: &Consumer) -> Result<bool> {
    let lag = consumer.handle().lag();
    Ok(!lag.is_empty() && lag.values().all(|lag| *lag == Some(0)))
}
