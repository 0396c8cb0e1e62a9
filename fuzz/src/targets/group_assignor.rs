//! Input: a byte for the strategy and one for how many topics there are; two for each topic, its partitions and where
//! their replicas are; then the members, each a byte for its name, two for a length, and a subscription of that length.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use milena_engine::consumer::{AssignmentStrategy, share_out};
use milena_engine::metadata::{Broker, Cluster, PartitionMetadata, TopicMetadata};
use milena_types::{NodeId, TopicPartition};
use milena_wire::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as Owned,
};
use milena_wire::{Reader, Writer};

use crate::memory;

/// Whatever members say of themselves, each partition that anybody wants has one owner, who wants it; shares are even where
/// the strategy promises that; and a cooperative group comes to rest, also when a member goes and comes back.
pub(crate) fn run(data: &[u8]) {
    let Some(mut group) = Group::read(data) else { return };
    let bytes_max = 512 * data.len() + (4 << 20);
    let shares = memory::within(bytes_max, || group.share_out());
    group.judge(&shares);
    if group.strategy != AssignmentStrategy::CooperativeSticky {
        return;
    }
    group.rest();
    let Some((id, (instance_id, _))) = group.bytes.pop_first() else { return };
    let Some(mut said) = group.said.remove(&id) else { return };
    group.rest();
    // With nothing, so that others have to give something up first.
    said.owned.clear();
    said.generation = -1;
    group.bytes.insert(id.clone(), (instance_id, said.write()));
    group.said.insert(id, said);
    group.rest();
}

type Shares = BTreeMap<String, BTreeSet<TopicPartition>>;

struct Group {
    strategy: AssignmentStrategy,
    cluster: Cluster,
    /// What the leader is given.
    bytes: BTreeMap<String, (Option<String>, Bytes)>,
    /// The same as it is read here.
    said: BTreeMap<String, Said>,
}

struct Said {
    topics: BTreeSet<String>,
    owned: BTreeSet<TopicPartition>,
    generation: i32,
    message: ConsumerProtocolSubscription,
}

impl Group {
    fn read(data: &[u8]) -> Option<Self> {
        let ([strategy, topics], mut rest) = data.split_first_chunk()?;
        let strategy = usize::from(*strategy) % AssignmentStrategy::ALL.len();
        let mut known = Vec::new();
        for name in TOPICS.iter().take(usize::from(*topics)) {
            let ([count, racks], behind) = rest.split_first_chunk()?;
            rest = behind;
            known.push(topic(name, *count, *racks));
        }
        let brokers = (1..).zip(RACKS).map(|(id, rack)| {
            let mut broker = Broker::new(NodeId::new(id), "h", 9092);
            broker.rack = Some(rack.into());
            broker
        });
        let (mut bytes, mut said) = (BTreeMap::new(), BTreeMap::new());
        while let Some(([name, high, low], behind)) = rest.split_first_chunk()
            && bytes.len() < MEMBERS_MAX
        {
            let len = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
            let (subscription, behind) = behind.split_at(len);
            rest = behind;
            let id = format!("{name:02x}-{}", bytes.len());
            let instance_id = (*name >= 0x80).then(|| format!("i{}", name % 4));
            let subscription = Bytes::copy_from_slice(subscription);
            said.insert(id.clone(), Said::read(&subscription).unwrap_or_else(Said::nothing));
            bytes.insert(id, (instance_id, subscription));
        }
        let strategy = AssignmentStrategy::ALL.get(strategy).copied()?;
        Some(Self { strategy, cluster: Cluster::new(brokers, known), bytes, said })
    }

    fn share_out(&self) -> Shares {
        share_out(self.strategy, &self.bytes, &self.cluster)
    }

    /// All partitions of a topic.
    fn partitions(&self, topic: &str) -> impl Iterator<Item = TopicPartition> {
        let count = self.cluster.partition_count(topic).unwrap_or(0);
        (0..count).map(move |number| TopicPartition::new(topic, number))
    }

    /// The partitions that somebody wants.
    fn wanted(&self) -> BTreeSet<TopicPartition> {
        let topics: BTreeSet<&String> = self.said.values().flat_map(|said| &said.topics).collect();
        topics.into_iter().flat_map(|topic| self.partitions(topic)).collect()
    }

    fn wants(&self, member: &str, tp: &TopicPartition) -> bool {
        self.said.get(member).is_some_and(|said| said.topics.contains(tp.topic.as_str()))
    }

    fn judge(&self, shares: &Shares) {
        assert!(shares.keys().eq(self.said.keys()), "each member has a share, be it none");
        let mut left = self.wanted();
        for (member, share) in shares {
            for tp in share {
                assert!(left.remove(tp), "{tp} has two owners, or is not there");
                assert!(self.wants(member, tp), "{member} does not want {tp}");
            }
        }
        let claimed = |tp: &TopicPartition| self.said.values().any(|said| said.owned.contains(tp));
        let is_cooperative = self.strategy.is_cooperative();
        let kept_back = is_cooperative && left.iter().all(claimed);
        assert!(left.is_empty() || kept_back, "nobody has {left:?}");
        self.judge_sizes(shares, left.len());
        if is_cooperative {
            self.judge_claims(shares);
        }
    }

