//! The handle of a running cluster.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use milena_types::{ApiKey, NodeId, Offset, TopicPartition};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::builder::Builder;
use super::data_dir::DataDir;
use super::shared::Shared;
use super::{listen, pump};
use crate::acl::Acl;
use crate::cluster::{
    Cluster, CommandError, ConsumerGroupView, GroupView, NewRecord, PartitionView, ShareGroupView,
    SharePartitionView, StoredBatch, StoredRecord, TransactionView,
};
use crate::fault::{FaultId, FaultRule};
use crate::group::Committed;
use crate::journal::{Journal, SeenRequest, TopicMetrics};
use crate::settings::TopicSettings;

/// A running cluster. Dropping it stops everything at once, without waiting.
///
/// Its tasks live in the tokio runtime it was started in. Under `tokio::time::pause` its clock stands still too.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use milena_broker::{ApiKey, Broker, ErrorCode, on};
///
/// let broker = Broker::builder().nodes(3).topic("orders", 6).seed(7).start().await?;
/// broker.add_fault(on(ApiKey::PRODUCE).nth(1).error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
/// // Give `broker.bootstrap_servers()` to any Kafka client, then ask what the cluster accepted.
/// assert!(broker.records("orders", 0).is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the cluster stops when its handle is dropped"]
pub struct Broker {
    shared: Arc<Shared>,
    runtime: Handle,
    /// Of the socket shell; of crashed nodes those that may be about to stop.
    acceptors: Mutex<BTreeMap<NodeId, Acceptor>>,
    has_sockets: bool,
}

/// Who takes connections for a node.
#[derive(Debug)]
struct Acceptor {
    task: JoinHandle<()>,
    /// Whether it was told to stop; the port is free once the task has ended.
    is_stopped: bool,
}

