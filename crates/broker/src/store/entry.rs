//! One thing that became true of the cluster.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use milena_types::{
    LeaderEpoch, NodeId, Offset, ProducerId, Timestamp, Topic, TopicPartition, Uuid,
};

use super::codec::{Malformed, Source, Spelled, Text};
use crate::acl::{Acl, AclOperation, AclPermission, AclResource, PatternType, ResourceType};
use crate::group::streams::Topology;
use crate::group::{Commit, Committed};
use crate::quota::{QuotaEntity, QuotaValues};
use crate::scram::{Credential, ScramMechanism};
use crate::share::{ShareKey, StoredPartition};
use crate::storage::{Batch, LogImage, Rewritten};
use crate::transaction::StoredTransaction;

/// A partition by its topic's id, which no later topic of the name has.
pub(crate) type Place = (Uuid, i32);

/// What is written down, in the order in which it happened. Told again in that order, it makes the same cluster.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The cluster starts, for the how manieth time, with these nodes.
    Start { starts: u32, nodes: Vec<NodeId> },
    /// A topic is there, or is changed: what is said of it is all of it.
    Topic {
        name: Topic,
        id: Uuid,
        is_internal: bool,
        config: BTreeMap<Text, Text>,
        /// The nodes of each partition.
        replicas: Vec<Vec<NodeId>>,
    },
    /// A topic is deleted.
    TopicGone(Topic),
    /// So many producer ids are dealt.
    ProducerIds(i64),
    /// Another leader or epoch.
    Leader(Place, Option<NodeId>, LeaderEpoch),
    /// Everything from here on is taken back.
    Cut(Place, Offset),
    /// Everything before is deleted.
    LogStart(Place, Offset),
    /// A batch is stored.
    Batch(Place, Batch),
    /// What else there is to know of a log whose batches were told before.
    Log(Place, LogImage),
    /// A transactional id is at this.
    Transaction(Text, StoredTransaction),
    /// A transactional id is forgotten.
    TransactionGone(Text),
    /// A group is there, and whether it is of the consumer protocol.
    Group(Text, bool),
    /// What members of a classic group are, and since when there are none.
    ClassicGroup(Text, Text, Option<Timestamp>),
    /// A group of Kafka Streams is there, with its topology.
    StreamsGroup(Text, Topology),
    /// A group is deleted with its commits.
    GroupGone(Text),
    /// A group commits; in a transaction, by which producer and member.
    Commit(Text, Commit, Option<(ProducerId, Text)>),
    /// Commits of a group are deleted.
    CommitsGone(Text, Vec<TopicPartition>),
    /// All that is set for a group.
    GroupConfig(Text, BTreeMap<Text, Text>),
    /// A share group is there.
    ShareGroup(Text),
    /// A share group is deleted.
    ShareGroupGone(Text),
    /// How far a share group has got.
    Share(ShareKey, StoredPartition),
    /// A share group keeps no offset of this.
    ShareGone(ShareKey),
    /// Compaction put these in the place of batches.
    Compacted(Place, Rewritten),
    /// All quotas of an entity.
    Quotas(QuotaEntity, QuotaValues),
    /// A rule about who may do what.
    Acl(Acl),
    /// A rule is removed.
    AclGone(Acl),
    /// The salted password of a user.
    Credential(Text, ScramMechanism, Credential),
    /// It is removed.
    CredentialGone(Text, ScramMechanism),
    /// How often features were set, and the levels of those that ever were.
    Features(i64, Vec<(Text, i16)>),
    /// All that is set of a subscription to clients' metrics; nothing where there is none any more.
    Subscription(Text, BTreeMap<Text, Text>),
    /// All that is set of a node while it runs, or of all nodes.
    BrokerConfig(Option<NodeId>, BTreeMap<Text, Text>),
}

