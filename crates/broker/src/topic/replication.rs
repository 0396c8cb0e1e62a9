//! Which replica leads, which are in sync, and what survives when one goes (KIP-101, KIP-497).
//!
//! All replicas share one stored log; each has its own end in it. That is enough, because a follower's log is
//! always a prefix of its leader's, and an election cuts the shared log where the new leader's ended.

use milena_types::{LeaderEpoch, NodeId, Offset, Timestamp};

use super::partition::Partition;
use crate::storage::Producers;

/// What the cluster knows of its nodes, as far as replication asks.
pub(crate) trait Liveness {
    /// Whether the node runs, so that it copies what its leader appends.
    fn is_running(&self, node: NodeId) -> bool;
    /// Whether the controller takes the node for alive, which it does a while longer after a crash.
    fn is_registered(&self, node: NodeId) -> bool;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Replica {
    pub(crate) node: NodeId,
    /// Where its copy of the log ends.
    pub(crate) end: Offset,
}

impl Partition {
    /// Lets every running follower copy what the leader has, re-enter the in-sync set, and moves the high
    /// watermark. Says whether that moved.
    pub(crate) fn replicate(&mut self, nodes: &impl Liveness) -> bool {
        let Some(leader) = self.leader.filter(|leader| nodes.is_running(*leader)) else {
            return false;
        };
        let end = self.log.end();
        for replica in &mut self.replicas {
            if replica.node == leader
                || (nodes.is_running(replica.node) && nodes.is_registered(replica.node))
            {
                replica.end = end;
                if !self.isr.contains(&replica.node) {
                    self.isr.push(replica.node);
                }
            }
        }
        self.move_high_watermark()
    }

    /// Reacts to a change of the registered nodes: fenced ones leave the in-sync set, and a partition without
    /// a live leader gets one of those in sync, or any live one where an unclean election is allowed.
    pub(crate) fn settle(&mut self, nodes: &impl Liveness, may_elect_unclean: bool) -> bool {
        let before = (self.leader, self.isr.clone());
        // The last one in sync stays in the set: only it is known to have everything.
        let live: Vec<_> =
            self.isr.iter().copied().filter(|node| nodes.is_registered(*node)).collect();
        if !live.is_empty() {
            self.isr = live;
        }
        if !self.leader.is_some_and(|leader| nodes.is_registered(leader)) {
            self.elect(nodes, may_elect_unclean);
        }
        self.replicate(nodes);
        (self.leader, &self.isr) != (before.0, &before.1)
    }

    /// Makes `node` the leader; false if it has no replica here, does not run or is not in sync.
    pub(crate) fn move_leader(&mut self, node: NodeId, nodes: &impl Liveness) -> bool {
        if !self.isr.contains(&node) || !nodes.is_running(node) || !nodes.is_registered(node) {
            return false;
        }
        self.lead(Some(node));
        self.replicate(nodes);
        true
    }

    /// Makes `node` the leader though it may lack records: what it lacks is lost.
    pub(crate) fn elect_unclean(&mut self, node: NodeId, nodes: &impl Liveness) -> bool {
        let has_replica = self.replicas.iter().any(|replica| replica.node == node);
        if !has_replica || !nodes.is_running(node) {
            return false;
        }
        self.isr = vec![node];
        self.lead(Some(node));
        self.replicate(nodes);
        true
    }

    /// Has these nodes hold the partition and no others. Whoever is new copies the whole log at once, if it runs. Says
    /// whether another epoch begins, as it does where a node goes.
    pub(crate) fn reassign(&mut self, wanted: &[NodeId], nodes: &impl Liveness) -> bool {
        let before = std::mem::take(&mut self.replicas);
        let end_at = |node| before.iter().find(|replica| replica.node == node).map(|one| one.end);
        let start = self.log.start();
        let replica = |node: &NodeId| Replica { node: *node, end: end_at(*node).unwrap_or(start) };
        self.replicas = wanted.iter().map(replica).collect();
        let has_gone = before.iter().any(|replica| !wanted.contains(&replica.node));
        let may_lead = |node: &NodeId| nodes.is_registered(*node) && nodes.is_running(*node);
        if self.leader.is_some_and(|leader| nodes.is_running(leader)) {
            // The old leader serves the new replicas before it goes.
            let end = self.log.end();
            for replica in self.replicas.iter_mut().filter(|replica| may_lead(&replica.node)) {
                replica.end = end;
                if !self.isr.contains(&replica.node) {
                    self.isr.push(replica.node);
                }
            }
        }
        self.isr.retain(|node| wanted.contains(node));
        if !self.leader.is_some_and(|leader| wanted.contains(&leader)) {
            let next =
                wanted.iter().copied().find(|node| self.isr.contains(node) && may_lead(node));
            self.lead(next);
        } else if has_gone {
            self.lead(self.leader);
        }
        self.replicate(nodes);
        has_gone
    }

    /// Takes back what the leader wrote from `end` on, as a node that lost its disk cache would.
    pub(crate) fn cut(&mut self, end: Offset) {
        self.log.truncate(end);
        let end = self.log.end();
        self.saved.note_cut(end);
        for replica in &mut self.replicas {
            replica.end = replica.end.min(end);
        }
        self.high_watermark = self.high_watermark.min(end);
        self.producers = Producers::rebuild(self.log.batches(), NO_TIME);
        self.transactions.truncate(end, self.log.batches());
    }

    fn elect(&mut self, nodes: &impl Liveness, may_elect_unclean: bool) {
        let is_live = |node: NodeId| nodes.is_registered(node) && nodes.is_running(node);
        let in_sync = self.replicas.iter().map(|replica| replica.node);
        let clean = in_sync.filter(|node| self.isr.contains(node)).find(|node| is_live(*node));
        if clean.is_some() {
            self.lead(clean);
            return;
        }
        let unclean = self.replicas.iter().map(|replica| replica.node).find(|node| is_live(*node));
        match unclean.filter(|_| may_elect_unclean) {
            Some(node) => {
                self.elect_unclean(node, nodes);
            }
            None if self.leader.is_some() => self.lead(None),
            None => {}
        }
    }

    fn lead(&mut self, leader: Option<NodeId>) {
        self.leader = leader;
        let replica = self.replicas.iter().find(|replica| Some(replica.node) == leader);
        if let Some(end) = replica.map(|replica| replica.end).filter(|end| *end < self.log.end()) {
            // What only the old leader had is gone. One in sync has all that was acknowledged, but by acks=1.
            self.cut(end);
        }
        // A bump beyond i32::MAX would need two thousand million elections.
        let next = self.leader_epoch.get().saturating_add(1);
        self.leader_epoch = LeaderEpoch::from_wire(next).unwrap_or(self.leader_epoch);
        if leader.is_some() {
            // Known from the election on: a reader of the epoch before asks where that ended before anything is written.
            self.log.begin_epoch(self.leader_epoch);
        }
    }

    fn move_high_watermark(&mut self) -> bool {
        let in_sync = self.replicas.iter().filter(|replica| self.isr.contains(&replica.node));
        let lowest = in_sync.map(|replica| replica.end).min().unwrap_or(self.high_watermark);
        let moved = lowest > self.high_watermark;
        self.high_watermark = self.high_watermark.max(lowest);
        moved
    }
}

/// Producers that are read anew from a log count as equally long unused.
const NO_TIME: Timestamp = Timestamp::from_millis(0);
