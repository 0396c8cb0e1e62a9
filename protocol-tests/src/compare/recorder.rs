//! Asks one cluster, and writes down what it answers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::BytesMut;
use milena_types::{ApiKey, CorrelationId, ErrorCode, Uuid};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, ListOffsetsRequest, MetadataRequest,
};
use milena_wire::{Records, Request, Response, encode_request};

use super::differences::Exchange;
use super::fields::{Field, fields, name_items};
use super::identity::Identities;
use super::order::{in_order, in_order_of_older};
use crate::Result;
use crate::raw::{Connection, coordinator, message};

/// One side of a comparison.
pub(crate) struct Recorder {
    address: String,
    connection: Connection,
    versions: Versions,
    /// Whether the release lacks APIs, versions or fields that the script is about.
    is_older: bool,
    exchanges: Vec<Exchange>,
    identities: Identities,
    /// How often [`await_metadata`](Self::await_metadata) has decided something.
    decided: i32,
}

/// The versions that the script uses of each API, the same for both sides.
pub(crate) type Versions = BTreeMap<i16, RangeInclusive<i16>>;

impl Recorder {
    /// Connects to a cluster. One of an older release is not asked what that has no words for.
    pub(crate) async fn open(address: &str, versions: &Versions, is_older: bool) -> Result<Self> {
        let connection = Connection::open(address).await?;
        let (address, versions) = (address.to_owned(), versions.clone());
        Ok(Self {
            address,
            connection,
            versions,
            is_older,
            exchanges: Vec::new(),
            identities: Identities::default(),
            decided: 0,
        })
    }

    /// What was asked and answered.
    pub(crate) fn into_exchanges(self) -> Vec<Exchange> {
        self.exchanges
    }

    /// Asks in the newest version up to `version`, and writes down what is answered. An answer that does not come is
    /// written down too.
    ///
    /// Nothing is asked of an older release that lacks the API, or a field of this request.
    pub(crate) async fn ask(
        &mut self,
        what: &str,
        version: i16,
        request: impl Into<Request>,
    ) -> Result<Option<Response>> {
        let request = request.into();
        let Some(version) = self.up_to(version, &request) else { return Ok(None) };
        let name = format!("{} v{version}: {what}", api_name(&request));
        // What our own codec cannot write is a mistake of the script, and no answer of either cluster.
        match encode_request(&request, version, CorrelationId::FIRST, None) {
            Ok(_) => {}
            Err(_) if self.is_older => return Ok(None),
            Err(e) => return Err(format!("{name}: {e}").into()),
        }
        let (mut fields, response) = match self.connection.call(request, version).await {
            Ok(response) => {
                let told = self.in_order(without_producer_ids(response.clone()));
                (fields(&told), Some(response))
            }
            Err(e) => {
                self.connection = Connection::open(&self.address).await?;
                (vec![Field { path: "unanswered".into(), value: e.to_string() }], None)
            }
        };
        name_items(&mut fields);
        self.identities.rename(&mut fields);
        self.exchanges.push(Exchange { request: name, fields });
        Ok(response)
    }

    /// Asks in each version that the script uses and `of` has.
    pub(crate) async fn ask_each<R: Into<Request>>(
        &mut self,
        what: &str,
        key: ApiKey,
        of: RangeInclusive<i16>,
        make: impl Fn(i16) -> R,
    ) -> Result {
        for version in self.versions(key).filter(|version| of.contains(version)) {
            self.ask(what, version, make(version)).await?;
        }
        Ok(())
    }

    /// Asks without writing down, in the newest version up to `version`.
    pub(crate) async fn quietly(
        &mut self,
        version: i16,
        request: impl Into<Request>,
    ) -> Result<Response> {
        let request = request.into();
        let name = api_name(&request);
        let version =
            self.up_to(version, &request).ok_or_else(|| format!("{name} is not there"))?;
        self.connection.call(request, version).await
    }

    /// The newest version of a request's API up to `version`; none where the release lacks the API.
    fn up_to(&self, version: i16, request: &Request) -> Option<i16> {
        if !self.is_older {
            return Some(version);
        }
        let versions = self.versions(request.api_key());
        let version = version.min(*versions.end());
        versions.contains(&version).then_some(version)
    }

