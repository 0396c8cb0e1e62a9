//! How nodes come and go, and what that does to partitions and groups.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{NodeId, Topic, TopicPartition};

use super::{State, Timer};
use crate::fetch::Sessions;
use crate::node::{Node, NodeStatus};
use crate::settings::Settings;
use crate::share::ShareSessions;
use crate::telemetry::Instances;
use crate::topic::{Liveness, TopicState};

/// The nodes by id.
#[derive(Debug)]
pub(crate) struct Nodes(BTreeMap<NodeId, Node>);

impl Nodes {
    pub(crate) fn new(settings: &Settings) -> Self {
        let node = |settings: &Settings, index: usize| {
            let node = settings.nodes.get(index)?;
            Some(Node {
                id: node.id,
                host: node.host.clone(),
                port: node.port,
                rack: node.rack.clone(),
                status: NodeStatus::Running,
                is_registered: true,
                is_forgotten: false,
                is_forgotten_as_controller: false,
                sessions: Sessions::new(settings.fetch_sessions_max),
                share_sessions: ShareSessions::new(settings.share_groups.sessions_max),
                telemetry: Instances::default(),
            })
        };
        let nodes = (0..settings.nodes.len()).filter_map(|index| node(settings, index));
        Self(nodes.map(|node| (node.id, node)).collect())
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.0.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.0.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.0.values_mut()
    }

    /// The nodes that the controller counts in: those that metadata names.
    pub(crate) fn registered(&self) -> impl Iterator<Item = &Node> {
        self.0.values().filter(|node| node.is_registered)
    }

    /// Whether the controller knows the node, be it fenced or not.
    pub(crate) fn is_known(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| !node.is_forgotten)
    }

    /// Has the active controller forget another; false if it knows none by this id. One that runs registers anew at once.
    pub(crate) fn forget_controller(&mut self, id: NodeId) -> bool {
        let node = self.get_mut(id).filter(|node| !node.is_forgotten_as_controller);
        let forget = |node: &mut Node| {
            node.is_forgotten_as_controller = node.status != NodeStatus::Running;
        };
        node.map(forget).is_some()
    }

    /// Whom metadata names as the controller: the first node that is counted in.
    pub(crate) fn controller(&self) -> Option<NodeId> {
        self.registered().map(|node| node.id).next()
    }
}

impl Liveness for Nodes {
    fn is_running(&self, node: NodeId) -> bool {
        self.get(node).is_some_and(|node| node.status == NodeStatus::Running)
    }

    fn is_registered(&self, node: NodeId) -> bool {
        self.get(node).is_some_and(|node| node.is_registered)
    }
}

impl State {
    /// Stops a node, for good or for a while. It counts as alive until the fail-over time is over.
    pub(crate) fn stop_node(&mut self, now: Instant, id: NodeId, status: NodeStatus) {
        let failover = self.settings.failover;
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.status = status;
        if status == NodeStatus::Crashed {
            node.sessions.clear();
            node.share_sessions.clear();
            node.telemetry.clear();
        }
        if !node.is_registered {
            return;
        }
        if failover.is_zero() {
            self.fence(now, id);
        } else {
            self.timers.set(Timer::Fence(id), Some(now + failover));
        }
    }

    /// Has the controller forget a node, running or not.
    pub(crate) fn unregister(&mut self, now: Instant, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.is_forgotten = true;
        }
        self.fence(now, id);
    }

    /// Starts the process of a node anew, which registers it; what it missed it copies at once.
    pub(crate) fn start_node(&mut self, now: Instant, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.is_forgotten = false;
        }
        self.resume_node(now, id);
    }

    /// Lets a node run again; what it missed it copies at once.
    pub(crate) fn resume_node(&mut self, now: Instant, id: NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        if node.status == NodeStatus::Crashed && node.is_registered {
            // The controller learns from the new process that the old one is gone.
            self.fence(now, id);
        }
        self.timers.set(Timer::Fence(id), None);
        if let Some(node) = self.nodes.get_mut(id) {
            node.status = NodeStatus::Running;
            node.is_forgotten_as_controller = false;
            node.is_registered = !node.is_forgotten;
        }
        self.settle(now);
        for group in self.groups_of(id) {
            self.arm_group(&group);
        }
        self.arm_shares();
    }

    /// No longer counts a node in: what it led gets another leader.
    pub(super) fn fence(&mut self, now: Instant, id: NodeId) {
        self.timers.set(Timer::Fence(id), None);
        if let Some(node) = self.nodes.get_mut(id) {
            node.is_registered = false;
        }
        self.settle(now);
    }

    /// Brings every partition in line with the nodes that are counted in.
    pub(crate) fn settle(&mut self, now: Instant) {
        let mut settled = Settled::default();
        let controller = self.nodes.controller();
        for (name, topic) in &mut self.topics {
            settled.settle(name, topic, &self.nodes, controller);
        }
        self.handle_new_leaders(now, &settled.led_anew);
        for partition in settled.changed {
            self.wake(now, &partition);
        }
    }

    /// The same for one topic, where it alone has changed.
    pub(super) fn settle_topic(&mut self, now: Instant, name: &Topic) {
        let mut settled = Settled::default();
        let controller = self.nodes.controller();
        if let Some(topic) = self.topics.get_mut(name) {
            settled.settle(name, topic, &self.nodes, controller);
        }
        if !settled.led_anew.is_empty() {
            self.handle_new_leaders(now, &settled.led_anew);
        }
        for partition in settled.changed {
            self.wake(now, &partition);
        }
    }

    /// Follower copies, high watermark and waiting requests of one partition, after its log grew.
    pub(crate) fn replicate(&mut self, now: Instant, tp: &TopicPartition) {
        let Some(partition) =
            self.topics.get_mut(&tp.topic).and_then(|topic| topic.partition_mut(tp.partition))
        else {
            return;
        };
        partition.replicate(&self.nodes);
        self.wake(now, tp);
    }
}

/// The partitions that became others as they were brought in line with the nodes.
#[derive(Debug, Default)]
struct Settled {
    /// With another leader.
    led_anew: Vec<TopicPartition>,
    /// With another leader or high watermark.
    changed: Vec<TopicPartition>,
}

impl Settled {
    fn settle(
        &mut self,
        name: &Topic,
        topic: &mut TopicState,
        nodes: &Nodes,
        controller: Option<NodeId>,
    ) {
        let may_elect_unclean = topic.config.on(controller).unclean_leader_election;
        for (index, partition) in (0..).zip(&mut topic.partitions) {
            let before = (partition.leader(), partition.high_watermark());
            partition.settle(nodes, may_elect_unclean);
            if partition.leader() != before.0 {
                self.led_anew.push(TopicPartition::new(name, index));
            }
            if before != (partition.leader(), partition.high_watermark()) {
                self.changed.push(TopicPartition::new(name, index));
            }
        }
    }
}
