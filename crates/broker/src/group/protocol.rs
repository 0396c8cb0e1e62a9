//! What consumers of the classic protocol write into JoinGroup and read from SyncGroup.

use std::collections::BTreeMap;

use bytes::Bytes;
use milena_types::{Topic, TopicPartition};
use milena_wire::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as AssignedTopic,
};
use milena_wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use milena_wire::{ByteString, Reader, Writer};

/// What a member wants, `ConsumerProtocolSubscription`.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscription {
    pub(super) version: i16,
    pub(super) topics: Vec<Topic>,
    /// What it has; none from members that give all up before they join.
    pub(super) owned: Vec<TopicPartition>,
    pub(super) rack_id: Option<String>,
}

/// What a member gets, `ConsumerProtocolAssignment`.
#[derive(Clone, Debug, Default)]
pub(super) struct Assignment {
    pub(super) partitions: Vec<TopicPartition>,
    /// Whether an assignor wrote something of its own beside it.
    pub(super) has_user_data: bool,
}

impl Subscription {
    /// `None` where the bytes are none.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(bytes.clone());
        let version = version(&mut reader)?;
        let message = ConsumerProtocolSubscription::decode(&mut reader, version).ok()?;
        let owned = message.owned_partitions.iter().flat_map(|topic| {
            let name = Topic::from(&*topic.topic);
            topic.partitions.iter().map(move |index| TopicPartition::new(&name, *index))
        });
        Some(Self {
            version,
            topics: message.topics.iter().map(|name| Topic::from(&**name)).collect(),
            owned: owned.collect(),
            rack_id: message.rack_id.as_ref().map(ByteString::to_string),
        })
    }
}

impl Assignment {
    /// `None` where the bytes are none; no bytes at all are an assignment of nothing.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes.clone());
        let version = version(&mut reader)?;
        let message = ConsumerProtocolAssignment::decode(&mut reader, version).ok()?;
        let partitions = message.assigned_partitions.iter().flat_map(|topic| {
            let name = Topic::from(&*topic.topic);
            topic.partitions.iter().map(move |index| TopicPartition::new(&name, *index))
        });
        let has_user_data = message.user_data.as_ref().is_some_and(|data| !data.is_empty());
        Some(Self { partitions: partitions.collect(), has_user_data })
    }

    pub(super) fn encode(&self, version: i16) -> Bytes {
        let mut topics = BTreeMap::<&Topic, Vec<i32>>::new();
        for tp in &self.partitions {
            topics.entry(&tp.topic).or_default().push(tp.partition);
        }
        let topic = |(name, partitions): (&Topic, Vec<i32>)| AssignedTopic {
            topic: ByteString::from(name.as_str()),
            partitions,
        };
        let assigned_partitions = topics.into_iter().map(topic).collect();
        let message = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
        let mut writer = Writer::new();
        writer.i16(version);
        // Names of topics that exist always fit.
        message.encode(&mut writer, version).map_or_else(|_| Bytes::new(), |()| writer.into_bytes())
    }
}

/// The newest version known here for one that is newer, as in Kafka.
fn version(reader: &mut Reader) -> Option<i16> {
    let version = reader.i16().ok()?;
    (version >= 0).then(|| version.min(VERSION_MAX))
}

const VERSION_MAX: i16 = 3;
