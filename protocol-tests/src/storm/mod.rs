//! A storm: records are produced, copied in transactions and read by groups while brokers and connections break, and in
//! the end each record is looked for where it was said to be.

mod harm;
mod judge;
mod proxy;
mod stages;
mod weather;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::harm::Harms;
use self::stages::Stages;
use self::weather::{Until, Weather, harm};
use crate::Result;
use crate::target::Target;
use crate::user::connect;

/// How much, for how long, and which.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How long things break, and records are sent, in seconds.
    #[arg(long, default_value_t = 1_800)]
    pub(crate) seconds: u64,
    /// How many records are sent.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) records: usize,
    /// What is drawn; any, if this is left out.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

const PARTITIONS: i32 = 6;

/// Members of each group, one of them with more to do.
const COPIERS: usize = 2;
const READERS: usize = 4;

/// How long the last records may take when all is well, brokers that have just come back included; of a long storm a third
/// of it, as there is more to catch up with.
const CALM_MIN: Duration = Duration::from_secs(240);

/// How often it is told how far everyone is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Sends, copies, reads and breaks by `plan`, then counts.
///
/// # Errors
/// What must not be; and that something never happened that a storm is made of: then it proves nothing about that.
pub(crate) async fn run(on: Arc<Target>, plan: Plan) -> Result {
    let (call_off, called_off) = watch::channel(false);
    let held = hold(on, plan, called_off).await;
    // Who breaks brokers leaves none broken, and is waited for. He hears of it also where this future is dropped.
    call_off.send_replace(true);
    call_off.closed().await;
    held
}

async fn hold(on: Arc<Target>, plan: Plan, called_off: watch::Receiver<bool>) -> Result {
    let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("            seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let over = Duration::from_secs(plan.seconds);
    let kafka = connect(&on).await?;
    let stages = Arc::new(Stages::prepare(&on, &kafka, plan.records).await?);
    on.await_in_sync(&[&stages.source, &stages.target]).await?;

    let (harms, weather) = (Arc::new(Harms::default()), Arc::new(Weather::default()));
    let started = Instant::now();
    let end = started + over;
    let mut tasks = JoinSet::new();
    let client = async || Result::Ok((Arc::clone(&stages), proxy::connect(&on, &harms).await?));
    let (all, head) = client().await?;
    tasks.spawn(async move { all.produce(head, over).await });
    for number in 0..COPIERS {
        let (all, kafka) = client().await?;
        tasks.spawn(async move { all.copy(kafka, number).await });
    }
    for _ in 0..READERS {
        let (all, kafka) = client().await?;
        tasks.spawn(async move { all.read(kafka).await });
    }
    let (at, blows, all) = (Arc::clone(&on), Arc::clone(&weather), Arc::clone(&stages));
    let (drawn, until) = (rng.fork(), Until { end, called_off });
    // A task of its own, that is not dropped with the others.
    let blowing = tokio::spawn(async move { blows.blow(&at, &all, drawn, until).await });
    tasks.spawn(async move { blowing.await? });
    let (harmed, drawn) = (Arc::clone(&harms), rng.fork());
    tasks.spawn(async move { harm(harmed, drawn, end).await });

    let mut told = started;
    while !tasks.is_empty() {
        while let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        let now = Instant::now();
        if now >= told + TOLD_EVERY {
            told = now;
            println!(
                "            {:>5} s: {stages}; {weather}; {harms}",
                (now - started).as_secs()
            );
        }
        if now > end + CALM_MIN.max(over / 3) {
            let missed = stages.acknowledged.missed_by(&stages.read);
            return Err(format!("{} are at work still: {missed}", tasks.len()).into());
        }
        sleep(Duration::from_millis(100)).await;
    }
    let took = started.elapsed();
    let found = judge::judge(&on, &kafka, &stages).await?;
    println!("            {:.1} s, seed {seed}: {stages}; {weather}; {harms}", took.as_secs_f64());
    println!("            seen by users: {}", stages.troubles);
    println!("            {found}");
    let missing = [weather.missing(), harms.missing()].concat();
    if !missing.is_empty() {
        return Err(format!("not a storm: 0 {}", missing.join(", 0 ")).into());
    }
    Ok(())
}
