//! What a scenario runs against.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use milena_broker::{Broker, Release, Settings};
use milena_types::{ApiKey, ErrorCode, NodeId, Uuid};
use milena_wire::Response;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{
    ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest, MetadataResponse,
};
use tokio::process::Command;
use tokio::time::sleep;

use crate::Result;
use crate::kafka::{self, RealCluster, Told, tool};
use crate::raw::{Connection, message};
use crate::replicas;

/// A cluster that is up, whoever plays it.
#[derive(Debug)]
pub(crate) struct Target {
    choice: Choice,
    bootstrap_servers: String,
    cluster: Cluster,
    version: Version,
    names: AtomicU32,
    apis: BTreeSet<ApiKey>,
}

#[derive(Debug)]
enum Cluster {
    Embedded(Broker),
    Real(RealCluster),
}

/// Which cluster to start, as `embedded`, `embedded-x3`, `embedded-as3.9`, `4.4.0`, `4.4.0-tv1` or `4.4.0-tv1-x3`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Choice {
    /// The version of a real one; `None` is the embedded broker.
    pub(crate) version: Option<Version>,
    /// The release that the embedded broker plays, where it is not the newest.
    pub(crate) release: Option<Release>,
    /// The level of the feature `transaction.version`, where it is not the version's own.
    pub(crate) transaction_version: Option<i16>,
    /// What the version calls unstable is switched on: two-phase commit (KIP-939).
    pub(crate) unstable: bool,
    /// Rights are judged by ACLs, and everyone may what no ACL is about.
    pub(crate) acl: bool,
    /// How many brokers.
    pub(crate) brokers: u32,
}

/// A version of Apache Kafka.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Version {
    parts: [u32; 3],
}

/// The version whose tools judge the embedded broker.
pub(crate) const NEWEST: Version = Version::of(4, 4, 0);

/// How many racks a cluster is spread over, where it is.
const RACKS: usize = 3;

/// Broker settings that switch on what Kafka calls unstable.
const UNSTABLE: &[&str] =
    &["unstable.api.versions.enable=true", "transaction.two.phase.commit.enable=true"];

/// Broker settings that let clients do what no rule is about.
const EVERYONE: &[&str] = &["allow.everyone.if.no.acl.found=true"];

impl Target {
    /// Starts the chosen cluster, for scenarios: an embedded one has members of the consumer protocol show themselves
    /// as often as a real one is told to, group by group.
    ///
    /// # Errors
    /// Why it did not start.
    pub(crate) async fn start(choice: &Choice) -> Result<Self> {
        Self::start_with(choice, true, &[], |settings| {
            settings.consumer_groups.heartbeat_interval = Duration::from_millis(200);
            settings.consumer_groups.session_timeout = Duration::from_secs(6);
        })
        .await
    }

    /// Starts the chosen cluster, an embedded one with Kafka's defaults.
    ///
    /// # Errors
    /// Why it did not start.
    pub(crate) async fn start_as_it_is(choice: &Choice) -> Result<Self> {
        Self::start_with(choice, false, &[], |_| {}).await
    }

    /// Starts the chosen cluster, which makes no topic by being asked for it.
    ///
    /// # Errors
    /// Why it did not start.
    pub(crate) async fn without_auto_creation(choice: &Choice) -> Result<Self> {
        Self::start_with(choice, false, &["auto.create.topics.enable=false"], |settings| {
            settings.auto_create_topics = false;
        })
        .await
    }

    /// Starts the chosen cluster, which keeps commits for so long; a real one for whole minutes.
    ///
    /// # Errors
    /// Why it did not start.
    pub(crate) async fn keeping_commits(choice: &Choice, kept: Duration) -> Result<Self> {
        let minutes = format!("offsets.retention.minutes={}", kept.as_secs() / 60);
        let often = "offsets.retention.check.interval.ms=500";
        Self::start_with(choice, false, &[&minutes, often], |settings| {
            settings.offsets_retention = kept;
            settings.offsets_retention_check_interval = Duration::from_millis(500);
        })
        .await
    }

