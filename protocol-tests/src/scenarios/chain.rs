//! Numbered records pass through three groups in a row whose members come, quit and stay, while connections are cut: each
//! group reads each record once and in order.

use std::error::Error;
use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use milena::{Kafka, Record};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::consumer_groups::{hasten, is_spoken};
use super::{classic_groups, transactions};
use crate::Result;
use crate::ledger::{Doubt, Ledger, value_of};
use crate::link::{BATCH, BUFFER, Link};
use crate::mortal::Reaper;
use crate::target::{NEWEST, Target};
use crate::user::{connect, create, end_offsets};

/// Enough for several rebalances in the midst of it.
const RECORDS: usize = 20_000;

/// Of each kind, where three JVMs share two cores with the members of several chains.
const REAL_RECORDS: usize = 5_000;

/// Chains at a time, so that not each of them waits by itself for members who never heard their ids.
const AT_ONCE: usize = 4;

/// A thousand full polls for each group, five times those of the short form: for what comes up once in hundreds.
const LONG_RECORDS: usize = 500_000;

/// Seconds on an idle machine.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// All kinds, four at a time.
pub(super) const KINDS_LIMIT: Duration = Duration::from_secs(900);

/// The long form, in a build for debugging.
pub(super) const LONG_LIMIT: Duration = Duration::from_secs(1800);

const PARTITIONS: i32 = 6;

/// Groups in a row.
const LEVELS: usize = 3;

/// What the members of a chain have in common.
#[derive(Clone, Copy, Debug)]
struct Kind {
    strategy: Option<&'static str>,
    is_static: bool,
    is_transactional: bool,
}

const RANGE: Kind = classic("range");
const STICKY: Kind = classic("sticky");
const COOPERATIVE: Kind = classic("cooperative-sticky");
const CONSUMER: Kind = Kind { strategy: None, ..RANGE };

