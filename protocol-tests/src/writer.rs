//! A program that writes transactions and is meant to be killed.
//!
//! It says on its standard output what it knows of each: `begun`, then `committed`, `aborted` or `unknown`, with the
//! transaction's number and attempt.

use std::time::Duration;

use clap::Args;
use milena::{Error, Fate, Kafka, Record, TransactionOutcome, TransactionalProducer};

use crate::Result;

/// What is to be written.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Where the brokers are.
    #[arg(long)]
    pub(crate) bootstrap_servers: String,
    /// To which topic.
    #[arg(long)]
    pub(crate) topic: String,
    /// To how many partitions of it.
    #[arg(long)]
    pub(crate) partitions: i32,
    /// Whose transactions they are.
    #[arg(long)]
    pub(crate) transactional_id: String,
    /// The first transaction.
    #[arg(long)]
    pub(crate) from: usize,
    /// How often that was tried before.
    #[arg(long)]
    pub(crate) attempt: usize,
    /// The number behind the last transaction.
    #[arg(long)]
    pub(crate) until: usize,
    /// Records in each.
    #[arg(long)]
    pub(crate) records: usize,
    /// How long each is to take at least, in milliseconds.
    #[arg(long)]
    pub(crate) pace_ms: u64,
}

/// What became of a transaction.
enum Outcome {
    Committed,
    Aborted,
    Unknown,
}

/// How often a transaction pauses.
const STEPS: usize = 25;

/// A cluster of three goes on within seconds of a kill.
const PATIENCE: &str = "60000";

/// Writes them all, each again until it is committed.
pub(crate) async fn write(plan: &Plan) -> Result {
    let kafka = milena::connect(plan.bootstrap_servers.as_str()).await?;
    let mut producer = begin(&kafka, plan).await?;
    let (mut number, mut attempt) = (plan.from, plan.attempt);
    while number < plan.until {
        println!("begun {number} {attempt}");
        let tried = transaction(&mut producer, plan, number, attempt).await;
        let is_over = tried.as_ref().is_err_and(Error::is_fatal);
        let outcome = match tried {
            Ok(()) => Outcome::Committed,
            Err(error) => {
                eprintln!("{number} {attempt}: {error}");
                outcome_of(&producer, &error).await
            }
        };
        let word = match outcome {
            Outcome::Committed => "committed",
            Outcome::Aborted => "aborted",
            Outcome::Unknown => "unknown",
        };
        println!("{word} {number} {attempt}");
        if is_over || matches!(outcome, Outcome::Unknown) {
            producer = begin(&kafka, plan).await?;
        }
        if let Outcome::Committed = outcome {
            (number, attempt) = (number + 1, 0);
        } else {
            attempt += 1;
        }
    }
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}

async fn begin(kafka: &Kafka, plan: &Plan) -> Result<TransactionalProducer> {
    let builder = kafka.producer().transactional_id(plan.transactional_id.as_str());
    Ok(builder.set("max.block.ms", PATIENCE)?.build_transactional().await?)
}

async fn transaction(
    producer: &mut TransactionalProducer,
    plan: &Plan,
    number: usize,
    attempt: usize,
) -> std::result::Result<(), Error> {
    let transaction = producer.begin().await?;
    let pause = Duration::from_millis(plan.pace_ms) / u32::try_from(STEPS).unwrap_or(1);
    for record in 0..plan.records {
        let value = format!("{number}:{attempt}:{record}:{:.>80}", "");
        let partition = i32::try_from(record).unwrap_or(0) % plan.partitions;
        let record_to = Record::to(plan.topic.as_str()).partition(partition).value(value);
        transaction.send(record_to).enqueue().await?;
        if record % plan.records.div_ceil(STEPS) == 0 {
            tokio::time::sleep(pause).await;
        }
    }
    transaction.commit().await
}

/// What is certain after an error.
async fn outcome_of(producer: &TransactionalProducer, error: &Error) -> Outcome {
    if error.fate() != Fate::Unknown || error.is_abortable() {
        return Outcome::Aborted;
    }
    match producer.wait_for_end().await {
        Ok(Some(TransactionOutcome::Committed)) => Outcome::Committed,
        Ok(Some(TransactionOutcome::Aborted)) => Outcome::Aborted,
        Ok(None) | Err(_) => Outcome::Unknown,
    }
}