    fn judge_sizes(&self, shares: &Shares, kept_back: usize) {
        if self.strategy == AssignmentStrategy::Range {
            for topic in TOPICS {
                let takers = self.said.iter().filter(|(_, said)| said.topics.contains(topic));
                let sizes = takers.map(|(member, _)| {
                    let share = shares.get(member).into_iter().flatten();
                    share.filter(|tp| tp.topic.as_str() == topic).count()
                });
                assert_even(sizes, topic);
            }
        } else if self.is_uniform() {
            if kept_back == 0 {
                assert_even(shares.values().map(BTreeSet::len), "all topics");
            }
            let most = self.wanted().len().div_ceil(shares.len().max(1));
            assert!(shares.values().all(|share| share.len() <= most), "more than a share");
        }
    }

    fn is_uniform(&self) -> bool {
        let mut topics = self.said.values().map(|said| &said.topics);
        let first = topics.next();
        topics.all(|other| Some(other) == first)
    }

    /// While all who claim anything are of one generation, and no two claim the same, what one holds is given to no other before he gave it up:
    /// two would read it (KIP-429).
    fn judge_claims(&self, shares: &Shares) {
        let claim = self.said.values().filter(|said| !said.owned.is_empty());
        let generations: BTreeSet<i32> = claim.map(|said| said.generation).collect();
        let mut holders = BTreeMap::new();
        for (member, said) in &self.said {
            for tp in &said.owned {
                if holders.insert(tp, member).is_some() {
                    return;
                }
            }
        }
        if generations.len() != 1 || generations.first() < Some(&0) {
            return;
        }
        for (member, share) in shares {
            let taken = |tp: &&TopicPartition| holders.get(tp).is_some_and(|one| *one != member);
            let taken: Vec<_> = share.iter().filter(taken).collect();
            assert!(taken.is_empty(), "{member} is given what others hold: {taken:?}");
        }
    }

    /// Joins and takes until nobody has anything to give up.
    fn rest(&mut self) {
        for round in 0.. {
            let shares = self.share_out();
            self.judge(&shares);
            assert!(round < ROUNDS_MAX, "it goes on: {shares:?}");
            if !self.take(&shares, round) {
                let given: usize = shares.values().map(BTreeSet::len).sum();
                assert_eq!(given, self.wanted().len(), "something is kept back for good");
                break;
            }
        }
    }

    /// All take what they are given and give up the rest; whether anybody gave anything up, and so joins again.
    fn take(&mut self, shares: &Shares, round: i32) -> bool {
        let mut rejoins = false;
        for (member, said) in &mut self.said {
            let share = shares.get(member).cloned().unwrap_or_default();
            // In the first round some hold what they never had; that they give up too.
            rejoins |= said.owned.iter().any(|tp| !share.contains(tp));
            said.owned = share;
            said.generation = GENERATION + round;
            let written = said.write();
            if let Some((_, bytes)) = self.bytes.get_mut(member) {
                *bytes = written;
            }
        }
        rejoins
    }
}

impl Said {
    /// As bytes that make no sense are taken.
    fn nothing() -> Self {
        let message = ConsumerProtocolSubscription::default();
        Self { topics: BTreeSet::new(), owned: BTreeSet::new(), generation: -1, message }
    }

    fn read(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(bytes.clone());
        let version = reader.i16().ok().filter(|version| *version >= 0)?;
        let message =
            ConsumerProtocolSubscription::decode(&mut reader, version.min(NEWEST)).ok()?;
        let owned = message.owned_partitions.iter().flat_map(|owned| {
            let numbers = owned.partitions.iter();
            numbers.map(|number| TopicPartition::new(&*owned.topic, *number))
        });
        Some(Self {
            topics: message.topics.iter().map(ToString::to_string).collect(),
            owned: owned.collect(),
            generation: message.generation_id,
            message,
        })
    }

    fn write(&self) -> Bytes {
        let owned = self.owned.iter().map(|tp| {
            let (topic, partitions) = (tp.topic.as_str().into(), vec![tp.partition]);
            Owned { topic, partitions }
        });
        let message = ConsumerProtocolSubscription {
            owned_partitions: owned.collect(),
            generation_id: self.generation,
            ..self.message.clone()
        };
        let mut writer = Writer::new();
        writer.i16(NEWEST);
        message.encode(&mut writer, NEWEST).unwrap_or_else(|e| panic!("it was read, but: {e}"));
        writer.into_bytes()
    }
}

fn topic(name: &str, count: u8, racks: u8) -> TopicMetadata {
    let partition = |number: u8| {
        let mut partition = PartitionMetadata::new(number.into(), Some(NodeId::new(1)), None);
        let has = |id: &i32| racks.rotate_left(number.into()) >> id & 1 == 1;
        partition.replicas = (1..).take(RACKS.len()).filter(has).map(NodeId::new).collect();
        partition
    };
    TopicMetadata::new(name, None, (0..count % PARTITIONS).map(partition).collect())
}

fn assert_even(sizes: impl Iterator<Item = usize>, of: &str) {
    let sizes: Vec<usize> = sizes.collect();
    let (least, most) = (sizes.iter().min(), sizes.iter().max());
    assert!(least.zip(most).is_none_or(|(least, most)| most - least <= 1), "{of}: {sizes:?}");
}

/// The first two are those of the samples from Java.
const TOPICS: [&str; 4] = ["orders", "payments", "t", "u"];

const RACKS: [&str; 3] = ["a", "b", "c"];

/// More than any topic has here.
const PARTITIONS: u8 = 24;

/// More show nothing that these do not.
const MEMBERS_MAX: usize = 12;

/// The newest version of what members say.
const NEWEST: i16 = 3;

/// Later than what an input says, unless it means to be later still.
const GENERATION: i32 = 1 << 20;

/// Give up, take, and some for those who claim what is another's.
const ROUNDS_MAX: i32 = 6;
