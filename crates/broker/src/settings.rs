//! What a cluster is made of and how it behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_types::{NodeId, Timestamp};

use crate::acl::AuthorizerSettings;
use crate::group::{ConsumerGroupSettings, StreamsGroupSettings};
use crate::release::{
    Feature, GROUP_VERSION, METADATA_VERSION, Release, SHARE_VERSION, STREAMS_VERSION,
    TRANSACTION_VERSION,
};
use crate::share::ShareGroupSettings;
use crate::transaction::TransactionVersion;

/// Everything that is decided before a [`Cluster`](crate::Cluster) starts.
///
/// The defaults are Kafka's unless the field says otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Changed by [`Settings::as_version`], with the levels of the features.
    release: Release,
    /// The finalized level of the feature `metadata.version`; none before KRaft.
    metadata_version: i16,
    /// Seeds all that is drawn: topic ids, member ids, fetch sessions, fault rules with a probability. Default 0.
    pub seed: u64,
    /// The name in metadata. Default one that is shaped as Kafka's.
    pub cluster_id: String,
    /// The wall clock at the moment the cluster is made; it goes on with the `now` of each call.
    ///
    /// Default 2026-01-01. Clients whose records are more than an hour ahead of it are refused, as Kafka does.
    pub wall_clock: Timestamp,
    /// The nodes. Default one, with id 1.
    pub nodes: Vec<NodeSettings>,
    /// Whether leaders send readers who say where they are (`client.rack`) on to a replica in the same rack (KIP-392), as
    /// with Kafka's `RackAwareReplicaSelector` in `replica.selector.class`. Default false.
    pub rack_aware_reads: bool,
    /// Topics that exist from the start.
    pub topics: Vec<TopicSettings>,
    /// `num.partitions`: of topics whose creator leaves it open. Default 1.
    pub partitions_default: i32,
    /// `default.replication.factor`. Default 3, or the number of nodes if that is less (Kafka: 1).
    pub replication_factor_default: i16,
    /// `auto.create.topics.enable`. Default true.
    pub auto_create_topics: bool,
    /// What brokers are started with that topics have where they do not say otherwise, by the brokers' names, as
    /// `log.retention.ms`. Set by [`Settings::set`].
    pub(crate) broker_config: BTreeMap<String, String>,
    /// How long the controller takes a crashed or paused node for alive: `broker.session.timeout.ms`.
    ///
    /// Default 200 ms (Kafka: 9 s).
    pub failover: Duration,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members. Default 0 (Kafka: 3 s).
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`. Default 1 s (Kafka: 6 s), for tests in real time.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`. Default 30 min.
    pub session_timeout_max: Duration,
    /// `group.max.size`. Default 10,000 (Kafka: no limit).
    pub group_size_max: usize,
    /// How many groups of the classic and the consumer protocol there may be, and how many share groups. Default 100,000
    /// (Kafka: no limit).
    pub groups_max: usize,
    /// The finalized level of the feature `group.version`: 1 lets groups use the consumer protocol (KIP-848), 0 does not.
    /// Default 1, as Kafka since 4.0.
    pub group_version: i16,
    /// How groups of the consumer protocol behave: `group.consumer.*`.
    pub consumer_groups: ConsumerGroupSettings,
    /// The finalized level of the feature `transaction.version`: 2 lets producers follow KIP-890, 0 and 1 the older
    /// protocol. Default 2, as Kafka since 4.0.
    pub transaction_version: i16,
    /// `transaction.max.timeout.ms`. Default 15 min.
    pub transaction_timeout_max: Duration,
    /// `transactional.id.expiration.ms`: how long an unused transactional id is remembered. Default 7 days.
    pub transactional_id_expiration: Duration,
    /// How long the end of a transaction is prepared before its markers are written; until then whoever asks is
    /// answered CONCURRENT_TRANSACTIONS. Default 0 (Kafka: as long as it takes, which clients see as some milliseconds).
    pub transaction_marker_delay: Duration,
    /// `authorizer.class.name`: whether clients may do only what ACLs let them, and by which rules besides. Default none, as
    /// Kafka's: everyone may do everything, and requests about ACLs are answered SECURITY_DISABLED.
    pub authorizer: Option<AuthorizerSettings>,
    /// Whether there is somebody who receives what clients push of their metrics (KIP-714), as with a plugin of Kafka's in
    /// `metric.reporters`: only then ApiVersions lists the APIs for it, and what is pushed is in the
    /// [`Journal`](crate::Journal). Default false, as Kafka's.
    pub client_telemetry: bool,
    /// `telemetry.max.bytes`: how much a client may push at once. Default 1 MiB.
    pub telemetry_bytes_max: usize,
    /// `offsets.retention.minutes`: how long commits are kept after their group lost its last member, and those of nobody's
    /// group, or of a topic that its members do not read, after they were made. Default 7 days.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`: how often commits are looked through for what is too old; groups that have neither
    /// members nor commits go then. Default 10 min, at least 1 ms.
    pub offsets_retention_check_interval: Duration,
    /// `offset.metadata.max.bytes`. Default 4096.
    pub offset_metadata_bytes_max: usize,
    /// `socket.request.max.bytes`: a longer frame closes the connection. Default 100 MiB.
    pub frame_bytes_max: usize,
    /// How many connections the cluster takes; a further one is refused. Default 10,000 (Kafka: no limit).
    pub connections_max: usize,
    /// The finalized level of the feature `share.version`: 0 is a cluster without share groups. Default 2, as Kafka 4.4,
    /// though no group here has a dead-letter topic.
    pub share_version: i16,
    /// How share groups behave: `group.share.*`.
    pub share_groups: ShareGroupSettings,
    /// The finalized level of the feature `streams.version`: 1 lets groups use the protocol of Kafka Streams (KIP-1071), 0
    /// does not. Default 1, as Kafka since 4.2.
    pub streams_version: i16,
    /// How groups of Kafka Streams behave: `group.streams.*`.
    pub streams_groups: StreamsGroupSettings,
    /// `fetch.max.bytes` of the broker: the most that one Fetch returns. Default 55 MiB.
    pub fetch_bytes_max: usize,
    /// `max.incremental.fetch.session.cache.slots`, of each node. Default 1000.
    pub fetch_sessions_max: usize,
    /// `log.retention.check.interval.ms`: how often logs are looked through for what is too old; what is too much goes at each
    /// append, too. Default 5 min, at least 1 ms.
    pub retention_check_interval: Duration,
    /// `log.cleaner.backoff.ms`: how often compacted topics are looked through for what may be compacted. Default 15 s, at least
    /// 1 ms.
    pub cleaner_backoff: Duration,
    /// How many partitions all topics may have together. Default 100,000 (Kafka: no limit).
    pub partitions_max: usize,
    /// How many entries of each kind the journal keeps. Default 100,000.
    pub journal_max: usize,
}