    async fn start_with(
        choice: &Choice,
        racks: bool,
        configs: &[&str],
        adapt: impl FnOnce(&mut Settings),
    ) -> Result<Self> {
        let (cluster, bootstrap_servers) = match &choice.version {
            Some(version) => {
                let level = choice.transaction_version;
                let feature = level.map(|level| format!("transaction.version={level}"));
                let version = version.to_string();
                let unstable = if choice.unstable { UNSTABLE } else { &[] };
                let everyone = if choice.acl { EVERYONE } else { &[] };
                let configs = [unstable, everyone, configs].concat();
                let cluster = RealCluster::start(
                    &version,
                    choice.brokers,
                    feature.as_deref(),
                    &configs,
                    racks,
                    choice.acl,
                )
                .await?;
                let servers = cluster.bootstrap_servers().to_owned();
                (Cluster::Real(cluster), servers)
            }
            None => {
                let nodes = usize::try_from(choice.brokers)?;
                let broker = Broker::builder().nodes(nodes);
                let broker = broker.racks(if racks { RACKS.min(nodes) } else { 0 });
                let broker = broker.as_version(choice.release.unwrap_or(Release::NEWEST));
                let broker = match choice.transaction_version {
                    Some(level) => broker.transaction_version(level),
                    None => broker,
                };
                let broker = if choice.acl { broker.authorizer() } else { broker };
                let broker = broker.configure(as_a_real_one).configure(adapt).start().await?;
                let servers = broker.bootstrap_servers();
                (Cluster::Embedded(broker), servers)
            }
        };
        let version = match (&choice.version, choice.release) {
            (Some(version), _) => version.clone(),
            (None, Some(release)) => format!("{release}.0").parse()?,
            (None, None) => NEWEST,
        };
        let names = AtomicU32::new(0);
        let first = bootstrap_servers.split(',').next().unwrap_or_default();
        let apis = apis_of(first).await?;
        Ok(Self { choice: choice.clone(), bootstrap_servers, cluster, version, names, apis })
    }

    /// Addresses of all brokers, with commas.
    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The address of the first broker.
    pub(crate) fn address(&self) -> &str {
        self.bootstrap_servers.split(',').next().unwrap_or_default()
    }

    /// What was chosen.
    pub(crate) fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Whether the first broker has this API, in whatever versions.
    pub(crate) fn speaks(&self, api: ApiKey) -> bool {
        self.apis.contains(&api)
    }

    /// The embedded broker, if it is one.
    pub(crate) fn embedded(&self) -> Option<&Broker> {
        match &self.cluster {
            Cluster::Embedded(embedded) => Some(embedded),
            Cluster::Real(_) => None,
        }
    }

    /// Ends a broker as a power cut does.
    pub(crate) async fn kill_broker(&self, broker: i32) -> Result {
        match &self.cluster {
            Cluster::Embedded(embedded) => {
                embedded.crash_node(NodeId::new(broker));
                Ok(())
            }
            Cluster::Real(real) => real.kill_broker(broker).await,
        }
    }

    /// Brings a killed broker back with its data and its port.
    pub(crate) async fn start_broker(&self, broker: i32) -> Result {
        match &self.cluster {
            Cluster::Embedded(embedded) => Ok(embedded.restart_node(NodeId::new(broker)).await?),
            Cluster::Real(real) => real.start_broker(broker).await,
        }
    }

    /// Has a broker end by itself, as for a new release. The embedded one knows no other end than a power cut's.
    pub(crate) async fn stop_broker(&self, broker: i32) -> Result {
        match &self.cluster {
            Cluster::Embedded(_) => self.kill_broker(broker).await,
            Cluster::Real(real) => real.stop_broker(broker).await,
        }
    }

    /// A broker stands still, with its connections open.
    pub(crate) async fn pause_broker(&self, broker: i32) -> Result {
        match &self.cluster {
            Cluster::Embedded(embedded) => {
                embedded.pause_node(NodeId::new(broker));
                Ok(())
            }
            Cluster::Real(real) => real.pause_broker(broker).await,
        }
    }

    /// A broker that stands still goes on.
    pub(crate) async fn resume_broker(&self, broker: i32) -> Result {
        match &self.cluster {
            Cluster::Embedded(embedded) => {
                embedded.resume_node(NodeId::new(broker));
                Ok(())
            }
            Cluster::Real(real) => real.resume_broker(broker).await,
        }
    }

    /// Has every broker run, whatever state it is in.
    ///
    /// # Errors
    /// The last that does not, after all were tried.
    pub(crate) async fn bring_back(&self) -> Result {
        let brokers = 1..=i32::try_from(self.choice.brokers)?;
        for broker in brokers.clone() {
            // One that does not run does not go on either; it is started below.
            _ = self.resume_broker(broker).await;
        }
        let mut all = Ok(());
        for broker in brokers {
            all = self.start_broker(broker).await.and(all);
        }
        all
    }

