//! Who leads a partition and which nodes hold it, as administrators decide.

use std::time::Instant;

use milena_types::{ErrorCode, NodeId, Topic, TopicPartition};

use super::{Refused, State};
use crate::topic::Liveness;

/// Which leader an administrator wants to have elected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Election {
    /// The first of the replicas.
    Preferred,
    /// Any replica that runs, where there is no leader.
    Unclean,
}

impl State {
    /// Elects another leader, unless the one that there is is as good.
    pub(crate) fn elect(
        &mut self,
        now: Instant,
        tp: &TopicPartition,
        election: Election,
    ) -> Result<(), Refused> {
        let unknown = |why: String| Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why);
        let topic = self.topics.get_mut(&tp.topic);
        let topic = topic.ok_or_else(|| unknown(format!("No such topic as {}", tp.topic)))?;
        let partition = topic.partition_mut(tp.partition);
        let partition = partition.ok_or_else(|| unknown(format!("No such partition as {tp}")))?;
        let nodes = &self.nodes;
        let preferred = partition.replicas().next();
        let is_needless = match election {
            Election::Preferred => partition.leader() == preferred,
            Election::Unclean => partition.leader().is_some(),
        };
        if is_needless {
            let why = "Leader election not needed for topic partition.";
            return Err(Refused::new(ErrorCode::ELECTION_NOT_NEEDED, why));
        }
        let is_elected = match election {
            Election::Preferred => preferred.is_some_and(|node| partition.move_leader(node, nodes)),
            Election::Unclean => {
                let is_live = |node: &NodeId| nodes.is_registered(*node) && nodes.is_running(*node);
                let live = partition.replicas().find(is_live);
                live.is_some_and(|node| partition.elect_unclean(node, nodes))
            }
        };
        if is_elected {
            self.handle_new_leaders(now, std::slice::from_ref(tp));
            self.wake(now, tp);
            return Ok(());
        }
        let (code, why) = match election {
            Election::Preferred => (
                ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
                "The preferred leader was not available.",
            ),
            Election::Unclean => (
                ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
                "Eligible topic partition leaders are not available.",
            ),
        };
        Err(Refused::new(code, why))
    }

    /// Has these nodes hold a partition and no others; `None` would call off what is under way, which nothing ever is.
    pub(crate) fn reassign(
        &mut self,
        now: Instant,
        tp: &TopicPartition,
        nodes: Option<Vec<NodeId>>,
        may_change_factor: bool,
    ) -> Result<(), Refused> {
        let unknown = |why: String| Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, why);
        let Some(topic) = self.topics.get(&tp.topic) else {
            return Err(unknown(format!("Unable to find a topic named {}.", tp.topic)));
        };
        let Some(partition) = topic.partition(tp.partition) else {
            let why = format!("Unable to find partition {}:{}.", tp.topic, tp.partition);
            return Err(unknown(why));
        };
        let Some(nodes) = nodes else {
            return Err(Refused::without_reason(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS));
        };
        self.check_replicas(&nodes)?;
        let factor = partition.replicas().count();
        if !may_change_factor && nodes.len() != factor {
            let why = format!("The replication factor is changed from {factor} to {}", nodes.len());
            return Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, why));
        }
        let is_live =
            |node: &NodeId| self.nodes.is_registered(*node) && self.nodes.is_running(*node);
        let has_source = partition.leader().is_some_and(|leader| self.nodes.is_running(leader))
            || nodes.iter().any(|node| is_live(node) && partition.isr().contains(node));
        if !has_source || !nodes.iter().any(is_live) {
            let why = "of those that have the records or are to have them, too few run";
            return Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, why));
        }
        let Self { topics, nodes: all, .. } = self;
        let partition = topics.get_mut(&tp.topic).and_then(|one| one.partition_mut(tp.partition));
        if partition.is_some_and(|partition| partition.reassign(&nodes, all)) {
            self.handle_new_leaders(now, std::slice::from_ref(tp));
        }
        self.note_topic(&Topic::from(tp.topic.as_str()));
        self.wake(now, tp);
        Ok(())
    }
}
