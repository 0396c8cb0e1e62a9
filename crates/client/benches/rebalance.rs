//! How long does a group of 100 members take to share 1,000 partitions out anew: when it starts, when a member leaves,
//! and when one comes?
//!
//! ```sh
//! cargo bench -p milena --bench rebalance                       # all of it, some minutes
//! cargo bench -p milena --bench rebalance -- range hasty        # what each of these words is in
//! ```
//!
//! The embedded broker and all members are one process, over loopback; every member has connections and metadata of its
//! own. The clock runs until each partition has one owner, and each member its share, as the members' listeners heard.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use milena::{Consumer, ConsumerHandle, Kafka, RebalanceListener, TopicPartition};
use milena_broker::Broker;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const TOPIC: &str = "orders";

/// How groups agree, and the keys that make them.
const PROTOCOLS: [(&str, &[(&str, &str)]); 3] = [
    ("range", &[("partition.assignment.strategy", "range")]),
    ("cooperative-sticky", &[("partition.assignment.strategy", "cooperative-sticky")]),
    ("uniform", &[("group.protocol", "consumer"), ("group.remote.assignor", "uniform")]),
];

/// How often members are heard of.
const PACES: [&str; 2] = ["defaults", "hasty"];

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    // `cargo bench` passes the word. Without it, as from `cargo test --benches`, a small group shows that this works.
    let is_measured = std::env::args().any(|word| word == "--bench");
    let size = if is_measured { Size::MEASURED } else { Size::TRIED };
    for pace in PACES {
        for (name, keys) in PROTOCOLS {
            let plan = Plan { size, name, keys, pace };
            let label = plan.to_string();
            if words.iter().all(|word| label.contains(word.as_str())) {
                plan.measure().await?;
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Size {
    members: usize,
    partitions: i32,
    groups: usize,
    /// A member leaves and one comes so often, in each group.
    rounds: usize,
}

impl Size {
    const MEASURED: Self = Self { members: 100, partitions: 1000, groups: 3, rounds: 3 };
    const TRIED: Self = Self { members: 3, partitions: 12, groups: 1, rounds: 1 };
}

struct Plan {
    size: Size,
    name: &'static str,
    keys: &'static [(&'static str, &'static str)],
    pace: &'static str,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.pace)
    }
}

impl Plan {
    async fn measure(&self) -> Result<()> {
        let (mut start, mut leave, mut join) =
            (Figures::default(), Figures::default(), Figures::default());
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..self.size.groups {
            let mut group = Group::new(self).await?;
            start.push(group.start().await?);
            for _ in 0..self.size.rounds {
                // Members that began a generation together are heard of together: when one leaves has to differ.
                rest(&mut rng).await;
                leave.push(group.leave().await?);
                rest(&mut rng).await;
                join.push(group.join().await?);
            }
            group.end().await?;
        }
        let (members, partitions) = (self.size.members, self.size.partitions);
        println!("{self}: {members} members, {partitions} partitions; s, CPU s");
        println!("  all start    {start}\n  one leaves   {leave}\n  one comes    {join}");
        Ok(())
    }

    fn broker(&self) -> milena_broker::Builder {
        Broker::builder().topic(TOPIC, self.size.partitions).configure(|settings| {
            if self.pace == "defaults" {
                // Kafka's; the embedded broker's own is none.
                settings.initial_rebalance_delay = Duration::from_secs(3);
            } else {
                settings.consumer_groups.heartbeat_interval = HASTY;
                settings.consumer_groups.assignment_interval = Duration::ZERO;
            }
        })
    }

    async fn member(&self, servers: &str, views: &Arc<Views>, number: usize) -> Result<Consumer> {
        let kafka: Kafka = milena::connect(servers).await?;
        let mut consumer = kafka.consumer("billing").subscribe([TOPIC]);
        for (key, value) in self.keys {
            consumer = consumer.set(key, value)?;
        }
        // The coordinator says how often members of the consumer protocol are heard of.
        if self.pace == "hasty" && self.name != "uniform" {
            let interval = HASTY.as_millis().to_string();
            consumer = consumer.set("heartbeat.interval.ms", &interval)?;
        }
        let view = View { views: Arc::clone(views), number };
        Ok(consumer.on_rebalance(view).build().await?)
    }
}

/// Longer than Kafka's intervals, so that a member may be anywhere in one, and the least time between assignments is over.
async fn rest(rng: &mut fastrand::Rng) {
    sleep(Duration::from_millis(rng.u64(1500..6500))).await;
}

/// A group that runs.
struct Group<'a> {
    plan: &'a Plan,
    broker: Broker,
    views: Arc<Views>,
    members: Vec<Member>,
    members_ever: usize,
}

struct Member {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
}

impl<'a> Group<'a> {
    async fn new(plan: &'a Plan) -> Result<Self> {
        let broker = plan.broker().start().await?;
        let views = Arc::new(Views::new(plan.size.partitions));
        Ok(Self { plan, broker, views, members: Vec::new(), members_ever: 0 })
    }

    async fn start(&mut self) -> Result<Figure> {
        let begun = self.views.expect(self.plan.size.members);
        let servers = self.broker.bootstrap_servers();
        let mut consumers = JoinSet::new();
        let members = 0..self.plan.size.members;
        self.members_ever = members.end;
        for number in members {
            let (servers, views) = (servers.clone(), Arc::clone(&self.views));
            let Plan { size, name, keys, pace } = *self.plan;
            let plan = Plan { size, name, keys, pace };
            consumers.spawn(async move { plan.member(&servers, &views, number).await });
        }
        while let Some(consumer) = consumers.join_next().await {
            self.members.push(run(consumer??));
        }
        self.views.settled(begun).await
    }

    async fn leave(&mut self) -> Result<Figure> {
        let begun = self.views.expect(self.plan.size.members - 1);
        // The one that is longest there.
        let member = self.members.remove(0);
        let _ = member.stop.send(());
        let figure = self.views.settled(begun).await?;
        member.task.await??;
        Ok(figure)
    }

    async fn join(&mut self) -> Result<Figure> {
        let begun = self.views.expect(self.plan.size.members);
        let servers = self.broker.bootstrap_servers();
        let consumer = self.plan.member(&servers, &self.views, self.members_ever).await?;
        self.members_ever += 1;
        self.members.push(run(consumer));
        self.views.settled(begun).await
    }

    async fn end(self) -> Result<()> {
        for member in self.members {
            let _ = member.stop.send(());
            // What the others hear meanwhile is nobody's concern.
            let _ = member.task.await?;
        }
        Ok(())
    }
}

/// Polls until told to stop, and leaves.
fn run(mut consumer: Consumer) -> Member {
    let (stop, mut stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                polled = consumer.poll(Duration::from_secs(60)) => { polled?; }
            }
        }
        Ok(consumer.close(PATIENCE).await?)
    });
    Member { stop, task }
}

