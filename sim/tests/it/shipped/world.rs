//! One world, run to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use milena::Kafka;
use milena_broker::Broker;
use milena_sim::history::{Call, CallKind, GroupEnd, History, Log, Promises, Stored, Value};
use milena_types::{NodeId, Timestamp, TopicPartition};
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::network::Network;
use super::plan::{BUFFER_BYTES, Plan, REQUEST_TIMEOUT, ROUGH, Trouble};
use super::reader::{Held, Reader};
use super::writer::write;

pub(super) const TOPIC: &str = "orders";
pub(super) const GROUP: &str = "g";

/// Timers count whole milliseconds, and whoever is woken has to be polled.
pub(super) const SLACK: Duration = Duration::from_millis(50);

/// What came of a world.
pub(super) struct Run {
    pub(super) history: History,
    pub(super) promises: Promises,
    /// Equal for equal runs: every request, batch and read is in it, with its time.
    pub(super) hash: u64,
}

/// Runs the world of a seed, in a thread of its own: what the client keeps by thread is not to outlast a world.
pub(super) fn run(seed: u64) -> Run {
    let world = move || {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live(seed))
    };
    thread::spawn(world).join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// What all users write down, and the cluster.
#[derive(Clone)]
pub(super) struct Shared {
    history: Arc<Mutex<History>>,
    broker: Arc<Broker>,
    start: Instant,
    is_over: Arc<AtomicBool>,
    pub(super) partitions: i32,
}

impl Shared {
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns once all is read that is to be. A channel would wake its receivers in any order.
    pub(super) async fn over(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut History) -> T) -> T {
        work(&mut self.history.lock().unwrap())
    }

    /// Notes that something was called; which call it is.
    pub(super) fn call(&self, what: CallKind, client: usize, deadline: Duration) -> usize {
        let call = Call { what, client, invoked: self.now(), deadline, returned: None };
        self.with(|history| {
            history.calls.push(call);
            history.calls.len() - 1
        })
    }

    pub(super) fn returned(&self, call: usize, is_good: bool) {
        let at = self.now();
        self.with(|history| history.calls[call].returned = Some((at, is_good)));
    }

    /// Notes the commits that were taken since it was asked last: no sooner than they were.
    pub(super) fn note_commits(&self) {
        let at = self.now();
        let known = self.with(|history| history.stored.len());
        let new: Vec<_> = self.broker.with(|cluster, _| {
            let commits = cluster.journal().commits().skip(known);
            let stored = commits.map(|commit| Stored {
                at,
                of: commit.partition.clone(),
                offset: commit.committed.offset,
            });
            stored.collect()
        });
        self.with(|history| history.stored.extend(new));
    }
}

/// The number that a record carries.
pub(super) fn value(text: &[u8]) -> Value {
    Value(std::str::from_utf8(text).unwrap().parse().unwrap())
}

async fn live(seed: u64) -> Run {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::draw(&mut rng);
    let builder = Broker::builder().nodes(plan.nodes.unsigned_abs() as usize);
    let builder = builder.topic(TOPIC, plan.partitions).seed(rng.u64(..)).wall_clock(WALL);
    let builder = builder.configure(|settings| {
        settings.consumer_groups.session_timeout = Duration::from_secs(6);
        settings.consumer_groups.heartbeat_interval = Duration::from_secs(1);
    });
    let broker = Arc::new(builder.start_in_memory().await.unwrap());
    let network = Network::new(plan.weather.clone(), rng.fork());
    let shared = Shared {
        history: Arc::default(),
        broker: Arc::clone(&broker),
        start: Instant::now(),
        is_over: Arc::default(),
        partitions: plan.partitions,
    };
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    let (mut held, mut kafkas) = (Vec::new(), Vec::new());
    let wait = plan.writers.iter().map(|writer| writer.delivery_timeout).max().unwrap();
    for (n, writer) in plan.writers.into_iter().enumerate() {
        let kafka = connect(&broker, &network, &mut rng).await;
        kafkas.push(kafka.clone());
        writers.spawn(write(n, writer, kafka, shared.clone(), rng.fork()));
    }
    for (n, reader) in plan.readers.into_iter().enumerate() {
        let kafka = connect(&broker, &network, &mut rng).await;
        kafkas.push(kafka.clone());
        held.push(Held::default());
        let reader = Reader {
            n: FIRST_READER + n,
            plan: reader,
            settings: plan.group.clone(),
            kafka,
            shared: shared.clone(),
            held: held[n].clone(),
            rng: rng.fork(),
        };
        readers.spawn(reader.run());
    }
    strike(&shared, plan.nodes, plan.troubles).await;
    network.calm();
    let calmed = shared.now();
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    rest(&shared, &held).await;
    shared.is_over.store(true, Ordering::Relaxed);
    let members = held.iter().enumerate();
    let held = members.map(|(n, held)| (FIRST_READER + n, held.partitions())).collect();
    let all = (0..plan.partitions).map(|partition| TopicPartition::new(TOPIC, partition));
    let group = GroupEnd { is_stable: true, held, partitions: all.collect() };
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    for kafka in kafkas {
        kafka.close(Duration::from_secs(5)).await;
    }
    shared.with(|history| {
        history.group = Some(group);
        history.faults_ended = calmed;
        history.lives = vec![logs(&broker, plan.partitions)];
    });
    let hash = trace(&shared);
    let healed = calmed + REQUEST_TIMEOUT + Duration::from_secs(30);
    let promises = Promises {
        idempotent: true,
        first_sequence: 0,
        ordered: true,
        acknowledged: true,
        truthful: true,
        refusals: false,
        // What a connection that was given up still carries may arrive behind the next one's.
        commits_in_order: false,
        // A user may commit what he has in hand.
        commits_what_is_done: false,
        knows_its_session: false,
        fenced_members: false,
        even_shares: false,
        read_committed: false,
        rivals: false,
        copies_once: false,
        bytes_arrive_whole: true,
        records_arrive_whole: true,
        counts_every_delivery: false,
        splits: false,
        buffer_memory: BUFFER_BYTES,
        // Nobody looks.
        fetched_memory: u64::MAX,
        in_flight: 5,
        faultless: false,
        healed,
        ample: Duration::from_secs(30),
        calm: Duration::from_secs(120) + wait,
        spin: (5_000, 2_000),
    };
    let history = std::mem::take(&mut *shared.history.lock().unwrap());
    Run { history, promises, hash }
}

