//! What members tell each other through the coordinator, which does not read it.
//!
//! Layout: the version, then the message of that version, then anything a newer version may have added. The bytes
//! come from other members, of other clients: they are read within their length, and a member whose bytes make no
//! sense harms itself only.

use std::collections::BTreeSet;

use bytes::Bytes;
use milena_types::{Generation, Topic, TopicPartition};
use milena_wire::messages::consumer_protocol_assignment::{
    self as protocol, ConsumerProtocolAssignment,
};
use milena_wire::messages::consumer_protocol_subscription::{
    self as subscription, ConsumerProtocolSubscription,
};
use milena_wire::{ByteString, DecodeError, Reader, Writer};

use crate::by_topic::by_topic;

/// The name that members of consumer groups give as their protocol type.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";

/// What a member wants, as `ConsumerProtocolSubscription` 0 to 3.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct MemberSubscription {
    pub(crate) topics: BTreeSet<Topic>,
    /// What the member keeps while it joins; an eager one gives all up before (KIP-429).
    pub(crate) owned: BTreeSet<TopicPartition>,
    /// The generation in which it got what it has, or had last (KIP-792).
    pub(crate) generation: Option<Generation>,
    /// Where it is (KIP-881).
    pub(crate) rack: Option<String>,
    /// What its strategy says to itself.
    pub(crate) user_data: Option<Bytes>,
}

/// What a member gets, as `ConsumerProtocolAssignment` 0 to 3.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct MemberAssignment {
    pub(crate) partitions: BTreeSet<TopicPartition>,
}

/// Bytes that are no message of the consumer protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

impl From<DecodeError> for Malformed {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl MemberSubscription {
    pub(crate) fn encode(&self) -> Bytes {
        let owned = by_topic(self.owned.iter().map(|tp| (tp, tp.partition)));
        let owned = owned
            .into_iter()
            .map(|(topic, partitions)| subscription::TopicPartition { topic, partitions });
        let message = ConsumerProtocolSubscription {
            topics: self.topics.iter().map(|topic| ByteString::from(topic.as_str())).collect(),
            user_data: self.user_data.clone(),
            owned_partitions: owned.collect(),
            generation_id: self.generation.map_or(-1, Generation::get),
            rack_id: self.rack.as_deref().map(ByteString::from),
        };
        let mut writer = Writer::new();
        writer.i16(VERSION);
        // Kafka's topic names have at most 249 bytes; one that no message can hold does not exist anywhere.
        message.encode(&mut writer, VERSION).map_or_else(|_| Bytes::new(), |()| writer.into_bytes())
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes.clone());
        let version = version(&mut reader)?;
        let message = ConsumerProtocolSubscription::decode(&mut reader, version)?;
        let owned = message.owned_partitions.iter().flat_map(|owned| {
            let topic = Topic::from(&*owned.topic);
            owned.partitions.iter().map(move |number| TopicPartition::new(&topic, *number))
        });
        let rack = message.rack_id.as_deref().filter(|rack| !rack.is_empty());
        Ok(Self {
            topics: message.topics.iter().map(|topic| Topic::from(&**topic)).collect(),
            owned: owned.collect(),
            generation: Generation::from_wire(message.generation_id),
            rack: rack.map(str::to_owned),
            user_data: message.user_data,
        })
    }
}

impl MemberAssignment {
    pub(crate) fn encode(&self) -> Bytes {
        let topics = by_topic(self.partitions.iter().map(|tp| (tp, tp.partition)))
            .into_iter()
            .map(|(topic, partitions)| protocol::TopicPartition { topic, partitions });
        let message = ConsumerProtocolAssignment {
            assigned_partitions: topics.collect(),
            ..Default::default()
        };
        let mut writer = Writer::new();
        writer.i16(VERSION);
        message.encode(&mut writer, VERSION).map_or_else(|_| Bytes::new(), |()| writer.into_bytes())
    }

    /// Empty bytes stand for an empty assignment: a coordinator gives them to a member that the leader left out.
    /// A partition below 0 makes all of it malformed, as does a missing end: with fewer partitions than the leader
    /// meant, the others would have an owner who does not read them.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes.clone());
        let version = version(&mut reader)?;
        let message = ConsumerProtocolAssignment::decode(&mut reader, version)?;
        let mut partitions = BTreeSet::new();
        for assigned in &message.assigned_partitions {
            let topic = Topic::from(&*assigned.topic);
            for &index in &assigned.partitions {
                if index < 0 {
                    return Err(Malformed);
                }
                partitions.insert(TopicPartition::new(&topic, index));
            }
        }
        Ok(Self { partitions })
    }
}

/// A newer version than ours is read as ours; what it added stands behind.
fn version(reader: &mut Reader) -> Result<i16, Malformed> {
    let version = reader.i16()?;
    if version < 0 { Err(Malformed) } else { Ok(version.min(VERSION)) }
}