/// Who owns what, as the members' listeners heard.
struct Views {
    shares: Mutex<Shares>,
    changed: Notify,
}

struct Shares {
    owners: Vec<Option<usize>>,
    counts: BTreeMap<usize, usize>,
    expected: usize,
    /// Partitions that were given to one while another had them.
    doubled: usize,
    settled_at: Option<(Instant, f64)>,
}

impl Views {
    fn new(partitions: i32) -> Self {
        let owners = (0..partitions).map(|_| None).collect();
        let shares =
            Shares { owners, counts: BTreeMap::new(), expected: 0, doubled: 0, settled_at: None };
        Self { shares: Mutex::new(shares), changed: Notify::new() }
    }

    /// So many members are to share all partitions; the clock runs.
    fn expect(&self, members: usize) -> (Instant, f64) {
        self.change(|shares| {
            (shares.expected, shares.settled_at) = (members, None);
        });
        (Instant::now(), cpu_seconds())
    }

    fn change(&self, change: impl FnOnce(&mut Shares)) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shares);
        let is_settled = shares.is_settled();
        shares.settled_at = match shares.settled_at {
            Some(at) if is_settled => Some(at),
            _ => is_settled.then(|| (Instant::now(), cpu_seconds())),
        };
        drop(shares);
        self.changed.notify_one();
    }

    fn look(&self) -> Option<((Instant, f64), usize)> {
        let shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.settled_at.map(|at| (at, shares.doubled))
    }

    /// What it took since `begun`.
    async fn settled(&self, begun: (Instant, f64)) -> Result<Figure> {
        let settled = timeout(PATIENCE, async {
            loop {
                if let Some(settled) = self.look() {
                    break settled;
                }
                self.changed.notified().await;
            }
        });
        let ((at, cpu), doubled) = settled.await?;
        match doubled {
            0 => Ok(Figure { seconds: (at - begun.0).as_secs_f64(), cpu: cpu - begun.1 }),
            doubled => Err(format!("{doubled} partitions had two owners at a time").into()),
        }
    }
}

impl Shares {
    fn is_settled(&self) -> bool {
        let counts = || self.counts.values().copied();
        let is_even = counts().max().unwrap_or(0) <= counts().min().unwrap_or(0) + 1;
        let owned: usize = counts().sum();
        self.counts.len() == self.expected && owned == self.owners.len() && is_even
    }

    fn give(&mut self, number: usize, partitions: &[TopicPartition]) {
        for partition in partitions {
            let index = usize::try_from(partition.partition).unwrap_or(usize::MAX);
            if let Some(owner) = self.owners.get_mut(index) {
                self.doubled += usize::from(owner.replace(number).is_some());
                *self.counts.entry(number).or_default() += 1;
            }
        }
    }

    fn take(&mut self, number: usize, partitions: &[TopicPartition]) {
        for partition in partitions {
            let index = usize::try_from(partition.partition).unwrap_or(usize::MAX);
            if let Some(owner) = self.owners.get_mut(index).filter(|o| **o == Some(number)) {
                *owner = None;
                let count = self.counts.entry(number).or_default();
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&number);
                }
            }
        }
    }
}

/// One member's.
struct View {
    views: Arc<Views>,
    number: usize,
}

impl RebalanceListener for View {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.views.change(|shares| shares.give(self.number, partitions));
    }

    async fn revoked(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.views.change(|shares| shares.take(self.number, partitions));
    }

    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.views.change(|shares| shares.take(self.number, partitions));
    }
}

#[derive(Clone, Copy)]
struct Figure {
    seconds: f64,
    /// Of the whole process: all members and the broker.
    cpu: f64,
}

#[derive(Default)]
struct Figures(Vec<Figure>);

impl Figures {
    fn push(&mut self, figure: Figure) {
        self.0.push(figure);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = |of: fn(&Figure) -> f64| {
            let mut figures: Vec<_> = self.0.iter().map(of).collect();
            figures.sort_by(f64::total_cmp);
            figures
        };
        let (seconds, cpu) = (sorted(|figure| figure.seconds), sorted(|figure| figure.cpu));
        let median = |figures: &[f64]| figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN);
        let (least, most) = (seconds.first().unwrap_or(&f64::NAN), seconds.last());
        let most = most.unwrap_or(&f64::NAN);
        write!(f, "{:.3} ({least:.3} to {most:.3}), {:.2}", median(&seconds), median(&cpu))
    }
}

/// What the process has used so far, where the system tells; in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// So short that what is left is work.
const HASTY: Duration = Duration::from_millis(50);
/// For one rebalance, and a close.
const PATIENCE: Duration = Duration::from_secs(120);