/// A node before the start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeSettings {
    /// Its id.
    pub id: NodeId,
    /// The host that clients are told. Default `localhost`.
    pub host: String,
    /// The port that clients are told. Default 9092 for node 1, 9093 for node 2 and so on.
    pub port: u16,
    /// `broker.rack`. Default none.
    pub rack: Option<String>,
}

/// A topic before the start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicSettings {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many copies of each; `None` takes the cluster's default.
    pub replication_factor: Option<i16>,
    /// Its configuration, by Kafka's names.
    pub config: BTreeMap<String, String>,
}

impl Settings {
    /// A cluster of `nodes` nodes with the ids 1, 2 and so on.
    pub fn with_nodes(nodes: usize) -> Self {
        let ids = (1..).take(nodes).map(NodeId::new);
        Self {
            nodes: ids.map(NodeSettings::new).collect(),
            replication_factor_default: i16::try_from(nodes.min(3)).unwrap_or(3),
            ..Self::default()
        }
    }

    /// Plays a release of Kafka: its APIs and their versions, and its features at the levels of a cluster that is made anew.
    ///
    /// Default 4.4. Topics have the settings of the release, before 4.0 groups are coordinated as they were then, and where requests
    /// were answered otherwise they are: held to real brokers of 2.1, 2.8, 3.9 and 4.4, by the sources for those between. Up to 3.2
    /// the cluster lists what brokers with ZooKeeper do.
    ///
    /// Versions that went with Kafka 4.0 are not served, and are not listed below 4.0 either. But Produce 0 to 2 are, as
    /// real brokers list them: those before 4.0 serve them, while here they close the connection, as with 4.x.
    ///
    /// Sets `transaction_version`, `group_version`, `share_version` and `streams_version`: a level of one's own is set after it.
    #[must_use]
    pub fn as_version(mut self, release: Release) -> Self {
        self.release = release;
        self.metadata_version = release.level(METADATA_VERSION);
        self.transaction_version = release.level(TRANSACTION_VERSION);
        self.group_version = release.level(GROUP_VERSION);
        self.share_version = release.level(SHARE_VERSION);
        self.streams_version = release.level(STREAMS_VERSION);
        self
    }

