//! The tutorials' experiment: how long one member of a group takes for a topic of three partitions, and how long three
//! do. Each record takes a while to work off, as it is the work that is shared out.
//!
//! ```text
//! cargo run -p milena --example speed_up [SERVERS]
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{Consumer, Kafka, Record};
use milena_broker::Broker;
use tokio::task::JoinSet;
use tokio::time::Instant;

const RECORDS: usize = 300;
const WORK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(servers) => compare(&servers, WORK).await?,
        None => {
            let broker = Broker::builder().topic("parallel-test", 3).start().await?;
            compare(&broker.bootstrap_servers(), WORK).await?
        }
    };
    Ok(())
}

/// What each member read, alone and with two others.
async fn compare(servers: &str, work: Duration) -> milena::Result<[Vec<usize>; 2]> {
    let kafka = milena::connect(servers).await?;
    let producer = kafka.producer().build().await?;
    for number in 0..RECORDS {
        let partition = i32::try_from(number % 3).unwrap_or(0);
        let record = Record::to("parallel-test").partition(partition).value(number.to_string());
        producer.send(record).detach();
    }
    producer.close(PATIENCE).await?;
    let (alone, one) = timed(&kafka, "one-member", 1, work).await?;
    let (together, three) = timed(&kafka, "three-members", 3, work).await?;
    println!("1 member: {alone:?}; 3 members: {together:?}, each {three:?}");
    println!("{:.1} times as fast", alone.as_secs_f64() / together.as_secs_f64());
    Ok([one, three])
}

/// How long `members` take, from when all of them have their partitions, and what each read.
async fn timed(
    kafka: &Kafka,
    group: &str,
    members: usize,
    work: Duration,
) -> milena::Result<(Duration, Vec<usize>)> {
    let mut consumers = Vec::new();
    for _ in 0..members {
        let consumer = kafka.consumer(group).subscribe(["parallel-test"]).max_poll_records(10);
        let consumer = consumer.auto_offset_reset(OffsetReset::Earliest);
        consumers.push(consumer.build().await?);
    }
    assemble(&mut consumers).await?;
    let begun = Instant::now();
    let left = Arc::new(AtomicUsize::new(RECORDS));
    let mut running = JoinSet::new();
    for consumer in consumers {
        running.spawn(read(consumer, Arc::clone(&left), work));
    }
    let mut counts = Vec::new();
    while let Some(done) = running.join_next().await {
        counts.push(done.map_err(|panic| milena::Error::misuse(panic.to_string()))??);
    }
    Ok((begun.elapsed(), counts))
}

/// Polls until each member has its share, with everything paused, so that none begins early.
async fn assemble(consumers: &mut [Consumer]) -> milena::Result<()> {
    let share = 3 / consumers.len();
    loop {
        let mut ready = 0;
        for consumer in &mut *consumers {
            let handle = consumer.handle();
            handle.pause(handle.assignment().await?).await.ok();
            consumer.poll(Duration::from_millis(10)).await?;
            ready += usize::from(handle.assignment().await?.len() == share);
        }
        if ready == consumers.len() {
            break;
        }
    }
    for consumer in &*consumers {
        let handle = consumer.handle();
        let partitions = handle.assignment().await?;
        handle.seek_to_beginning(partitions.clone()).await?;
        handle.resume(partitions).await?;
    }
    Ok(())
}

async fn read(
    mut consumer: Consumer,
    left: Arc<AtomicUsize>,
    work: Duration,
) -> milena::Result<usize> {
    let mut count = 0;
    while left.load(Ordering::Relaxed) > 0 {
        for _message in &consumer.poll(Duration::from_millis(50)).await? {
            tokio::time::sleep(work).await;
            count += 1;
            left.fetch_sub(1, Ordering::Relaxed);
        }
    }
    consumer.close(PATIENCE).await?;
    Ok(count)
}

#[cfg(test)]
#[tokio::test]
async fn three_members_share_what_one_reads_alone() {
    let broker = Broker::builder().topic("parallel-test", 3).start().await.expect("a free port");
    let servers = broker.bootstrap_servers();
    let [one, three] = compare(&servers, Duration::ZERO).await.expect("nothing is wrong");
    assert_eq!((one, three), (vec![300], vec![100, 100, 100]));
}