impl Spelled for Entry {
    fn put(&self, to: &mut BytesMut) {
        match self {
            Self::Start { starts, nodes } => {
                (1_u8, *starts).put(to);
                nodes.put(to);
            }
            Self::Topic { name, id, is_internal, config, replicas } => {
                (2_u8, name.clone()).put(to);
                (*id, *is_internal).put(to);
                config.put(to);
                replicas.put(to);
            }
            Self::TopicGone(name) => (3_u8, name.clone()).put(to),
            Self::ProducerIds(dealt) => (4_u8, *dealt).put(to),
            Self::Leader(at, leader, epoch) => (5_u8, (*at, (*leader, *epoch))).put(to),
            Self::Cut(at, end) => (6_u8, (*at, *end)).put(to),
            Self::LogStart(at, start) => (7_u8, (*at, *start)).put(to),
            Self::Batch(at, batch) => {
                (8_u8, *at).put(to);
                batch.put(to);
            }
            Self::Log(at, image) => {
                (9_u8, *at).put(to);
                image.put(to);
            }
            Self::Transaction(id, transaction) => {
                (10_u8, id.clone()).put(to);
                transaction.put(to);
            }
            Self::TransactionGone(id) => (11_u8, id.clone()).put(to),
            Self::Group(id, is_consumer) => (12_u8, (id.clone(), *is_consumer)).put(to),
            Self::GroupGone(id) => (13_u8, id.clone()).put(to),
            Self::Commit(group, commit, transaction) => {
                (14_u8, group.clone()).put(to);
                commit.put(to);
                transaction.put(to);
            }
            Self::CommitsGone(group, partitions) => {
                (15_u8, (group.clone(), partitions.clone())).put(to);
            }
            Self::GroupConfig(group, config) => {
                (16_u8, group.clone()).put(to);
                config.put(to);
            }
            Self::ShareGroup(id) => (17_u8, id.clone()).put(to),
            Self::ShareGroupGone(id) => (18_u8, id.clone()).put(to),
            Self::Share(key, stored) => {
                19_u8.put(to);
                key.put(to);
                stored.put(to);
            }
            Self::ShareGone(key) => {
                20_u8.put(to);
                key.put(to);
            }
            Self::Compacted(at, rewritten) => {
                (21_u8, *at).put(to);
                rewritten.put(to);
            }
            Self::Quotas(entity, values) => {
                22_u8.put(to);
                let part =
                    |(kind, name): (&str, Option<&str>)| (Text::from(kind), name.map(Text::from));
                entity.parts().map(part).collect::<Vec<_>>().put(to);
                let value =
                    |(key, value): (&Text, &f64)| (key.clone(), value.to_bits().cast_signed());
                values.iter().map(value).collect::<Vec<_>>().put(to);
            }
            Self::Acl(acl) => {
                23_u8.put(to);
                acl.put(to);
            }
            Self::AclGone(acl) => {
                24_u8.put(to);
                acl.put(to);
            }
            Self::Credential(user, mechanism, credential) => {
                (25_u8, (user.clone(), *mechanism)).put(to);
                credential.put(to);
            }
            Self::CredentialGone(user, mechanism) => (26_u8, (user.clone(), *mechanism)).put(to),
            Self::Features(epoch, levels) => {
                (27_u8, *epoch).put(to);
                levels.put(to);
            }
            Self::Subscription(name, set) => {
                (28_u8, name.clone()).put(to);
                set.put(to);
            }
            Self::BrokerConfig(node, set) => {
                (29_u8, *node).put(to);
                set.put(to);
            }
            Self::ClassicGroup(id, protocol_type, empty_since) => {
                (31_u8, (id.clone(), protocol_type.clone())).put(to);
                empty_since.put(to);
            }
            Self::StreamsGroup(id, topology) => {
                (30_u8, id.clone()).put(to);
                topology.put(to);
            }
        }
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(match u8::take(from)? {
            1 => Self::Start { starts: Spelled::take(from)?, nodes: Spelled::take(from)? },
            2 => Self::Topic {
                name: Spelled::take(from)?,
                id: Spelled::take(from)?,
                is_internal: Spelled::take(from)?,
                config: Spelled::take(from)?,
                replicas: Spelled::take(from)?,
            },
            3 => Self::TopicGone(Spelled::take(from)?),
            4 => Self::ProducerIds(Spelled::take(from)?),
            5 => Self::Leader(Spelled::take(from)?, Spelled::take(from)?, Spelled::take(from)?),
            6 => Self::Cut(Spelled::take(from)?, Spelled::take(from)?),
            7 => Self::LogStart(Spelled::take(from)?, Spelled::take(from)?),
            8 => Self::Batch(Spelled::take(from)?, Spelled::take(from)?),
            9 => Self::Log(Spelled::take(from)?, Spelled::take(from)?),
            10 => Self::Transaction(Spelled::take(from)?, Spelled::take(from)?),
            11 => Self::TransactionGone(Spelled::take(from)?),
            12 => Self::Group(Spelled::take(from)?, Spelled::take(from)?),
            13 => Self::GroupGone(Spelled::take(from)?),
            14 => Self::Commit(Spelled::take(from)?, Spelled::take(from)?, Spelled::take(from)?),
            15 => Self::CommitsGone(Spelled::take(from)?, Spelled::take(from)?),
            16 => Self::GroupConfig(Spelled::take(from)?, Spelled::take(from)?),
            17 => Self::ShareGroup(Spelled::take(from)?),
            18 => Self::ShareGroupGone(Spelled::take(from)?),
            19 => Self::Share(Spelled::take(from)?, Spelled::take(from)?),
            20 => Self::ShareGone(Spelled::take(from)?),
            21 => Self::Compacted(Spelled::take(from)?, Spelled::take(from)?),
            22 => {
                let entity = QuotaEntity::new(Vec::<(Text, Option<Text>)>::take(from)?);
                let values = Vec::<(Text, i64)>::take(from)?.into_iter();
                let value = |(key, bits): (Text, i64)| (key, f64::from_bits(bits.cast_unsigned()));
                Self::Quotas(entity, values.map(value).collect())
            }
            23 => Self::Acl(Spelled::take(from)?),
            24 => Self::AclGone(Spelled::take(from)?),
            25 => {
                Self::Credential(Spelled::take(from)?, Spelled::take(from)?, Spelled::take(from)?)
            }
            26 => Self::CredentialGone(Spelled::take(from)?, Spelled::take(from)?),
            27 => Self::Features(Spelled::take(from)?, Spelled::take(from)?),
            28 => Self::Subscription(Spelled::take(from)?, Spelled::take(from)?),
            29 => Self::BrokerConfig(Spelled::take(from)?, Spelled::take(from)?),
            30 => Self::StreamsGroup(Spelled::take(from)?, Spelled::take(from)?),
            31 => {
                let (id, protocol_type) = Spelled::take(from)?;
                Self::ClassicGroup(id, protocol_type, Spelled::take(from)?)
            }
            _ => return Err(Malformed),
        })
    }
}