    /// The release that is played.
    pub fn release(&self) -> Release {
        self.release
    }

    /// The finalized level of a feature.
    pub(crate) fn level(&self, feature: &Feature) -> i16 {
        match feature.name {
            TRANSACTION_VERSION => self.transaction_version,
            GROUP_VERSION => self.group_version,
            SHARE_VERSION => self.share_version,
            STREAMS_VERSION => self.streams_version,
            _ => self.metadata_version,
        }
    }

    /// Sets the level of a feature that the release knows.
    pub(crate) fn set_level(&mut self, feature: &str, level: i16) {
        match feature {
            TRANSACTION_VERSION => self.transaction_version = level,
            GROUP_VERSION => self.group_version = level,
            SHARE_VERSION => self.share_version = level,
            STREAMS_VERSION => self.streams_version = level,
            METADATA_VERSION => self.metadata_version = level,
            _ => {}
        }
    }

    /// Says which feature is at a level that the release does not know.
    pub(crate) fn check_features(&self) -> Result<(), String> {
        let set = [
            (TRANSACTION_VERSION, self.transaction_version),
            (GROUP_VERSION, self.group_version),
            (SHARE_VERSION, self.share_version),
            (STREAMS_VERSION, self.streams_version),
        ];
        set.into_iter().try_for_each(|(name, level)| self.check_level(name, level))
    }

    /// Says whether the release does not know this level of a feature.
    pub(crate) fn check_level(&self, name: &str, level: i16) -> Result<(), String> {
        let known = self.release.features().find(|feature| feature.name == name);
        let max = known.map_or(0, |feature| feature.max);
        if (0..=max).contains(&level) {
            return Ok(());
        }
        Err(format!(
            "{name} is {level}, which Kafka {} does not know: it is {max} at most",
            self.release
        ))
    }

    /// The protocol that the coordinator itself follows where no producer asks.
    pub(crate) fn transaction_version(&self) -> TransactionVersion {
        if self.transaction_version >= 2 { TransactionVersion::V2 } else { TransactionVersion::V1 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            release: Release::NEWEST,
            metadata_version: Release::NEWEST.level(METADATA_VERSION),
            seed: 0,
            cluster_id: "milena-embedded-cluster".to_owned(),
            wall_clock: Timestamp::from_millis(1_767_225_600_000),
            nodes: vec![NodeSettings::new(NodeId::new(1))],
            rack_aware_reads: false,
            topics: Vec::new(),
            partitions_default: 1,
            replication_factor_default: 1,
            auto_create_topics: true,
            broker_config: BTreeMap::new(),
            failover: Duration::from_millis(200),
            initial_rebalance_delay: Duration::ZERO,
            session_timeout_min: Duration::from_secs(1),
            session_timeout_max: Duration::from_secs(30 * 60),
            group_size_max: 10_000,
            groups_max: 100_000,
            group_version: 1,
            consumer_groups: ConsumerGroupSettings::default(),
            transaction_version: 2,
            transaction_timeout_max: Duration::from_secs(15 * 60),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
            transaction_marker_delay: Duration::ZERO,
            authorizer: None,
            client_telemetry: false,
            telemetry_bytes_max: 1 << 20,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
            offset_metadata_bytes_max: 4096,
            frame_bytes_max: 100 << 20,
            connections_max: 10_000,
            share_version: 2,
            share_groups: ShareGroupSettings::default(),
            streams_version: 1,
            streams_groups: StreamsGroupSettings::default(),
            fetch_bytes_max: 55 << 20,
            fetch_sessions_max: 1000,
            retention_check_interval: Duration::from_secs(5 * 60),
            cleaner_backoff: Duration::from_secs(15),
            partitions_max: 100_000,
            journal_max: 100_000,
        }
    }
}

impl NodeSettings {
    /// A node at `localhost:9091 + id`.
    pub fn new(id: NodeId) -> Self {
        let port = 9091_i32.saturating_add(id.get());
        Self {
            id,
            host: "localhost".to_owned(),
            port: u16::try_from(port).unwrap_or(9092),
            rack: None,
        }
    }
}

impl TopicSettings {
    /// A topic with `partitions` partitions, all else by default.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication_factor: None, config: BTreeMap::new() }
    }
}