/// Each has a client of its own. It is tried until it comes: the network is rough already.
async fn connect(broker: &Broker, network: &Network, rng: &mut Rng) -> Kafka {
    loop {
        let kafka = Kafka::builder().bootstrap_servers(&broker.bootstrap_servers());
        let kafka = kafka.in_process(network.dialer(broker)).seed(rng.u64(..));
        match kafka.connect().await {
            Ok(kafka) => return kafka,
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Does what is to go wrong, and then undoes it.
async fn strike(shared: &Shared, nodes: i32, troubles: Vec<(Duration, Trouble)>) {
    let mut reliefs: BTreeMap<(Duration, usize), (bool, NodeId)> = BTreeMap::new();
    let mut troubles = troubles.into_iter().peekable();
    let broker = &shared.broker;
    for turn in 0.. {
        let trouble = troubles.peek().map(|(at, _)| *at);
        let relief = reliefs.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = [trouble, relief].into_iter().flatten().min() else { break };
        sleep_until(shared.start + at).await;
        if relief == Some(at) {
            match reliefs.pop_first() {
                Some((_, (true, node))) => broker.restart_node(node).await.unwrap(),
                Some((_, (false, node))) => broker.resume_node(node),
                None => {}
            }
            continue;
        }
        match troubles.next() {
            Some((_, Trouble::Crash(node, lasts))) => {
                broker.crash_node(node);
                reliefs.insert((at + lasts, turn), (true, node));
            }
            Some((_, Trouble::Pause(node, lasts))) => {
                broker.pause_node(node);
                reliefs.insert((at + lasts, turn), (false, node));
            }
            Some((_, Trouble::Move(partition, node))) => {
                broker.move_leader(TOPIC, partition, node);
            }
            Some((_, Trouble::Rule(rule))) => {
                broker.add_fault(rule);
            }
            None => {}
        }
    }
    sleep_until(shared.start + ROUGH).await;
    for node in (1..=nodes).map(NodeId::new) {
        broker.restart_node(node).await.unwrap();
        broker.resume_node(node);
    }
    broker.clear_faults();
}

/// Waits until everything stored was read and each partition has one owner; notes when that was.
async fn rest(shared: &Shared, held: &[Held]) {
    let limit = shared.now() + Duration::from_secs(400);
    while shared.now() < limit {
        sleep(Duration::from_millis(500)).await;
        let logs = logs(&shared.broker, shared.partitions);
        let stored: usize = logs.values().map(Vec::len).sum();
        let read = shared.with(|history| {
            let places = history.reads.iter().map(|read| (&read.from, read.offset));
            places.collect::<BTreeSet<_>>().len()
        });
        let mut owned: Vec<_> = held.iter().flat_map(Held::partitions).collect();
        owned.sort();
        let is_whole = owned.len() == shared.partitions.unsigned_abs() as usize;
        if read == stored && is_whole && !owned.windows(2).any(|pair| pair[0] == pair[1]) {
            let at = shared.now();
            shared.with(|history| history.rested = Some(at));
            return;
        }
    }
}

fn logs(broker: &Broker, partitions: i32) -> BTreeMap<TopicPartition, Log> {
    let log = |partition| {
        let records = broker.records(TOPIC, partition).into_iter();
        let log = records.map(|record| (record.offset, value(&record.value.unwrap())));
        (TopicPartition::new(TOPIC, partition), log.collect())
    };
    (0..partitions).map(log).collect()
}

/// All that happened as one number.
fn trace(shared: &Shared) -> u64 {
    let journal = shared.broker.journal();
    let mut hasher = DefaultHasher::new();
    let mut of_second: BTreeMap<i64, u64> = BTreeMap::new();
    for request in journal.requests() {
        (request.at, request.node, request.api, request.correlation_id).hash(&mut hasher);
        *of_second.entry(request.at.millis() / 1_000).or_default() += 1;
    }
    for batch in journal.batches() {
        (batch.at, &batch.partition, batch.base_offset, batch.records).hash(&mut hasher);
    }
    shared.with(|history| {
        history.requests_per_second_max = of_second.into_values().max().unwrap_or_default();
        for read in &history.reads {
            (read.consumer, read.at, &read.from, read.offset).hash(&mut hasher);
        }
        for send in &history.sends {
            send.returned.iter().for_each(|(at, _)| at.hash(&mut hasher));
        }
    });
    hasher.finish()
}

/// Clients are numbered through: writers first.
const FIRST_READER: usize = 10;

/// Where the broker's clock starts, and when every record says it is from.
pub(super) const WALL: Timestamp = Timestamp::from_millis(1_767_225_600_000);