/// The newest version of both messages; members of older versions read what they know of it.
const VERSION: i16 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assignor::{AssignmentStrategy, UserData};

    fn subscription(topics: &[&str]) -> MemberSubscription {
        let topics = topics.iter().map(|topic| Topic::from(*topic)).collect();
        MemberSubscription { topics, ..Default::default() }
    }

    fn assignment(partitions: &[(&str, i32)]) -> MemberAssignment {
        let partitions = partitions.iter().map(|&(topic, index)| TopicPartition::new(topic, index));
        MemberAssignment { partitions: partitions.collect() }
    }

    #[test]
    fn what_is_written_is_read() {
        let wanted = subscription(&["orders", "payments"]);
        assert_eq!(MemberSubscription::decode(&wanted.encode()), Ok(wanted));
        let given = assignment(&[("orders", 0), ("orders", 7), ("payments", 1)]);
        assert_eq!(MemberAssignment::decode(&given.encode()), Ok(given));
        assert_eq!(MemberAssignment::decode(&Bytes::new()), Ok(MemberAssignment::default()));
    }

    /// The bytes that Java's `ConsumerProtocol` writes for one topic, by its schemas.
    #[test]
    fn bytes_are_those_of_the_schemas() {
        let expected =
            [&[0, 3, 0, 0, 0, 1, 0, 1, b't'][..], &[0xff; 4], &[0; 4], &[0xff; 4], &[0xff; 2]]
                .concat();
        assert_eq!(subscription(&["t"]).encode(), expected);
        let expected =
            [&[0, 3, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 5][..], &[0xff; 4]].concat();
        assert_eq!(assignment(&[("t", 5)]).encode(), expected);
    }

    /// Samples of every version and strategy, written by Java's own classes.
    #[test]
    fn subscriptions_are_those_of_java() {
        let lines = include_str!("../../tests/golden/subscriptions.txt").lines();
        for line in lines {
            let fields: Vec<&str> = line.split(' ').collect();
            let [version, strategy, rack, generation, topics, owned, hex] = fields[..] else {
                panic!("{line}");
            };
            let (version, strategy): (i16, _) =
                (version.parse().unwrap(), AssignmentStrategy::named(strategy).unwrap());
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Bytes = (0..hex.len()).step_by(2).map(byte).collect();
            let generation = Generation::from_wire(generation.parse().unwrap());
            let had: BTreeSet<TopicPartition> = owned
                .split(';')
                .filter_map(|topic| topic.split_once(':'))
                .flat_map(|(topic, numbers)| {
                    let numbers = numbers.split(',').map(|number| number.parse().unwrap());
                    numbers.map(move |number| TopicPartition::new(topic, number))
                })
                .collect();
            let told: Vec<_> = had.iter().cloned().collect();
            let expected = MemberSubscription {
                topics: topics.split(',').map(Topic::from).collect(),
                owned: if version >= 1 && strategy.is_cooperative() {
                    had
                } else {
                    BTreeSet::new()
                },
                generation: generation.filter(|_| version >= 2),
                rack: (version >= 3 && rack != "-").then(|| rack.to_owned()),
                user_data: UserData::encode(strategy, &told, generation),
            };
            let read = MemberSubscription::decode(&bytes);
            assert_eq!(read, Ok(expected.clone()), "{line}");
            if version == VERSION {
                assert_eq!(expected.encode(), bytes, "{line}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_read_as_far_as_it_is_known() {
        let mut bytes = subscription(&["t"]).encode().to_vec();
        bytes[1] = 9;
        bytes.extend([1, 2, 3]);
        assert_eq!(MemberSubscription::decode(&bytes.into()), Ok(subscription(&["t"])));
        // Version 0 ends behind the user data.
        let v0 = Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(MemberSubscription::decode(&v0), Ok(subscription(&["t"])));
    }

    /// R16: partitions that a cut-off assignment leaves out would have an owner who never reads them.
    #[test]
    fn an_assignment_that_was_cut_off_is_refused() {
        let bytes = assignment(&[("orders", 0), ("orders", 7), ("payments", 1)]).encode();
        for cut in 1..bytes.len() {
            assert_eq!(
                MemberAssignment::decode(&bytes.slice(..cut)),
                Err(Malformed),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn hostile_bytes_are_refused_without_a_panic() {
        let seeds = [
            subscription(&["orders", "payments"]).encode(),
            assignment(&[("orders", 0), ("payments", 1)]).encode(),
        ];
        for seed in seeds {
            for at in 0..seed.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bytes = seed.to_vec();
                    bytes[at] = value;
                    let bytes = bytes.into();
                    let _ = MemberSubscription::decode(&bytes);
                    let _ = MemberAssignment::decode(&bytes);
                }
            }
        }
        let huge = Bytes::from_static(&[0, 3, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(MemberAssignment::decode(&huge), Err(Malformed));
        assert_eq!(MemberSubscription::decode(&huge), Err(Malformed));
        let negative = Bytes::from_static(&[0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(MemberAssignment::decode(&negative), Err(Malformed));
    }
}
