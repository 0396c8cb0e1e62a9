//! Topics: create, delete, list, describe.

use std::collections::BTreeMap;

use milena_engine::metadata::PartitionMetadata;
use milena_engine::request::Target;
use milena_engine::{Error, ErrorKind, Operation};
use milena_types::{ApiKey, ErrorCode, LeaderEpoch, NodeId, Topic, Uuid};
use milena_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use milena_wire::messages::delete_topics_request::DeleteTopicState;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use milena_wire::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest,
    MetadataRequest,
};
use milena_wire::{ByteString, Response};

use super::CreateTopic;
use super::call::{Call, retry, unexpected};
use crate::Kafka;

/// A topic in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicListing {
    name: Topic,
    is_internal: bool,
}

impl TopicListing {
    /// Its name.
    pub fn name(&self) -> &Topic {
        &self.name
    }

    /// Whether it belongs to Kafka itself.
    pub fn is_internal(&self) -> bool {
        self.is_internal
    }
}

/// A topic with its partitions and settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicDescription {
    name: Topic,
    id: Option<Uuid>,
    is_internal: bool,
    partitions: Vec<PartitionMetadata>,
    configs: Vec<(String, String)>,
}

impl TopicDescription {
    /// Its name.
    pub fn name(&self) -> &Topic {
        &self.name
    }

    /// Its id; `None` before Kafka 2.8.
    pub fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// Whether it belongs to Kafka itself.
    pub fn is_internal(&self) -> bool {
        self.is_internal
    }

    /// Its partitions, in order of index.
    pub fn partitions(&self) -> &[PartitionMetadata] {
        &self.partitions
    }

    /// Settings that differ from Kafka's own defaults, in order of name; empty where they may not be read.
    pub fn configs(&self) -> &[(String, String)] {
        &self.configs
    }
}

pub(super) async fn create(topic: CreateTopic) -> Result<(), Error> {
    let CreateTopic { admin, name, partitions, replication_factor, configs } = topic;
    let mut call = Call::new(&admin.kafka);
    let configs = configs.iter().map(|(key, value)| CreatableTopicConfig {
        name: ByteString::from(key.as_str()),
        value: Some(ByteString::from(value.as_str())),
    });
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: text(&name),
            num_partitions: partitions.unwrap_or(BROKERS_DEFAULT),
            replication_factor: replication_factor.unwrap_or(-1),
            configs: configs.collect(),
            ..CreatableTopic::default()
        }],
        timeout_ms: request_timeout_ms(call.kafka()),
        ..CreateTopicsRequest::default()
    };
    let operation = Operation::Request(ApiKey::CREATE_TOPICS);
    let version_min = match (partitions, replication_factor) {
        (Some(_), Some(_)) => 0,
        // Before it, brokers have no defaults to offer (KIP-464).
        _ => 4,
    };
    let created: Result<(), Error> = retry!(call, create_once(&call, version_min, &request));
    created.map_err(|error| error.during(operation).with_topic(&name))?;
    admin.kafka.metadata().refresh();
    Ok(())
}

async fn create_once(
    call: &Call<'_>,
    version_min: i16,
    request: &CreateTopicsRequest,
) -> Result<(), Error> {
    match call.ask(call.controller(), version_min, request.clone()).await? {
        Response::CreateTopics(response) => {
            let result = response.topics.into_iter().next().ok_or_else(unexpected)?;
            if result.error_code == ErrorCode::NOT_CONTROLLER {
                call.kafka().metadata().refresh();
            }
            item(ApiKey::CREATE_TOPICS, result.error_code, result.error_message.as_deref())
        }
        _ => Err(unexpected()),
    }
}

async fn delete_once(
    call: &Call<'_>,
    request: &DeleteTopicsRequest,
) -> Result<DeleteTopicsResponse, Error> {
    let Response::DeleteTopics(response) = call.ask(call.controller(), 0, request.clone()).await?
    else {
        return Err(unexpected());
    };
    let moved = ErrorCode::NOT_CONTROLLER;
    if response.responses.iter().any(|one| one.error_code == moved) {
        call.kafka().metadata().refresh();
        return Err(Error::from_code(ApiKey::DELETE_TOPICS, moved));
    }
    Ok(response)
}

