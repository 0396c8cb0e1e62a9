//! Workers of a share group: each job runs in a task of its own, a failed one is tried again, a hopeless one is given up.
//!
//! ```text
//! cargo run -p milena --example share_workers                         ten jobs on an embedded broker
//! cargo run -p milena --example share_workers localhost:9092 jobs     what `kafka-console-producer` writes to `jobs`
//! ```
//!
//! On a cluster of yours, start it several times to share the work. Jobs whose text has `fail` in it fail. Ends on Ctrl-C,
//! and waits for the jobs that run.
#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::time::Duration;

use milena::config::{AcknowledgementMode, AcquireMode};
use milena::{Kafka, Record, ShareMessage};
use milena_broker::Broker;
use tokio::task::JoinSet;

/// Jobs that run at once.
const AT_ONCE: usize = 8;

/// A job that failed so often is given up.
const TRIES: u16 = 3;

const JOBS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let takes = Duration::from_millis(200);
    let tally = match &*arguments {
        [] => show(takes, asked_to_end()).await?,
        [servers, topic] => {
            let kafka = milena::connect(servers).await?;
            work_off(&kafka, topic, takes, usize::MAX, asked_to_end()).await?
        }
        _ => return Err("name servers and a topic, or nothing".into()),
    };
    println!("{} jobs done, {} given up", tally.done, tally.given_up);
    Ok(())
}

async fn asked_to_end() {
    let _ = tokio::signal::ctrl_c().await;
}

/// Ten jobs, of which one is hopeless.
async fn show(takes: Duration, end: impl Future<Output = ()>) -> Result<Tally, Box<dyn Error>> {
    let broker = Broker::builder().topic("jobs", 1).start().await?;
    let kafka = milena::connect(&broker.bootstrap_servers()).await?;
    let place_jobs = async {
        // A new group begins at the end of its topics: what is written before it looks there is none of its.
        while broker.share_partition("workers", "jobs", 0).is_none_or(|jobs| jobs.start.is_none()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let producer = kafka.producer().build().await?;
        for number in 0..JOBS {
            let text = if number == 3 { "fail".to_owned() } else { format!("job {number}") };
            producer.send(Record::to("jobs").value(text)).detach();
        }
        producer.close(PATIENCE).await
    };
    tokio::select! {
        tally = work_off(&kafka, "jobs", takes, JOBS, end) => Ok(tally?),
        // Once the jobs are placed the work goes on; where it ends before, nobody waits for them.
        Err(error) = place_jobs => Err(error.into()),
    }
}

#[derive(Debug, Default, Eq, PartialEq)]
struct Tally {
    done: usize,
    given_up: usize,
}

/// Works until `end`, or until so many jobs are done or given up.
async fn work_off(
    kafka: &Kafka,
    topic: &str,
    takes: Duration,
    jobs_max: usize,
    end: impl Future<Output = ()>,
) -> milena::Result<Tally> {
    let workers = kafka
        .share_consumer("workers")
        .subscribe([topic])
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
    let (mut tally, mut running) = (Tally::default(), JoinSet::new());
    // One future for the whole loop: one for each turn would miss what comes between two of them.
    let mut end = std::pin::pin!(end);
    while tally.done + tally.given_up < jobs_max {
        tokio::select! {
            biased;
            () = &mut end => break,
            job = jobs.try_next(), if running.len() < AT_ONCE => match job? {
                Some(job) => drop(running.spawn(work(job, takes))),
                None => break,
            },
            Some(ended) = running.join_next() => tally.count(ended),
        }
    }
    while let Some(ended) = running.join_next().await {
        tally.count(ended);
    }
    jobs.close(PATIENCE).await?;
    Ok(tally)
}

#[derive(Debug)]
enum Outcome {
    Done,
    Again,
    GivenUp,
}

impl Tally {
    fn count(&mut self, ended: Result<Outcome, tokio::task::JoinError>) {
        match ended {
            Ok(Outcome::Done) => self.done += 1,
            Ok(Outcome::GivenUp) => self.given_up += 1,
            Ok(Outcome::Again) => {}
            // Nothing was said of it: it comes again when its lock runs out, or this consumer closes.
            Err(panicked) => println!("{panicked}"),
        }
    }
}

/// Works on a job, and holds its lock for as long as that takes.
async fn work(job: ShareMessage, takes: Duration) -> Outcome {
    let text = String::from_utf8_lossy(job.value().unwrap_or_default()).into_owned();
    let mut run = std::pin::pin!(run(&text, takes));
    let result = loop {
        tokio::select! {
            result = &mut run => break result,
            () = tokio::time::sleep(Duration::from_secs(10)) => job.renew(),
        }
    };
    let outcome = match result {
        Ok(()) => Outcome::Done,
        Err(()) if job.delivery_count() < TRIES => Outcome::Again,
        Err(()) => Outcome::GivenUp,
    };
    let (place, offset) = (job.topic_partition(), job.offset());
    println!("{place}@{offset}, {text:?}, try {}: {outcome:?}", job.delivery_count());
    match outcome {
        Outcome::Done => job.accept(),
        Outcome::Again => job.release(),
        Outcome::GivenUp => job.reject(),
    }
    outcome
}

/// The work itself.
async fn run(text: &str, takes: Duration) -> Result<(), ()> {
    tokio::time::sleep(takes).await;
    if text.contains("fail") { Err(()) } else { Ok(()) }
}

#[cfg(test)]
#[tokio::test]
async fn a_hopeless_job_is_given_up_and_all_others_are_done() {
    let tally = show(Duration::ZERO, std::future::pending()).await.expect("nothing is wrong");
    assert_eq!(tally, Tally { done: 9, given_up: 1 });
}

/// It waited for a group that had nobody left.
#[cfg(test)]
#[tokio::test]
async fn who_is_asked_to_end_before_there_is_a_job_ends() {
    let tally = show(Duration::ZERO, std::future::ready(())).await.expect("nothing is wrong");
    assert_eq!(tally, Tally::default());
}