    /// Waits until all replicas of `topics` are in sync; see [`replicas`].
    ///
    /// # Errors
    /// What is not after two minutes.
    pub(crate) async fn await_in_sync(&self, topics: &[&str]) -> Result {
        replicas::await_in_sync(&self.bootstrap_servers, topics).await
    }

    /// The version that this cluster is, or that the embedded broker plays.
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// A name that no other scenario on this target has.
    pub(crate) fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// The address of the controller as Metadata tells it: the only one that makes topics before
    /// brokers pass such requests on (KIP-590, Kafka 3.0).
    pub(crate) async fn controller_address(&self) -> Result<String> {
        let told = self.metadata(vec![]).await?;
        address_of(&told, told.controller_id)
    }

    /// The leader of a topic's first partition, once it has one: brokers learn of a topic one by one.
    pub(crate) async fn leader(&self, topic: &str) -> Result<i32> {
        leader_by(self.address(), topic).await
    }

    /// Waits until every broker knows who leads a topic's first partition.
    pub(crate) async fn await_topic(&self, topic: &str) -> Result {
        for address in self.bootstrap_servers.split(',') {
            leader_by(address, topic).await?;
        }
        Ok(())
    }

    /// The address of the broker that coordinates a transactional id.
    pub(crate) async fn transaction_coordinator_address(&self, id: &str) -> Result<String> {
        let coordinator = self.transaction_coordinator(id).await?;
        address_of(&self.metadata(vec![]).await?, coordinator)
    }

    /// The broker that coordinates a transactional id.
    pub(crate) async fn transaction_coordinator(&self, transactional_id: &str) -> Result<i32> {
        let ask = message!(FindCoordinatorRequest { key: transactional_id.into(), key_type: 1 });
        let mut any = Connection::open(self.address()).await?;
        let Response::FindCoordinator(told) = any.call(ask, 2).await? else {
            return Err("another answer than FindCoordinator's".into());
        };
        match told.error_code {
            ErrorCode::NONE => Ok(told.node_id),
            code => Err(format!("the coordinator: {code}").into()),
        }
    }

    /// The address of the leader of a topic's first partition, once it has one.
    pub(crate) async fn leader_address(&self, topic: &str) -> Result<String> {
        let leader = self.leader(topic).await?;
        address_of(&self.metadata(vec![]).await?, leader)
    }

    /// The ids by which the brokers know a topic, `None` for one that does not know it.
    pub(crate) async fn topic_ids(&self, topic: &str) -> Result<BTreeSet<Option<Uuid>>> {
        let mut ids = BTreeSet::new();
        for address in self.bootstrap_servers.split(',') {
            let named = message!(MetadataRequestTopic { name: Some(topic.into()) });
            let told = metadata_of(address, Some(vec![named]), 10).await?;
            let known = told.topics.into_iter().find(|topic| topic.error_code == ErrorCode::NONE);
            ids.insert(known.map(|topic| topic.topic_id));
        }
        Ok(ids)
    }

    async fn metadata(&self, topics: Vec<MetadataRequestTopic>) -> Result<MetadataResponse> {
        metadata_of(self.address(), Some(topics), 4).await
    }

    /// Runs one of Kafka's own programs against this cluster, and asserts that it succeeds.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) async fn tool(&self, name: &str, args: &[&str], input: &str) -> Result<String> {
        Ok(self.try_tool(name, args, input).await?.expect_success())
    }

    /// Runs one of Kafka's own programs against this cluster.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) async fn try_tool(&self, name: &str, args: &[&str], input: &str) -> Result<Told> {
        let version = self.version_of_java().to_string();
        tool(&version, &self.bootstrap_servers, name, args, input).await
    }

    /// A program in Java that is one source file, with the clients of this cluster's release.
    pub(crate) fn java(&self, source: &Path) -> Command {
        kafka::java(&self.version_of_java().to_string(), source)
    }

    /// Before 2.8 some of Kafka's programs do not know --bootstrap-server; the newest ones speak to all brokers, and judge
    /// the embedded one whatever release it plays.
    fn version_of_java(&self) -> &Version {
        let own = self.choice.version.as_ref().filter(|version| **version >= Version::of(2, 8, 0));
        own.unwrap_or(&NEWEST)
    }
}

/// Settings in which the embedded broker differs from what `kafka-cluster` gives a real one.
fn as_a_real_one(settings: &mut Settings) {
    // A real coordinator writes markers after its answer.
    settings.transaction_marker_delay = Duration::from_millis(5);
}