pub(super) async fn delete(
    kafka: &Kafka,
    names: Vec<Topic>,
) -> Result<Vec<(Topic, Result<(), Error>)>, Error> {
    let mut call = Call::new(kafka);
    let mut results: BTreeMap<Topic, Result<(), Error>> = BTreeMap::new();
    let mut wanted = names.clone();
    loop {
        let states = wanted
            .iter()
            .map(|name| DeleteTopicState { name: Some(text(name)), ..DeleteTopicState::default() });
        let request = DeleteTopicsRequest {
            topics: states.collect(),
            timeout_ms: request_timeout_ms(kafka),
            ..DeleteTopicsRequest::default()
        };
        let response: Result<_, Error> = retry!(call, delete_once(&call, &request));
        let response = match response {
            Ok(response) => response,
            Err(error) if results.is_empty() => return Err(error),
            // What became of the others is known. As in Java the quota is the better reason for being late; what was
            // asked last may be done all the same.
            Err(error) => {
                let is_late = error.kind() == ErrorKind::Timeout;
                for name in wanted {
                    let end = match results.remove(&name) {
                        Some(Err(put_off)) if is_late => put_off.with_fate(error.fate()),
                        _ => error.clone(),
                    };
                    results.insert(name, Err(end));
                }
                break;
            }
        };
        take_in(&mut wanted, &mut results, response);
        // As many as the quota allows are gone; the others are asked for again (KIP-599), while there is time.
        let put_off = wanted.first().and_then(|name| results.get(name));
        let Some(Err(error)) = put_off else { break };
        if call.retry(error.clone()).await.is_err() {
            break;
        }
    }
    Ok(in_order(names, results, ApiKey::DELETE_TOPICS))
}

/// Takes in what is said of topics that were asked for, and leaves those that the quota put off. Of others nothing may
/// be taken, whatever the broker says: it would be deleted.
fn take_in(
    wanted: &mut Vec<Topic>,
    results: &mut BTreeMap<Topic, Result<(), Error>>,
    response: DeleteTopicsResponse,
) {
    let said = response.responses.into_iter().filter_map(|one| {
        let result = item(ApiKey::DELETE_TOPICS, one.error_code, one.error_message.as_deref());
        Some((Topic::from(one.name.as_deref()?), result))
    });
    let mut said: BTreeMap<_, _> = said.collect();
    wanted.retain(|name| {
        let Some(result) = said.remove(name) else { return false };
        let code = result.as_ref().err().and_then(Error::code);
        results.insert(name.clone(), result);
        code == Some(ErrorCode::THROTTLING_QUOTA_EXCEEDED)
    });
}

pub(super) async fn list(kafka: &Kafka) -> Result<Vec<TopicListing>, Error> {
    let mut call = Call::new(kafka);
    let topics: Result<_, Error> = retry!(call, metadata(&call, None));
    let topics = topics?;
    let mut listed: Vec<_> = topics
        .into_iter()
        .filter_map(|topic| {
            let name = Topic::from(&*topic.name?);
            Some(TopicListing { name, is_internal: topic.is_internal })
        })
        .collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

pub(super) async fn describe(
    kafka: &Kafka,
    names: Vec<Topic>,
) -> Result<Vec<(Topic, Result<TopicDescription, Error>)>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut call = Call::new(kafka);
    let topics: Result<_, Error> = retry!(call, metadata(&call, Some(&names)));
    let topics = topics?;
    // Who may see a topic need not be allowed to see its settings.
    let mut configs = overrides(&call, &names).await.unwrap_or_default();
    let mut results = BTreeMap::new();
    for topic in topics {
        let Some(name) = topic.name.as_deref().map(Topic::from) else { continue };
        let described = if topic.error_code.is_error() {
            Err(Error::from_code(ApiKey::METADATA, topic.error_code))
        } else {
            Ok(describe_one(&name, topic, configs.remove(&name).unwrap_or_default()))
        };
        results.insert(name, described);
    }
    Ok(in_order(names, results, ApiKey::METADATA))
}

fn describe_one(
    name: &Topic,
    topic: MetadataResponseTopic,
    configs: Vec<(String, String)>,
) -> TopicDescription {
    let mut partitions: Vec<_> = topic.partitions.into_iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicDescription {
        name: name.clone(),
        id: Some(topic.topic_id).filter(|id| !id.is_zero()),
        is_internal: topic.is_internal,
        partitions,
        configs,
    }
}

fn partition(raw: MetadataResponsePartition) -> PartitionMetadata {
    let nodes = |ids: &[i32]| ids.iter().copied().filter_map(NodeId::from_wire).collect();
    let leader = NodeId::from_wire(raw.leader_id);
    let epoch = LeaderEpoch::from_wire(raw.leader_epoch);
    let mut partition = PartitionMetadata::new(raw.partition_index, leader, epoch);
    partition.replicas = nodes(&raw.replica_nodes);
    partition.isr = nodes(&raw.isr_nodes);
    partition.offline = nodes(&raw.offline_replicas);
    partition.error = Some(raw.error_code).filter(|code| code.is_error());
    partition
}

