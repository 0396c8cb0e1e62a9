//! Says what a cluster shall be, and starts it.

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use milena_types::Timestamp;

use super::broker::Broker;
use super::data_dir::DataDir;
use super::listen;
use crate::cluster::Cluster;
use crate::properties::InvalidProperty;
use crate::release::Release;
use crate::settings::{Settings, TopicSettings};

/// A cluster before it runs. Made by [`Broker::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs until it is started"]
pub struct Builder {
    settings: Settings,
    nodes: usize,
    racks: usize,
    port: u16,
    wall_clock: Option<Timestamp>,
    data_dir: Option<PathBuf>,
}

impl Builder {
    pub(super) fn new() -> Self {
        let settings = Settings::default();
        Self { settings, nodes: 1, racks: 0, port: 0, wall_clock: None, data_dir: None }
    }

    /// How many nodes. Default 1.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes.max(1);
        let cluster = Settings::with_nodes(self.nodes);
        self.settings.nodes = cluster.nodes;
        self.settings.replication_factor_default = cluster.replication_factor_default;
        self
    }

    /// Spreads the nodes over so many racks, `rack-1`, `rack-2` and so on in turn, and has leaders send readers who say
    /// where they are (`client.rack`) on to a replica in their rack (KIP-392). Default: no node has a rack.
    ///
    /// Racks of one's own are set by [`configure`](Self::configure), with [`Settings::rack_aware_reads`]; these here
    /// replace them. More racks than nodes are refused at the start.
    pub fn racks(mut self, racks: usize) -> Self {
        self.racks = racks;
        self
    }

    /// A topic that exists from the start, replicated as the cluster's default says.
    pub fn topic(self, name: impl Into<String>, partitions: i32) -> Self {
        self.topic_with(TopicSettings::new(name, partitions))
    }

    /// A topic that exists from the start, with replication and configuration of its own.
    pub fn topic_with(mut self, topic: TopicSettings) -> Self {
        self.settings.topics.push(topic);
        self
    }

    /// Seeds all that is drawn. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The port of the first node; the others follow it. Default: free ports on sockets, 9092 and on in memory.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The wall clock at the start. Default: the machine's.
    pub fn wall_clock(mut self, wall_clock: Timestamp) -> Self {
        self.wall_clock = Some(wall_clock);
        self
    }

    /// Keeps what the cluster accepts in a directory, which is made if there is none: a cluster that is started there again
    /// goes on from it. Default: nothing is kept.
    ///
    /// What was acknowledged survives the end of the process, `kill -9` as well: records, topics with ids and
    /// configuration, commits, transactions and what partitions remember of idempotent producers, share groups' progress.
    /// Members of groups join again. Nothing is flushed to the disk by itself (`fsync`), as in Kafka by default; but here
    /// all replicas share the one directory, and a machine that loses power may lose the newest part.
    ///
    /// The records are in memory besides, so that retention bounds both. The file is written anew whenever it is twice
    /// as long as it was after the last time or at the start, and 64 MiB at least; the cluster stands still for about a
    /// second per gigabyte then. Where the disk has no room for that, the file grows on, and it is tried again later.
    ///
    /// A later start needs all nodes of the earlier one; there may be more. Topics of the builder that are there
    /// already stay as they are.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Plays a release of Kafka, as `"3.9".parse()` reads it: its APIs, their versions and its features. Default 4.4.
    ///
    /// See [`Settings::as_version`] for what is different from a real one. It sets the levels of the features, so that a
    /// [`transaction_version`](Self::transaction_version) of one's own comes after it.
    pub fn as_version(mut self, release: Release) -> Self {
        self.settings = self.settings.as_version(release);
        self
    }

    /// The finalized level of the feature `transaction.version`: 2 lets producers follow KIP-890, 0 and 1 the older
    /// protocol of transactions. Default 2, or as the release has it: [`as_version`](Self::as_version) after this
    /// overwrites it.
    pub fn transaction_version(mut self, level: i16) -> Self {
        self.settings.transaction_version = level;
        self
    }

    /// Judges by ACLs what clients may do, as Kafka's `StandardAuthorizer`; what no ACL is about everyone may do. Clients get
    /// ACLs by CreateAcls and `kafka-acls`, tests by [`Broker::add_acl`]. Default: everyone may do everything.
    ///
    /// Super users, and nobody else without a right, are in [`Settings::authorizer`].
    pub fn authorizer(mut self) -> Self {
        let authorizer = self.settings.authorizer.get_or_insert_default();
        authorizer.allow_everyone_if_no_acl_found = true;
        self
    }

    /// Has clients that can push metrics of themselves (KIP-714): ApiVersions lists the APIs for it, as brokers of Kafka do that
    /// have a plugin which receives such metrics. What clients are to push is asked for by subscriptions, as `kafka-client-metrics`
    /// makes them; what they pushed is in [`Journal::telemetry`](crate::Journal::telemetry). Default: none of it is listed.
    pub fn client_telemetry(mut self) -> Self {
        self.settings.client_telemetry = true;
        self
    }

    /// Sets what a `server.properties` of Kafka calls so, as `log.retention.ms`: see [`Settings::set`]. A release of one's own
    /// ([`as_version`](Self::as_version)) comes before it.
    ///
    /// # Errors
    /// A name for which nothing stands here, or a value that is not of its kind.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, InvalidProperty> {
        self.settings.set(name, value)?;
        Ok(self)
    }

    /// Changes any of the settings.
    pub fn configure(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Starts the cluster on sockets of the loopback (127.0.0.1 only), within the present tokio runtime.
    ///
    /// # Errors
    /// Where a port is taken, a topic is not legal, or there are more racks than nodes; where the data directory is used by another process, cannot be
    /// written, or holds something else.
    #[expect(clippy::unused_async, reason = "tells that a tokio runtime is needed")]
    pub async fn start(mut self) -> io::Result<Broker> {
        let mut listeners = Vec::new();
        for (node, offset) in self.settings.nodes.iter_mut().zip(0..) {
            let port = if self.port == 0 { 0 } else { self.port.saturating_add(offset) };
            let listener = listen::bind(port)?;
            let address = listener.local_addr()?;
            node.host = address.ip().to_string();
            node.port = address.port();
            listeners.push((node.id, listener));
        }
        let (cluster, data_dir) = self.cluster()?;
        Broker::on_sockets(cluster, data_dir, listeners)
    }

    /// Starts the cluster within the process, to be reached through [`Broker::dialer`] alone.
    ///
    /// # Errors
    /// Where a topic is not legal, or there are more racks than nodes; where the data directory is used by another process, cannot be written, or holds
    /// something else.
    #[expect(clippy::unused_async, reason = "tells that a tokio runtime is needed")]
    pub async fn start_in_memory(mut self) -> io::Result<Broker> {
        if self.port != 0 {
            for (node, offset) in self.settings.nodes.iter_mut().zip(0..) {
                node.port = self.port.saturating_add(offset);
            }
        }
        let (cluster, data_dir) = self.cluster()?;
        Broker::in_memory(cluster, data_dir)
    }

    fn cluster(mut self) -> io::Result<(Cluster, Option<DataDir>)> {
        self.settings.wall_clock = self.wall_clock.unwrap_or_else(machines_clock);
        let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        let nodes = self.settings.nodes.len();
        if self.racks > nodes {
            let why = format!("racks = {} is more than nodes = {nodes}", self.racks);
            return Err(invalid(format!("{why}: a rack needs a node in it")));
        }
        if self.racks > 0 {
            self.settings.rack_aware_reads = true;
            for (node, rack) in self.settings.nodes.iter_mut().zip((1..=self.racks).cycle()) {
                node.rack = Some(format!("rack-{rack}"));
            }
        }
        let now = tokio::time::Instant::now().into_std();
        let Some(path) = self.data_dir else {
            return Ok((Cluster::new(self.settings, now).map_err(invalid)?, None));
        };
        let mut data_dir = DataDir::open(&path)?;
        let mut pieces = data_dir.pieces()?;
        let restored = Cluster::restore(self.settings, now, &mut pieces);
        // What could not be read is the reason for whatever did not fit.
        let end = pieces.finish()?;
        let cluster = restored.map_err(|why| invalid(format!("{}: {why}", path.display())))?;
        data_dir.cut(end)?;
        Ok((cluster, Some(data_dir)))
    }
}

#[expect(clippy::disallowed_methods, reason = "the seam where the wall clock comes in")]
fn machines_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
