//! Workers of a share group: each job runs in a task of its own, a failed one is tried again, a hopeless one is given up.
//!
//! `cargo run --example share_workers -- localhost:9092 jobs` reads what
//! `kafka-console-producer --bootstrap-server localhost:9092 --topic jobs` writes; start it several times to share the
//! work. Jobs whose text has `fail` in it fail. Ends on Ctrl-C, and waits for the jobs that run.
#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::time::Duration;

use milena::ShareMessage;
use milena::config::{AcknowledgementMode, AcquireMode};
use tokio::task::JoinSet;

/// Jobs that run at once.
const AT_ONCE: u32 = 8;

/// A job that failed so often is given up.
const TRIES: u16 = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let servers = args.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let topic = args.next().unwrap_or_else(|| "jobs".to_owned());

    let kafka = milena::connect(&servers).await?;
    let workers = kafka
        .share_consumer("workers")
        .subscribe([&*topic])
        .share_acknowledgement_mode(AcknowledgementMode::Explicit)
        // No job is locked before there is someone to work on it.
        .share_acquire_mode(AcquireMode::RecordLimit)
        .max_poll_records(1)
        .on_acknowledged(|told| {
            if let Err(error) = &told.result {
                println!("{} {:?}: will come again: {error}", told.partition, told.offsets);
            }
        });
    let mut jobs = workers.build().await?;

    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            job = jobs.try_next(), if running.len() < AT_ONCE as usize => match job? {
                Some(job) => drop(running.spawn(work(job))),
                None => break,
            },
            Some(done) = running.join_next() => done?,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    while let Some(done) = running.join_next().await {
        done?;
    }
    jobs.close(Duration::from_secs(10)).await?;
    kafka.close(Duration::from_secs(1)).await;
    Ok(())
}

/// Works on a job, and holds its lock for as long as that takes.
async fn work(job: ShareMessage) {
    let text = String::from_utf8_lossy(job.value().unwrap_or_default()).into_owned();
    let mut done = std::pin::pin!(run(&text));
    let outcome = loop {
        tokio::select! {
            outcome = &mut done => break outcome,
            () = tokio::time::sleep(Duration::from_secs(10)) => job.renew(),
        }
    };
    println!(
        "{}@{}, try {}: {outcome:?}",
        job.topic_partition(),
        job.offset().get(),
        job.delivery_count()
    );
    match outcome {
        Ok(_) => job.accept(),
        Err(_) if job.delivery_count() < TRIES => job.release(),
        Err(_) => job.reject(),
    }
}

/// The work itself.
async fn run(text: &str) -> Result<usize, String> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    if text.contains("fail") { Err(format!("no luck with {text:?}")) } else { Ok(text.len()) }
}