async fn apis_of(address: &str) -> Result<BTreeSet<ApiKey>> {
    let told = Connection::open(address).await?.call(ApiVersionsRequest::default(), 0).await?;
    let Response::ApiVersions(told) = told else {
        return Err("another answer than ApiVersions'".into());
    };
    Ok(told.api_keys.iter().map(|api| ApiKey::from_wire(api.api_key)).collect())
}

/// The leader of a topic's first partition, once the broker at `address` knows it.
async fn leader_by(address: &str, topic: &str) -> Result<i32> {
    loop {
        let named = message!(MetadataRequestTopic { name: Some(topic.into()) });
        let told = metadata_of(address, Some(vec![named]), 4).await?;
        let partition = told.topics.first().and_then(|topic| topic.partitions.first());
        if let Some(partition) = partition
            && partition.error_code == ErrorCode::NONE
        {
            return Ok(partition.leader_id);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn address_of(told: &MetadataResponse, broker: i32) -> Result<String> {
    let broker = told.brokers.iter().find(|b| b.node_id == broker).ok_or("an unknown broker")?;
    Ok(format!("{}:{}", broker.host, broker.port))
}

impl Version {
    /// `major.minor.patch`.
    pub(crate) const fn of(major: u32, minor: u32, patch: u32) -> Self {
        Self { parts: [major, minor, patch] }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.parts;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts: Vec<u32> = text.split('.').filter_map(|part| part.parse().ok()).collect();
        let parts = parts.try_into().map_err(|_| format!("{text} is no version as 4.4.0"))?;
        Ok(Self { parts })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{version}")?,
            None => f.write_str("embedded")?,
        }
        if let Some(release) = self.release {
            write!(f, "-as{release}")?;
        }
        if let Some(level) = self.transaction_version {
            write!(f, "-tv{level}")?;
        }
        if self.unstable {
            f.write_str("-unstable")?;
        }
        if self.acl {
            f.write_str("-acl")?;
        }
        if self.brokers > 1 { write!(f, "-x{}", self.brokers) } else { Ok(()) }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, brokers) = match text.rsplit_once("-x") {
            Some((name, n)) => (name, n.parse().map_err(|_| format!("{n} is no number"))?),
            None => (text, 1),
        };
        let (name, acl) = match name.strip_suffix("-acl") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (name, transaction_version) = match name.rsplit_once("-tv") {
            Some((name, n)) => (name, Some(n.parse().map_err(|_| format!("{n} is no number"))?)),
            None => (name, None),
        };
        let (name, unstable) = match name.strip_suffix("-unstable") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (version, release) = match name.strip_prefix("embedded") {
            Some("") => (None, None),
            Some(other) => {
                let release = other.strip_prefix("-as");
                let release = release.ok_or_else(|| format!("{text} is not as embedded-as3.9"))?;
                (None, Some(release.parse().map_err(|e| format!("{text}: {e}"))?))
            }
            None => (Some(name.parse()?), None),
        };
        Ok(Self { version, release, transaction_version, unstable, acl, brokers })
    }
}

/// What the broker at `address` knows of these topics, or of all.
pub(crate) async fn metadata_of(
    address: &str,
    topics: Option<Vec<MetadataRequestTopic>>,
    version: i16,
) -> Result<MetadataResponse> {
    let ask = message!(MetadataRequest { topics: topics, allow_auto_topic_creation: false });
    let mut connection = Connection::open(address).await?;
    let Response::Metadata(told) = connection.call(ask, version).await? else {
        return Err("another answer than Metadata's".into());
    };
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_printed() {
        for text in [
            "embedded",
            "embedded-x3",
            "4.4.0",
            "2.8.2-x3",
            "4.4.0-tv1",
            "embedded-tv1-x3",
            "4.4.0-unstable",
            "embedded-as3.9",
            "embedded-as4.0-tv1-x3",
            "embedded-acl",
            "4.4.0-acl-x3",
        ] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        assert!("4.4".parse::<Choice>().is_err());
        assert!("newest".parse::<Choice>().is_err());
        assert!("embedded-as2.0".parse::<Choice>().is_err());
        assert!("embedded3.9".parse::<Choice>().is_err());
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(Version::of(4, 0, 0) > Version::of(3, 9, 2));
        assert!(Version::of(3, 10, 0) > Version::of(3, 9, 2));
    }
}