    fn in_order(&self, response: Response) -> Response {
        if !self.is_older {
            return in_order(response);
        }
        in_order_of_older(response, |member_id| self.identities.place_of_member(member_id))
    }

    /// A connection besides, for a request that waits for another.
    pub(crate) async fn beside(&self) -> Result<Connection> {
        Connection::open(&self.address).await
    }

    /// Takes the answer to a request that waited, and writes it down.
    pub(crate) async fn take(
        &mut self,
        what: &str,
        version: i16,
        key: ApiKey,
        from: &mut Connection,
    ) -> Result<Response> {
        let response = from.receive(key, version).await?;
        let name = key.name().unwrap_or("unknown");
        self.note(&format!("{name} v{version}: {what}"), fields(&self.in_order(response.clone())));
        Ok(response)
    }

    /// Writes down something that is no plain answer.
    pub(crate) fn note(&mut self, what: &str, mut fields: Vec<Field>) {
        name_items(&mut fields);
        self.identities.rename(&mut fields);
        self.exchanges.push(Exchange { request: what.to_owned(), fields });
    }

    /// Whether the script asks an API at all.
    pub(crate) fn has(&self, key: ApiKey) -> bool {
        !self.versions(key).is_empty()
    }

    /// The versions that the script uses of an API.
    pub(crate) fn versions(&self, key: ApiKey) -> RangeInclusive<i16> {
        // An API that the real broker lacks is not asked.
        #[expect(clippy::reversed_empty_ranges, reason = "no version at all")]
        self.versions.get(&key.get()).cloned().unwrap_or(1..=0)
    }

    /// The newest version that the script uses of an API.
    pub(crate) fn newest(&self, key: ApiKey) -> i16 {
        *self.versions(key).end()
    }

    /// The connection itself, for what is no well-formed request.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Waits until the coordinators of all groups answer; there is one broker, which loads the partitions of
    /// `__consumer_offsets` one by one.
    pub(crate) async fn await_coordinators(&self) -> Result {
        // Names whose hashes follow each other, so that each of the few partitions has one.
        for n in 0..10 {
            coordinator(&self.address, &format!("script-{n}")).await?;
        }
        Ok(())
    }

    /// Waits until the broker has learned all that the controller has decided so far, which answers before that: a
    /// setting of this topic, changed last, shows it.
    pub(crate) async fn await_metadata(&mut self, topic: &str) -> Result {
        self.decided += 1;
        if !self.has(ApiKey::INCREMENTAL_ALTER_CONFIGS) {
            // A topic that was made last.
            let name = format!("script-decided-{}", self.decided);
            let last = message!(CreatableTopic {
                name: name.as_str().into(),
                num_partitions: 1,
                replication_factor: 1,
            });
            let ask = message!(CreateTopicsRequest { topics: vec![last], timeout_ms: 10_000 });
            self.quietly(3, ask).await?;
            return self.await_topic(&name).await.map(drop);
        }
        self.await_setting(2, topic, "file.delete.delay.ms").await
    }

    /// Waits until the broker goes by what it was told: with ZooKeeper that is later than a topic's settings are described so.
    pub(crate) async fn await_broker_settings(&mut self) -> Result {
        self.decided += 1;
        self.await_setting(4, "1", "log.cleaner.backoff.ms").await
    }

