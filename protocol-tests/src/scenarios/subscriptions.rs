//! Members that change what they subscribe to, again and again, against every broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use milena::{ConsumerHandle, Kafka, RebalanceListener, TopicPartition};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::consumer_groups::hasten;
use crate::Result;
use crate::target::Target;
use crate::user::{connect, create};

/// Many rebalances, each as long as the slowest member takes.
pub(super) const LIMIT: Duration = Duration::from_secs(240);

const CLOSE: Duration = Duration::from_secs(30);

const MEMBERS: usize = 4;
const TOPICS: usize = 3;
const PARTITIONS: usize = 4;

/// How often each of them changes its mind.
const CHANGES: usize = 8;

/// Nobody is to lose his session on a machine that stands still for a while. On the embedded broker members of the consumer
/// protocol have six seconds, whatever this says (see [`hasten`]).
const SESSION_MS: u32 = 45_000;

pub(super) async fn of_cooperative_members_each_partition_has_one_owner(on: Arc<Target>) -> Result {
    let strategy = [
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("heartbeat.interval.ms", "300"),
        ("session.timeout.ms", "45000"),
    ];
    change(on, "cooperative", &strategy).await
}

pub(super) async fn of_range_members_each_partition_has_one_owner(on: Arc<Target>) -> Result {
    let strategy = [
        ("partition.assignment.strategy", "range"),
        ("heartbeat.interval.ms", "300"),
        ("session.timeout.ms", "45000"),
    ];
    change(on, "range", &strategy).await
}

pub(super) async fn of_members_of_the_consumer_protocol_each_partition_has_one_owner(
    on: Arc<Target>,
) -> Result {
    change(on, "consumer", &[("group.protocol", "consumer")]).await
}

/// Who has each partition by what listeners were told.
#[derive(Debug, Default)]
struct Owners {
    all: Mutex<BTreeMap<TopicPartition, usize>>,
    /// Somebody has seen everything shared out for a while: from then on members may go.
    are_settled: AtomicBool,
}

impl Owners {
    fn are_all_at_work(&self) -> bool {
        let all = self.all.lock().unwrap();
        let working: BTreeSet<_> = all.values().collect();
        all.len() == PARTITIONS * TOPICS && working.len() == MEMBERS
    }
}

/// One member's.
#[derive(Debug)]
struct Owner {
    number: usize,
    owners: Arc<Owners>,
}

impl RebalanceListener for Owner {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        let mut owners = self.owners.all.lock().unwrap();
        for partition in partitions {
            let other = owners.insert(partition.clone(), self.number);
            assert_eq!(other, None, "{partition} comes to {} too", self.number);
        }
    }

    async fn revoked(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        let mut owners = self.owners.all.lock().unwrap();
        for partition in partitions {
            assert_eq!(owners.remove(partition), Some(self.number), "{partition} goes");
        }
    }

    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        assert!(partitions.is_empty(), "{} loses {partitions:?}", self.number);
    }
}

/// Members subscribe to some of the topics and then to others; in the end to all, and all is shared out.
async fn change(on: Arc<Target>, name: &str, settings: &[(&'static str, &'static str)]) -> Result {
    let kafka = connect(&on).await?;
    let group = on.unique(name);
    let topics: Vec<_> = (0..TOPICS).map(|topic| format!("{group}-{topic}")).collect();
    for topic in &topics {
        create(&kafka, &on, topic, i32::try_from(PARTITIONS)?).await?;
        on.await_topic(topic).await?;
    }
    hasten(&on, &group, SESSION_MS).await?;
    let owners = Arc::new(Owners::default());
    let mut members = JoinSet::new();
    for number in 0..MEMBERS {
        let owner = Owner { number, owners: Arc::clone(&owners) };
        let rng = Rng::with_seed(number as u64);
        let (kafka, group, topics) = (kafka.clone(), group.clone(), topics.clone());
        let settings = settings.to_vec();
        members.spawn(async move { live(&kafka, &group, &topics, &settings, owner, rng).await });
    }
    while let Some(ended) = members.join_next().await {
        ended??;
    }
    assert!(owners.all.lock().unwrap().is_empty(), "all closed");
    Ok(())
}

async fn live(
    kafka: &Kafka,
    group: &str,
    topics: &[String],
    settings: &[(&str, &str)],
    owner: Owner,
    mut rng: Rng,
) -> Result {
    let (number, owners) = (owner.number, Arc::clone(&owner.owners));
    let mut builder = kafka.consumer(group);
    for (key, value) in settings {
        builder = builder.set(key, value)?;
    }
    let mut consumer = builder.on_rebalance(owner).build().await?;
    for _ in 0..CHANGES {
        // One topic at least.
        let some = rng.usize(1..1 << topics.len());
        let chosen = topics.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1);
        consumer.subscribe(chosen.map(|(_, topic)| topic.as_str())).await?;
        for _ in 0..rng.usize(1..20) {
            consumer.poll(Duration::from_millis(20)).await?;
        }
    }
    consumer.subscribe(topics.iter().map(String::as_str)).await?;
    let deadline = Instant::now() + LIMIT - CLOSE;
    let mut settled = 0;
    while !owners.are_settled.load(Ordering::SeqCst) {
        assert!(Instant::now() < deadline, "{number} waits: {:?}", owners.all.lock().unwrap());
        consumer.poll(Duration::from_millis(100)).await?;
        settled = if owners.are_all_at_work() { settled + 1 } else { 0 };
        if settled == SETTLED {
            owners.are_settled.store(true, Ordering::SeqCst);
        }
    }
    Ok(consumer.close(CLOSE).await?)
}

/// Polls in a row with everything shared out.
const SETTLED: usize = 10;
