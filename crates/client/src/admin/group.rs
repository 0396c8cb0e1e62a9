//! Groups: list, describe, offsets.

use std::collections::{BTreeMap, BTreeSet};

use milena_engine::request::Target;
use milena_engine::{Error, Operation};
use milena_types::{ApiKey, ErrorCode, NodeId, Offset, Topic, TopicPartition};
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use milena_wire::messages::{
    ConsumerProtocolAssignment, DescribeGroupsRequest, ListGroupsRequest, ListGroupsResponse,
    ListOffsetsRequest, OffsetFetchRequest,
};
use milena_wire::{ByteString, Reader, Response};

use super::call::{Call, retry, unexpected};
use super::topic;
use crate::Kafka;

/// A group in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupListing {
    id: String,
    protocol_type: String,
    state: Option<String>,
}

impl GroupListing {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `consumer` for groups of consumers; empty for one that only holds offsets.
    pub fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    /// Its state, as `Stable` or `Empty`; `None` before Kafka 2.6.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// A group with its members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupDescription {
    id: String,
    state: String,
    assignor: String,
    coordinator: NodeId,
    members: Vec<GroupMember>,
}

impl GroupDescription {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its state: `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, or `Dead` for none.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// How its partitions are shared, as `range`; empty without members.
    pub fn assignor(&self) -> &str {
        &self.assignor
    }

    /// The broker that looks after it.
    pub fn coordinator(&self) -> NodeId {
        self.coordinator
    }

    /// Its members.
    pub fn members(&self) -> &[GroupMember] {
        &self.members
    }
}

/// A member of a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupMember {
    id: String,
    client_id: String,
    host: String,
    assignment: BTreeSet<TopicPartition>,
}

impl GroupMember {
    /// The id that the coordinator gave it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `client.id`.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where it connects from, as `/127.0.0.1`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The partitions that it reads.
    pub fn assignment(&self) -> &BTreeSet<TopicPartition> {
        &self.assignment
    }
}

/// How far a group has read one partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupOffset {
    partition: TopicPartition,
    committed: Option<Offset>,
    log_end: Option<Offset>,
    member: Option<GroupMember>,
}

impl GroupOffset {
    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The next offset that the group will read; `None` where it committed none.
    pub fn committed(&self) -> Option<Offset> {
        self.committed
    }

    /// Behind the partition's last record; `None` where its leader does not say.
    pub fn log_end(&self) -> Option<Offset> {
        self.log_end
    }

    /// How many offsets are still to be read, where both ends are known.
    pub fn lag(&self) -> Option<u64> {
        let lag = self.log_end?.get().saturating_sub(self.committed?.get());
        Some(u64::try_from(lag).unwrap_or(0))
    }

    /// Who reads it, if anyone.
    pub fn member(&self) -> Option<&GroupMember> {
        self.member.as_ref()
    }
}

pub(super) async fn list(kafka: &Kafka) -> Result<Vec<GroupListing>, Error> {
    let mut call = Call::new(kafka);
    let brokers: Vec<_> = kafka.metadata().load().brokers().map(|broker| broker.id).collect();
    // A group that moves between two answers is in both.
    let mut groups = BTreeMap::new();
    for broker in brokers {
        let response: Result<_, Error> = retry!(call, list_once(&call, broker));
        let response = response?;
        for group in response.groups {
            let id = group.group_id.to_string();
            let listing = GroupListing {
                id: id.clone(),
                protocol_type: group.protocol_type.to_string(),
                state: Some(group.group_state.to_string()).filter(|state| !state.is_empty()),
            };
            groups.insert(id, listing);
        }
    }
    Ok(groups.into_values().collect())
}

async fn list_once(call: &Call<'_>, broker: NodeId) -> Result<ListGroupsResponse, Error> {
    match call.ask(Target::Broker(broker), 0, ListGroupsRequest::default()).await? {
        Response::ListGroups(response) if !response.error_code.is_error() => Ok(response),
        Response::ListGroups(response) => {
            Err(Error::from_code(ApiKey::LIST_GROUPS, response.error_code))
        }
        _ => Err(unexpected()),
    }
}

pub(super) async fn describe(kafka: &Kafka, group: &str) -> Result<GroupDescription, Error> {
    let mut call = Call::new(kafka);
    let described: Result<_, Error> = retry!(call, describe_once(&call, group));
    let operation = Operation::Request(ApiKey::DESCRIBE_GROUPS);
    described.map_err(|error| error.during(operation).with_group(group))
}

async fn describe_once(call: &Call<'_>, group: &str) -> Result<GroupDescription, Error> {
    let coordinator = call.coordinator(group).await?;
    let request = DescribeGroupsRequest {
        groups: vec![ByteString::from(group)],
        ..DescribeGroupsRequest::default()
    };
    let response = match call.ask(Target::Broker(coordinator), 0, request).await? {
        Response::DescribeGroups(response) => response,
        _ => return Err(unexpected()),
    };
    let described = response.groups.into_iter().next().ok_or_else(unexpected)?;
    // Since Kafka 4.0 a group that does not exist is an error rather than one in state `Dead` (KIP-1043).
    if described.error_code.is_error() && described.error_code != ErrorCode::GROUP_ID_NOT_FOUND {
        return Err(Error::from_code(ApiKey::DESCRIBE_GROUPS, described.error_code));
    }
    let members = described.members.into_iter().map(|member| GroupMember {
        id: member.member_id.to_string(),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: assignment(member.member_assignment),
    });
    Ok(GroupDescription {
        id: group.to_owned(),
        state: described.group_state.to_string(),
        assignor: described.protocol_data.to_string(),
        coordinator,
        members: members.collect(),
    })
}

/// Reads what the consumer protocol put into an opaque field; nothing where another protocol did.
fn assignment(blob: bytes::Bytes) -> BTreeSet<TopicPartition> {
    let mut reader = Reader::new(blob);
    let Ok(version) = reader.i16() else { return BTreeSet::new() };
    let version = version.clamp(0, ASSIGNMENT_VERSION_MAX);
    let Ok(assignment) = ConsumerProtocolAssignment::decode(&mut reader, version) else {
        return BTreeSet::new();
    };
    let topics = assignment.assigned_partitions.into_iter();
    topics
        .flat_map(|topic| {
            let name = Topic::from(&*topic.topic);
            topic
                .partitions
                .into_iter()
                .map(move |partition| TopicPartition::new(name.clone(), partition))
        })
        .collect()
}

pub(super) async fn offsets(kafka: &Kafka, group: &str) -> Result<Vec<GroupOffset>, Error> {
    let mut call = Call::new(kafka);
    let described: Result<_, Error> = retry!(call, describe_once(&call, group));
    let described = described?;
    let committed: Result<_, Error> = retry!(call, committed(&call, group));
    let committed = committed?;
    let mut rows: BTreeMap<TopicPartition, GroupOffset> = BTreeMap::new();
    let row = |partition: &TopicPartition| GroupOffset {
        partition: partition.clone(),
        committed: None,
        log_end: None,
        member: None,
    };
    for (partition, offset) in committed {
        rows.entry(partition.clone()).or_insert_with(|| row(&partition)).committed = Some(offset);
    }
    for member in described.members {
        for partition in &member.assignment {
            let owned = rows.entry(partition.clone()).or_insert_with(|| row(partition));
            owned.member = Some(member.clone());
        }
    }
    let partitions: Vec<_> = rows.keys().cloned().collect();
    let ends: Result<_, Error> = retry!(call, log_ends(&call, &partitions));
    for (partition, end) in ends? {
        if let Some(row) = rows.get_mut(&partition) {
            row.log_end = Some(end);
        }
    }
    Ok(rows.into_values().collect())
}

/// Everything that the group has committed.
async fn committed(
    call: &Call<'_>,
    group: &str,
) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
    let coordinator = call.coordinator(group).await?;
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: ByteString::from(group),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let target = Target::Broker(coordinator);
    let asked = call.ask_between(target, ALL_TOPICS_SINCE, TOPIC_IDS_SINCE - 1, request).await?;
    let Response::OffsetFetch(response) = asked else { return Err(unexpected()) };
    let fetched = response.groups.into_iter().next().ok_or_else(unexpected)?;
    if fetched.error_code.is_error() {
        return Err(Error::from_code(ApiKey::OFFSET_FETCH, fetched.error_code).with_group(group));
    }
    let topics = fetched.topics.iter();
    let offsets = topics.flat_map(|topic| {
        topic.partitions.iter().filter_map(|partition| {
            let offset = Offset::new(partition.committed_offset)?;
            Some((TopicPartition::new(&*topic.name, partition.partition_index), offset))
        })
    });
    Ok(offsets.collect())
}

/// The end of each partition's log, asked of its leader; one that has none, or is not there any more, is left out.
async fn log_ends(
    call: &Call<'_>,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
    let mut ends = BTreeMap::new();
    for (leader, topics) in by_leader(call, partitions).await? {
        let request =
            ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
        let Response::ListOffsets(response) = call.ask(Target::Broker(leader), 1, request).await?
        else {
            return Err(unexpected());
        };
        for topic in response.topics {
            for partition in topic.partitions {
                if partition.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER {
                    // It has just moved: the next attempt asks for its leader again.
                    return Err(Error::from_code(ApiKey::LIST_OFFSETS, partition.error_code));
                }
                if let Some(end) = Offset::new(partition.offset) {
                    ends.insert(TopicPartition::new(&*topic.name, partition.partition_index), end);
                }
            }
        }
    }
    Ok(ends)
}

/// What to ask of whom. The brokers are asked for the leaders, which the client need not know: it may have nothing else
/// to do with these topics, and as its own they would be created where they are gone.
async fn by_leader(
    call: &Call<'_>,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<NodeId, Vec<ListOffsetsTopic>>, Error> {
    let mut names: Vec<Topic> = partitions.iter().map(|tp| tp.topic.clone()).collect();
    names.dedup();
    let mut leaders = BTreeMap::new();
    if !names.is_empty() {
        for topic in topic::metadata(call, Some(&names)).await? {
            let Some(name) = topic.name.as_deref() else { continue };
            for partition in &topic.partitions {
                if let Some(leader) = NodeId::from_wire(partition.leader_id) {
                    leaders.insert(TopicPartition::new(name, partition.partition_index), leader);
                }
            }
        }
    }
    let mut by_leader: BTreeMap<NodeId, Vec<ListOffsetsTopic>> = BTreeMap::new();
    for partition in partitions {
        let Some(leader) = leaders.get(partition) else { continue };
        let asked = ListOffsetsPartition {
            partition_index: partition.partition,
            timestamp: LATEST,
            ..ListOffsetsPartition::default()
        };
        let topics = by_leader.entry(*leader).or_default();
        match topics.last_mut() {
            Some(last) if *last.name == *partition.topic.as_str() => last.partitions.push(asked),
            _ => topics.push(ListOffsetsTopic {
                name: ByteString::from(partition.topic.as_str()),
                partitions: vec![asked],
            }),
        }
    }
    Ok(by_leader)
}

/// The end of a log, in `ListOffsets`.
const LATEST: i64 = -1;
/// OffsetFetch names topics by their ids alone from this version on.
const TOPIC_IDS_SINCE: i16 = 10;
/// Null asks OffsetFetch for all topics from this version on.
const ALL_TOPICS_SINCE: i16 = 2;
const ASSIGNMENT_VERSION_MAX: i16 = 3;