    async fn await_setting(&mut self, kind: i8, of: &str, name: &str) -> Result {
        let value = (60_000 + self.decided).to_string();
        let config =
            message!(AlterableConfig { name: name.into(), value: Some(value.as_str().into()) });
        let resource = message!(AlterConfigsResource {
            resource_type: kind,
            resource_name: of.into(),
            configs: vec![config],
        });
        let ask = message!(IncrementalAlterConfigsRequest { resources: vec![resource] });
        let version = self.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS);
        self.quietly(version, ask).await?;
        loop {
            let resource = message!(DescribeConfigsResource {
                resource_type: kind,
                resource_name: of.into(),
                configuration_keys: Some(vec![name.into()]),
            });
            let ask = message!(DescribeConfigsRequest { resources: vec![resource] });
            let version = self.newest(ApiKey::DESCRIBE_CONFIGS);
            let Response::DescribeConfigs(told) = self.quietly(version, ask).await? else {
                return Err("another answer than DescribeConfigs'".into());
            };
            let mut configs = told.results.iter().flat_map(|result| &result.configs);
            if configs.any(|config| config.value.as_deref() == Some(value.as_str())) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The id of a topic, once its broker serves all its partitions.
    ///
    /// A real broker tells of a topic in Metadata before it leads its partitions: a request in
    /// between is answered with `NOT_LEADER_OR_FOLLOWER`.
    pub(crate) async fn await_topic(&mut self, name: &str) -> Result<Uuid> {
        loop {
            let topic = message!(MetadataRequestTopic { name: Some(name.into()) });
            let ask = message!(MetadataRequest {
                topics: Some(vec![topic]),
                allow_auto_topic_creation: false,
            });
            let version = self.newest(ApiKey::METADATA);
            let Response::Metadata(told) = self.quietly(version, ask).await? else {
                return Err("another answer than Metadata's".into());
            };
            let topic = told.topics.first().ok_or("no topic")?;
            let asked = topic.partitions.iter().map(|partition| {
                message!(ListOffsetsPartition {
                    partition_index: partition.partition_index,
                    timestamp: -1,
                })
            });
            let asked =
                message!(ListOffsetsTopic { name: name.into(), partitions: asked.collect() });
            let ask = message!(ListOffsetsRequest { replica_id: -1, topics: vec![asked] });
            let Response::ListOffsets(told) = self.quietly(2, ask).await? else {
                return Err("another answer than ListOffsets'".into());
            };
            let partitions = told.topics.iter().flat_map(|topic| &topic.partitions);
            let served = partitions.filter(|p| p.error_code == ErrorCode::NONE).count();
            if served > 0 && served == topic.partitions.len() {
                return Ok(topic.topic_id);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The versions of each API that both a cluster and the codec speak.
pub(crate) async fn common_versions(address: &str) -> Result<Versions> {
    let mut connection = Connection::open(address).await?;
    let Response::ApiVersions(told) = connection.call(ApiVersionsRequest::default(), 0).await?
    else {
        return Err("another answer than ApiVersions'".into());
    };
    let mut versions = Versions::new();
    for api in &told.api_keys {
        if let Some(ours) = Request::versions(ApiKey::from_wire(api.api_key)) {
            let first = api.min_version.max(*ours.start());
            let last = api.max_version.min(*ours.end());
            versions.insert(api.api_key, first..=last);
        }
    }
    Ok(versions)
}

/// Fetched batches with their producer ids blanked, markers with their time too, and the checksums that cover them: the
/// ids and the time of a marker are the cluster's to choose.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others carry no records")]
fn without_producer_ids(mut response: Response) -> Response {
    match &mut response {
        Response::Fetch(fetched) => {
            for partition in fetched.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.records = partition.records.take().map(blanked);
            }
        }
        Response::ShareFetch(fetched) => {
            for partition in fetched.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.records = blanked(partition.records.clone());
            }
        }
        _ => {}
    }
    response
}

fn blanked(records: Records) -> Records {
    const CRC: std::ops::Range<usize> = 17..21;
    const TIMES: std::ops::Range<usize> = 27..43;
    const PRODUCER_ID: std::ops::Range<usize> = 43..51;
    const ATTRIBUTES_LOW: usize = 22;
    const CONTROL: u8 = 0x20;
    let mut bytes = BytesMut::from(&*records.into_bytes());
    let mut rest = &mut bytes[..];
    while rest.len() >= PRODUCER_ID.end {
        rest[CRC].fill(0);
        rest[PRODUCER_ID].fill(0);
        if rest[ATTRIBUTES_LOW] & CONTROL != 0 {
            rest[TIMES].fill(0);
        }
        let length: [u8; 4] = [rest[8], rest[9], rest[10], rest[11]];
        let batch = (u32::from_be_bytes(length) as usize).saturating_add(12).min(rest.len());
        rest = &mut rest[batch..];
    }
    bytes.freeze().into()
}

fn api_name(request: &Request) -> &'static str {
    request.api_key().name().unwrap_or("unknown")
}