const fn classic(strategy: &'static str) -> Kind {
    Kind { strategy: Some(strategy), is_static: false, is_transactional: false }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.strategy.unwrap_or("consumer protocol"))?;
        for (is_so, word) in [(self.is_static, "static"), (self.is_transactional, "transactional")]
        {
            if is_so {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}

impl Kind {
    const fn with_names(self) -> Self {
        Self { is_static: true, ..self }
    }

    const fn in_transactions(self) -> Self {
        Self { is_transactional: true, ..self }
    }
}

/// One scenario a kind, short and long.
macro_rules! chains {
    ($($name:ident: $kind:expr;)*) => {
        $(pub(super) async fn $name(on: Arc<Target>) -> Result {
            pass(on, $kind, RECORDS).await
        })*

        pub(super) mod long {
            use super::*;

            $(pub(in crate::scenarios) async fn $name(on: Arc<Target>) -> Result {
                pass(on, $kind, LONG_RECORDS).await
            })*
        }
    };
}

chains! {
    range_groups_read_each_record_once: RANGE;
    sticky_groups_read_each_record_once: STICKY;
    cooperative_groups_read_each_record_once: COOPERATIVE;
    consumer_groups_read_each_record_once: CONSUMER;
    static_members_read_each_record_once: COOPERATIVE.with_names();
    static_consumer_groups_read_each_record_once: CONSUMER.with_names();
    transactions_of_range_groups_are_exact: RANGE.in_transactions();
    transactions_of_sticky_groups_are_exact: STICKY.in_transactions();
    transactions_of_cooperative_groups_are_exact: COOPERATIVE.in_transactions();
    transactions_of_consumer_groups_are_exact: CONSUMER.in_transactions();
    transactions_of_static_members_are_exact: COOPERATIVE.with_names().in_transactions();
    transactions_of_static_consumer_groups_are_exact: CONSUMER.with_names().in_transactions();
}

pub(super) async fn groups_of_each_kind_read_each_record_once(on: Arc<Target>) -> Result {
    let named = [COOPERATIVE.with_names(), CONSUMER.with_names()];
    let kinds = [RANGE, STICKY, COOPERATIVE, CONSUMER].into_iter().chain(named);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut chains = JoinSet::new();
    for kind in kinds.flat_map(|kind| [kind, kind.in_transactions()]) {
        let (on, turns) = (Arc::clone(&on), Arc::clone(&turns));
        chains.spawn(async move {
            let _turn = turns.acquire().await?;
            let passed = pass(on, kind, REAL_RECORDS).await;
            passed.map_err(|e| Box::<dyn Error + Send + Sync>::from(format!("{kind}: {e}")))
        });
    }
    while let Some(ended) = chains.join_next().await {
        ended??;
    }
    Ok(())
}

/// Where the chains of the classic protocol run; the other clusters' groups are no different.
pub(super) fn fits(on: &Target) -> bool {
    let has_enough = on.embedded().is_some() || on.choice().brokers >= 3;
    has_enough
        && *on.version() >= classic_groups::STATIC_SINCE
        && *on.version() >= transactions::MEMBERS_SINCE
}

/// Where those of the consumer protocol do.
pub(super) fn consumer_fits(on: &Target) -> bool {
    fits(on) && is_spoken(on)
}

/// Kafka of the newest release, with connections that are cut.
pub(super) fn is_real(on: &Target) -> bool {
    let is_newest = *on.version() >= NEWEST && on.choice().transaction_version.is_none();
    consumer_fits(on) && is_newest && on.embedded().is_none()
}

/// Where chains that take seconds are part of the suite.
pub(super) fn is_brief(on: &Target) -> bool {
    fits(on) && on.embedded().is_some()
}

/// Where no connection is cut besides.
pub(super) fn is_brief_and_uncut(on: &Target) -> bool {
    is_brief(on) && on.choice().brokers == 1 && on.choice().transaction_version.is_none()
}

/// Passes `records` through the chain. Where there are three brokers, every connection is cut.
async fn pass(on: Arc<Target>, kind: Kind, records: usize) -> Result {
    let started = Instant::now();
    let reaper = Reaper::default();
    let cuts = on.choice().brokers >= 3;
    let kafka = connect(&on).await?;
    let stem = on.unique("chain");
    let topics: Vec<String> = (0..=LEVELS).map(|level| format!("{stem}-{level}")).collect();
    for topic in &topics {
        create(&kafka, &on, topic, PARTITIONS).await?;
    }
    let (mut links, mut doubts) = (Vec::new(), Vec::new());
    for (level, ends) in topics.windows(2).enumerate() {
        let group = format!("{stem}-group-{level}");
        hasten(&on, &group, SESSION_MS).await?;
        let doubt = Arc::new(Doubt::default());
        doubts.push(Arc::clone(&doubt));
        links.push(Arc::new(Link {
            ledger: Ledger::new(group.as_str(), records),
            settings: settings(kind, records),
            source: ends[0].clone(),
            target: ends[1].clone(),
            is_static: kind.is_static,
            is_transactional: kind.is_transactional,
            doubt,
            group,
        }));
    }

    let mut tasks = JoinSet::new();
    let mut members = 0;
    let client = async || if cuts { reaper.connect(&on).await } else { connect(&on).await };
    let head = client().await?;
    tasks.spawn(produce(head, topics[0].clone(), kind, records));
    // Some stay, and some quit at once or soon; later the same again.
    let is_long = records > RECORDS;
    let patience = started + if is_long { LONG_LIMIT } else { LIMIT } - GRACE;
    let waves = if is_long { [3, 3] } else { [2, 1] };
    let quits = [[&[Some(0), Some(2)][..], &[Some(2)], &[]], [&[Some(1)], &[Some(0)], &[]]];
    for ((stay, quits), later) in waves.into_iter().zip(quits).zip([None, Some(records / 3)]) {
        while later.is_some_and(|count| links[0].ledger.count() < count) {
            watch(&mut tasks, &links, patience).await?;
        }
        for (link, quits) in links.iter().zip(quits) {
            for quits_after in quits.iter().copied().chain(iter::repeat_n(None, stay)) {
                let (link, member) = (Arc::clone(link), client().await?);
                members += 1;
                let number = members;
                tasks.spawn(async move { link.run(member, number, quits_after).await });
            }
        }
    }
    while !tasks.is_empty() {
        watch(&mut tasks, &links, patience).await?;
    }
    let took = started.elapsed();

    // What the last group has written, and that nothing else is anywhere.
    let last = Ledger::new("the last topic", records);
    let level = if kind.is_transactional { "read_committed" } else { "read_uncommitted" };
    last.take_in(&kafka, &topics[LEVELS], PARTITIONS, level, GRACE).await?;
    for (level, ledger) in links.iter().map(|link| &link.ledger).chain([&last]).enumerate() {
        ledger.settle(&doubts[..LEVELS.min(level + 1)])?;
    }
    let in_doubt =
        |levels: usize| -> usize { doubts[..levels].iter().map(|doubt| doubt.count()).sum() };
    for (level, topic) in topics.iter().enumerate().filter(|_| !kind.is_transactional) {
        let end = usize::try_from(end_offsets(&kafka, topic, PARTITIONS).await?)?;
        let most = records + in_doubt(level);
        assert!(
            (records..=most).contains(&end),
            "{end} records in {topic}, not {records} to {most}"
        );
    }
    let in_doubt = in_doubt(LEVELS);
    let may_doubt = cuts && kind.strategy.is_none();
    assert!(may_doubt || in_doubt == 0, "{in_doubt} copies are in doubt, in {kind}");
    println!(
        "            {kind}: {records} records, {LEVELS} groups, {members} members, {:.1} s; connections cut: {}, in doubt: {in_doubt}",
        took.as_secs_f64(),
        reaper.cut(),
    );
    Ok(())
}

/// Looks after the tasks for a moment, and does so till `patience` ends.
async fn watch(tasks: &mut JoinSet<Result>, links: &[Arc<Link>], patience: Instant) -> Result {
    ended(tasks)?;
    if Instant::now() > patience {
        let reports: Vec<_> = links.iter().map(|link| link.ledger.report()).collect();
        return Err(format!("{} are at work still: {reports:?}", tasks.len()).into());
    }
    sleep(Duration::from_millis(20)).await;
    Ok(())
}

/// Looks after the tasks that have ended.
fn ended(tasks: &mut JoinSet<Result>) -> Result {
    while let Some(ended) = tasks.try_join_next() {
        ended??;
    }
    Ok(())
}

fn settings(kind: Kind, records: usize) -> Vec<(&'static str, String)> {
    let most = (records / 200).clamp(50, 500).to_string();
    let mut settings = vec![("max.poll.records", most), ("fetch.max.bytes", FETCH.to_owned())];
    match kind.strategy {
        None => settings.push(("group.protocol", "consumer".to_owned())),
        Some(strategy) => settings.extend([
            ("partition.assignment.strategy", strategy.to_owned()),
            ("heartbeat.interval.ms", "300".to_owned()),
            ("session.timeout.ms", SESSION_MS.to_string()),
        ]),
    }
    settings
}

/// Fills the first topic in the order of keys.
async fn produce(kafka: Kafka, topic: String, kind: Kind, records: usize) -> Result {
    let builder = kafka.producer().set("buffer.memory", BUFFER)?.set("batch.size", BATCH)?;
    let row = |key: String| (value_of(&key), key);
    let rows: Vec<_> = (0..records).map(|key| row(key.to_string())).collect();
    if kind.is_transactional {
        let builder = builder.transactional_id(topic.as_str()).set("max.block.ms", "300000")?;
        let builder = builder.set("transaction.timeout.ms", "300000")?;
        let mut producer = builder.build_transactional().await?;
        for rows in rows.chunks(records.div_ceil(12)) {
            let transaction = producer.begin().await?;
            for rows in rows.chunks(CHUNK) {
                transaction.enqueue_all(rows.iter().map(|row| record(&topic, row))).await?;
            }
            transaction.commit().await?;
        }
        producer.close(GRACE).await?;
    } else {
        let producer = builder.set("max.block.ms", "300000")?.build().await?;
        for rows in rows.chunks(CHUNK) {
            let rows = rows.iter().map(|row| record(&topic, row));
            for outcome in producer.enqueue_all(rows).await.await.iter() {
                outcome?;
            }
        }
        producer.close(GRACE).await?;
    }
    kafka.close(GRACE).await;
    Ok(())
}

fn record<'a>(topic: &'a str, (value, key): &'a (String, String)) -> Record<'a> {
    Record::to(topic).key(key.as_str()).value(value.as_str())
}

/// Few enough to be admitted within `max.block.ms`, which counts for all that are enqueued at once.
const CHUNK: usize = 1_000;

/// Nobody is to lose his session for his connections' sake. On the embedded broker members of the consumer protocol have
/// six seconds, whatever this says (see [`hasten`]).
const SESSION_MS: u32 = 45_000;

/// Some polls' worth.
const FETCH: &str = "100000";

const GRACE: Duration = Duration::from_secs(60);