/// What a broker knows of `names`, or of all topics; asking creates none.
pub(super) async fn metadata(
    call: &Call<'_>,
    names: Option<&[Topic]>,
) -> Result<Vec<MetadataResponseTopic>, Error> {
    let request = MetadataRequest {
        topics: names.map(|names| {
            let named = |name| MetadataRequestTopic {
                name: Some(text(name)),
                ..MetadataRequestTopic::default()
            };
            names.iter().map(named).collect()
        }),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    // Before version 4 asking could not be kept from creating.
    match call.ask(Target::Any, 4, request).await? {
        Response::Metadata(response) => Ok(response.topics),
        _ => Err(unexpected()),
    }
}

/// The settings of topics that are not Kafka's defaults, as `kafka-topics` shows them.
async fn overrides(
    call: &Call<'_>,
    names: &[Topic],
) -> Result<BTreeMap<Topic, Vec<(String, String)>>, Error> {
    let resource = |name| DescribeConfigsResource {
        resource_type: RESOURCE_TOPIC,
        resource_name: text(name),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: names.iter().map(resource).collect(),
        ..DescribeConfigsRequest::default()
    };
    let Response::DescribeConfigs(response) = call.ask(Target::Any, 1, request).await? else {
        return Err(unexpected());
    };
    let described = response.results.into_iter().map(|resource| {
        let mut configs: Vec<_> = resource
            .configs
            .into_iter()
            .filter(|config| config.config_source != SOURCE_DEFAULT && !config.is_sensitive)
            .map(|config| (config.name.to_string(), config.value.unwrap_or_default().to_string()))
            .collect();
        configs.sort();
        (Topic::from(&*resource.resource_name), configs)
    });
    Ok(described.collect())
}

/// The result of one item, with the broker's words where it has some.
fn item(api: ApiKey, code: ErrorCode, message: Option<&str>) -> Result<(), Error> {
    if !code.is_error() {
        return Ok(());
    }
    Err(Error::from_code(api, code).with_broker_message(message))
}

/// One result for each name, in the order asked.
fn in_order<T>(
    names: Vec<Topic>,
    mut results: BTreeMap<Topic, Result<T, Error>>,
    api: ApiKey,
) -> Vec<(Topic, Result<T, Error>)> {
    let operation = Operation::Request(api);
    names
        .into_iter()
        .map(|name| {
            let result = results.remove(&name).unwrap_or_else(|| Err(unexpected()));
            let result = result.map_err(|error| error.during(operation).with_topic(&name));
            (name, result)
        })
        .collect()
}

fn text(topic: &Topic) -> ByteString {
    ByteString::from(topic.as_str())
}

fn request_timeout_ms(kafka: &Kafka) -> i32 {
    i32::try_from(kafka.config().request_timeout().as_millis()).unwrap_or(i32::MAX)
}

/// Leaves a count to the brokers (KIP-464).
const BROKERS_DEFAULT: i32 = -1;
const RESOURCE_TOPIC: i8 = 2;
/// `DEFAULT_CONFIG` of `DescribeConfigsResponse`.
const SOURCE_DEFAULT: i8 = 5;

#[cfg(test)]
mod tests {
    use milena_wire::messages::delete_topics_response::DeletableTopicResult;

    use super::*;

    #[test]
    fn an_answer_that_names_another_topic_deletes_nothing() {
        let put_off = |name: &str| DeletableTopicResult {
            name: Some(name.into()),
            error_code: ErrorCode::THROTTLING_QUOTA_EXCEEDED,
            ..DeletableTopicResult::default()
        };
        let done =
            |name: &str| DeletableTopicResult { error_code: ErrorCode::NONE, ..put_off(name) };
        let names =
            |names: &[&str]| -> Vec<Topic> { names.iter().copied().map(Topic::from).collect() };
        let (mut wanted, mut results) = (names(&["a", "b"]), BTreeMap::new());
        for (responses, left) in [
            (vec![done("a"), put_off("other"), put_off("b"), put_off("b")], &["b"][..]),
            // Deleted already, and not asked for again.
            (vec![put_off("a"), put_off("other")], &[][..]),
        ] {
            let response = DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() };
            take_in(&mut wanted, &mut results, response);
            assert_eq!(wanted, names(left));
        }
        assert_eq!(results.into_keys().collect::<Vec<_>>(), names(&["a", "b"]));
    }
}