impl Spelled for Batch {
    fn put(&self, to: &mut BytesMut) {
        self.to_bytes().put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Self::read(&Bytes::take(from)?).map_err(|_| Malformed)
    }
}

impl Spelled for Commit {
    fn put(&self, to: &mut BytesMut) {
        let Committed { offset, leader_epoch, metadata, committed_at } = &self.committed;
        self.partition.put(to);
        (*offset, *leader_epoch).put(to);
        metadata.put(to);
        committed_at.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self {
            partition: Spelled::take(from)?,
            committed: Committed {
                offset: Spelled::take(from)?,
                leader_epoch: Spelled::take(from)?,
                metadata: Spelled::take(from)?,
                committed_at: Timestamp::take(from)?,
            },
        })
    }
}

impl Spelled for ShareKey {
    fn put(&self, to: &mut BytesMut) {
        self.group.put(to);
        (self.topic_id, self.partition).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self {
            group: Spelled::take(from)?,
            topic_id: Spelled::take(from)?,
            partition: Spelled::take(from)?,
        })
    }
}

impl Spelled for Acl {
    fn put(&self, to: &mut BytesMut) {
        let AclResource { kind, pattern, name } = &self.resource;
        let codes = [kind.code(), pattern.code(), self.operation.code(), self.permission.code()];
        codes.map(i16::from).iter().for_each(|code| code.put(to));
        name.put(to);
        (self.principal.clone(), self.host.clone()).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        fn code<T>(from: &mut Source, of: fn(i8) -> Option<T>) -> Result<T, Malformed> {
            i8::try_from(i16::take(from)?).ok().and_then(of).ok_or(Malformed)
        }
        let (kind, pattern) =
            (code(from, ResourceType::from_code)?, code(from, PatternType::from_code)?);
        let (operation, permission) =
            (code(from, AclOperation::from_code)?, code(from, AclPermission::from_code)?);
        let name = Spelled::take(from)?;
        let (principal, host) = Spelled::take(from)?;
        let resource = AclResource { kind, pattern, name };
        Ok(Self { resource, principal, host, operation, permission })
    }
}

impl Spelled for ScramMechanism {
    fn put(&self, to: &mut BytesMut) {
        i16::from(self.code()).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        i8::try_from(i16::take(from)?).ok().and_then(Self::from_code).ok_or(Malformed)
    }
}

impl Spelled for Credential {
    fn put(&self, to: &mut BytesMut) {
        self.salt.put(to);
        self.salted_password.put(to);
        self.iterations.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self {
            // The piece that it was read from is not kept for it.
            salt: Bytes::copy_from_slice(&<Bytes as Spelled>::take(from)?),
            salted_password: Bytes::copy_from_slice(&<Bytes as Spelled>::take(from)?),
            iterations: i32::take(from)?,
        })
    }
}