impl Broker {
    /// A cluster of one node without topics, to be changed before it starts.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn in_memory(cluster: Cluster, data_dir: Option<DataDir>) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(cluster, data_dir));
        // Topics of the settings are written down before anyone asks.
        shared.with(|_, _| ());
        if let Some(failed) = shared.store_failure() {
            return Err(failed);
        }
        let runtime = Handle::current();
        let timer = Arc::clone(&shared);
        runtime.spawn(async move { timer.keep_time().await });
        Ok(Self { shared, runtime, acceptors: Mutex::default(), has_sockets: false })
    }

    pub(super) fn on_sockets(
        cluster: Cluster,
        data_dir: Option<DataDir>,
        listeners: Vec<(NodeId, std::net::TcpListener)>,
    ) -> io::Result<Self> {
        let mut broker = Self::in_memory(cluster, data_dir)?;
        broker.has_sockets = true;
        for (node, listener) in listeners {
            broker.accept(node, listener)?;
        }
        Ok(broker)
    }

    /// `host:port` of every node, with commas between, as `bootstrap.servers` takes it.
    pub fn bootstrap_servers(&self) -> String {
        self.with(|cluster, _| {
            let nodes = cluster.nodes().into_iter();
            let addresses = nodes.filter_map(|node| cluster.node_address(node));
            addresses.map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
        })
    }

    /// What connects to a node of this cluster within the process, by the port that metadata names.
    ///
    /// Works for a cluster on sockets as well. Fails with `ConnectionRefused` for a port that no node has and for a
    /// crashed node.
    pub fn dialer(
        &self,
    ) -> impl Fn(&str, u16) -> io::Result<DuplexStream> + Clone + Send + Sync + 'static {
        let (shared, runtime) = (Arc::clone(&self.shared), self.runtime.clone());
        move |_host, port| {
            let node = shared.with(|cluster, _| {
                let is_its =
                    |node: &NodeId| cluster.node_address(*node).is_some_and(|(_, p)| p == port);
                cluster.nodes().into_iter().find(is_its)
            });
            let node = node.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (connection, outbox, inbox) = shared.open(node)?;
            let (client, server) = tokio::io::duplex(PIPE_BYTES);
            runtime.spawn(pump::serve(server, Arc::clone(&shared), connection, outbox, inbox));
            Ok(client)
        }
    }

    /// Works on the machine itself: all of [`Cluster`]'s commands and questions.
    pub fn with<T>(&self, work: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        self.shared.with(work)
    }

    /// Adds a fault rule.
    pub fn add_fault(&self, rule: FaultRule) -> FaultId {
        self.with(|cluster, _| cluster.add_fault(rule))
    }

    /// Removes a fault rule; false if it is gone already.
    pub fn remove_fault(&self, id: FaultId) -> bool {
        self.with(|cluster, _| cluster.remove_fault(id))
    }

    /// Removes every fault rule.
    pub fn clear_faults(&self) {
        self.with(|cluster, _| cluster.clear_faults());
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// As CreateTopics.
    pub fn create_topic(&self, topic: &TopicSettings) -> Result<(), CommandError> {
        self.with(|cluster, now| cluster.create_topic(now, topic))
    }

    /// Deletes a topic; false if there is none of this name.
    pub fn delete_topic(&self, topic: &str) -> bool {
        self.with(|cluster, now| cluster.delete_topic(now, topic))
    }

    /// Adds a rule about who may do what; one that is there already is no error. For brokers that were built with
    /// [`Builder::authorizer`](super::Builder::authorizer). Every client is `User:ANONYMOUS`.
    ///
    /// # Errors
    /// SECURITY_DISABLED where the settings have no authorizer to judge by it, INVALID_REQUEST where the name is empty,
    /// the principal has no type (as `User:`), or a text has more than 32,767 bytes, POLICY_VIOLATION beyond 10,000
    /// rules.
    ///
    /// # Examples
    /// ```
    /// use milena_broker::{Acl, AclOperation, AclResource, Broker};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Broker::builder().topic("orders", 6).authorizer().start().await?;
    /// let rule = Acl::deny(AclOperation::Write, AclResource::topic("orders"));
    /// broker.add_acl(rule.clone())?;
    /// // A producer is answered TOPIC_AUTHORIZATION_FAILED until:
    /// assert!(broker.remove_acl(&rule));
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_acl(&self, acl: Acl) -> Result<(), CommandError> {
        self.with(|cluster, _| cluster.add_acl(acl))
    }

    /// Removes a rule about who may do what; false if there is none.
    pub fn remove_acl(&self, acl: &Acl) -> bool {
        self.with(|cluster, _| cluster.remove_acl(acl))
    }

    /// The rules about who may do what.
    pub fn acls(&self) -> Vec<Acl> {
        self.with(|cluster, _| cluster.acls())
    }

    /// Kills a node; see [`Cluster::crash_node`]. Its port refuses connections until it is restarted.
    pub fn crash_node(&self, node: NodeId) {
        if let Some(acceptor) = self.lock_acceptors().get_mut(&node) {
            acceptor.task.abort();
            acceptor.is_stopped = true;
        }
        self.with(|cluster, now| cluster.crash_node(now, node));
    }

    /// Starts a crashed node again, at the same port.
    ///
    /// Waits until the port is free again, which it is soon after the crash. Dropping the future leaves the node
    /// crashed.
    ///
    /// # Errors
    /// If somebody else took the port meanwhile; the node then stays crashed.
    pub async fn restart_node(&self, node: NodeId) -> io::Result<()> {
        let stopped = {
            let mut acceptors = self.lock_acceptors();
            let is_stopped = acceptors.get(&node).is_some_and(|acceptor| acceptor.is_stopped);
            if is_stopped { acceptors.remove(&node) } else { None }
        };
        if let Some(acceptor) = stopped {
            // It was aborted: how it ended says nothing.
            let _ = acceptor.task.await;
        }
        let port = self.with(|cluster, _| cluster.node_address(node).map(|(_, port)| port));
        let is_listening = self.lock_acceptors().contains_key(&node);
        if let Some(port) = port.filter(|_| self.has_sockets && !is_listening) {
            self.accept(node, listen::bind(port)?)?;
        }
        self.with(|cluster, now| cluster.restart_node(now, node));
        Ok(())
    }

    /// Lets a node stand still; see [`Cluster::pause_node`].
    pub fn pause_node(&self, node: NodeId) {
        self.with(|cluster, now| cluster.pause_node(now, node));
    }

    /// Lets a paused node go on.
    pub fn resume_node(&self, node: NodeId) {
        self.with(|cluster, now| cluster.resume_node(now, node));
    }

    /// Makes an in-sync replica the leader; false if `node` is none.
    pub fn move_leader(&self, topic: &str, partition: i32, node: NodeId) -> bool {
        let partition = TopicPartition::new(topic, partition);
        self.with(|cluster, now| cluster.move_leader(now, &partition, node))
    }

    /// Stores records in a partition as one batch, past any producer, and returns the offset of the first.
    ///
    /// # Errors
    /// As [`Cluster::append`].
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use milena_broker::{Broker, NewRecord};
    ///
    /// let broker = Broker::builder().topic("orders", 6).start_in_memory().await?;
    /// broker.append("orders", 0, (0..100).map(|n| NewRecord::new(format!("order {n}"))))?;
    /// assert_eq!(broker.records("orders", 0).len(), 100);
    /// # Ok(())
    /// # }
    /// ```
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = NewRecord>,
    ) -> Result<Offset, CommandError> {
        let partition = TopicPartition::new(topic, partition);
        self.with(|cluster, now| cluster.append(now, &partition, records))
    }

    /// Waits until `holds` of the cluster: asked now, and each time after the cluster did something.
    ///
    /// `holds` runs under the cluster's lock: it must not ask the `Broker` itself. Dropping the future has no effect.
    ///
    /// # Errors
    /// `TimedOut`, where it does not hold within `limit`.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use milena_broker::{Broker, NewRecord};
    ///
    /// let broker = Broker::builder().topic("orders", 1).start_in_memory().await?;
    /// let is_stored = |cluster: &milena_broker::Cluster| {
    ///     cluster.records(&("orders", 0).into()).iter().any(|record| record.value.as_deref() == Some(b"paid"))
    /// };
    /// let limit = Duration::from_secs(60);
    /// let (stored, _) = tokio::join!(broker.wait_until(limit, is_stored), async {
    ///     broker.append("orders", 0, [NewRecord::new("paid")])
    /// });
    /// stored?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_until(
        &self,
        limit: Duration,
        mut holds: impl FnMut(&Cluster) -> bool,
    ) -> io::Result<()> {
        let wait = async {
            loop {
                // Made before the look, so that what happens between the two is not missed.
                let worked = self.shared.worked.notified();
                if self.shared.look(&mut holds) {
                    return;
                }
                worked.await;
            }
        };
        let waited = tokio::time::timeout(limit, wait).await;
        waited.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, format!("it does not hold after {limit:?}"))
        })
    }

    /// Waits until the data directory cannot be written, as with a full disk, and says why. The cluster has stopped then:
    /// it acknowledges nothing that it did not write down. Without a data directory this waits for ever.
    ///
    /// That holds for clients. The commands of this handle, as [`append`](Self::append) and
    /// [`create_topic`](Self::create_topic), still work on what is in memory, and nothing of it is written down: who needs
    /// that to last asks here as well.
    ///
    /// Dropping the future has no effect.
    pub async fn store_failure(&self) -> io::Error {
        loop {
            let worked = self.shared.worked.notified();
            if let Some(error) = self.shared.store_failure() {
                return error;
            }
            worked.await;
        }
    }

    /// Every record of a partition.
    pub fn records(&self, topic: &str, partition: i32) -> Vec<StoredRecord> {
        self.with(|cluster, _| cluster.records(&TopicPartition::new(topic, partition)))
    }

    /// Every batch of a partition.
    pub fn batches(&self, topic: &str, partition: i32) -> Vec<StoredBatch> {
        self.with(|cluster, _| cluster.batches(&TopicPartition::new(topic, partition)))
    }

    /// A partition's leader, replicas and watermarks.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<PartitionView> {
        self.with(|cluster, _| cluster.partition(&TopicPartition::new(topic, partition)))
    }

    /// What a group committed.
    pub fn committed(&self, group: &str) -> BTreeMap<TopicPartition, Committed> {
        self.with(|cluster, _| cluster.committed(group))
    }

    /// A group as it is now.
    pub fn group(&self, group: &str) -> Option<GroupView> {
        self.with(|cluster, _| cluster.group(group))
    }

    /// A share group as it is now.
    pub fn share_group(&self, group: &str) -> Option<ShareGroupView> {
        self.with(|cluster, _| cluster.share_group(group))
    }

    /// What a share group has got of a partition.
    pub fn share_partition(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> Option<SharePartitionView> {
        let partition = TopicPartition::new(topic, partition);
        self.with(|cluster, _| cluster.share_partition(group, &partition))
    }

    /// A group of the consumer protocol as it is now.
    pub fn consumer_group(&self, group: &str) -> Option<ConsumerGroupView> {
        self.with(|cluster, _| cluster.consumer_group(group))
    }

    /// A transactional id as it is now.
    pub fn transaction(&self, transactional_id: &str) -> Option<TransactionView> {
        self.with(|cluster, _| cluster.transaction(transactional_id))
    }

    /// The requests of one API, oldest first.
    pub fn requests(&self, api: ApiKey) -> Vec<SeenRequest> {
        self.with(|cluster, _| cluster.requests(api))
    }

    /// What each topic has taken and given, those left out that did neither.
    pub fn topic_metrics(&self) -> BTreeMap<String, TopicMetrics> {
        self.shared.look(|cluster| {
            let topics = cluster.journal().topics();
            topics.map(|(topic, metrics)| (topic.to_string(), *metrics)).collect()
        })
    }

    /// A copy of what was accepted so far.
    pub fn journal(&self) -> Journal {
        self.with(|cluster, _| cluster.journal().clone())
    }

    fn accept(&self, node: NodeId, listener: std::net::TcpListener) -> io::Result<()> {
        let _in_runtime = self.runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let task = self.runtime.spawn(listen::accept(listener, node, Arc::clone(&self.shared)));
        self.lock_acceptors().insert(node, Acceptor { task, is_stopped: false });
        Ok(())
    }

    fn lock_acceptors(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Acceptor>> {
        self.acceptors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for acceptor in self.lock_acceptors().values() {
            acceptor.task.abort();
        }
        self.shared.stop();
    }
}

/// How much a pipe within the process holds before its writer waits.
const PIPE_BYTES: usize = 256 << 10;
