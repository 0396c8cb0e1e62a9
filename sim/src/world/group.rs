//! What a world notes of its group, and when the group has nothing left to do.

use milena_broker::{ConsumerGroupState, GroupState};
use milena_types::{CorrelationId, NodeId, TopicPartition};
use milena_wire::messages::delete_groups_request::DeleteGroupsRequest;
use milena_wire::{Request, encode_request};

use super::{TOPIC, World};
use crate::group::GROUP;
use crate::history::{GroupEnd, Stored};
use crate::host::{MemberHost, User};

impl World {
    fn members(&self) -> impl Iterator<Item = (usize, &MemberHost)> {
        self.hosts.iter().enumerate().filter_map(|(n, host)| match host.user() {
            User::Member(member) => Some((n, &**member)),
            User::Producer(_) | User::Consumer(_) | User::Sharer(_) => None,
        })
    }

    /// All partitions of the topic as they are now.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        let count = self.cluster.topics().get(TOPIC).copied().unwrap_or_default();
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        (0..count).map(|n| TopicPartition::new(TOPIC, n)).collect()
    }

    /// Notes what the group's coordinator has taken since the last time.
    pub(super) fn note_commits(&mut self) {
        if self.scenario.group.is_none() {
            return;
        }
        let at = self.clock.elapsed();
        for (of, committed) in self.cluster.committed(GROUP) {
            let offset = committed.offset;
            let furthest = self.furthest.entry(of.clone()).or_insert(offset);
            *furthest = offset.max(*furthest);
            if self.committed.insert(of.clone(), offset) != Some(offset) {
                self.history.stored.push(Stored { at, of, offset });
            }
        }
    }

    /// F58: has the group deleted, which its coordinator does where nobody is in it.
    pub(super) fn forget_offsets(&mut self) {
        if self.is_a_node_down() {
            // It would be done some other time.
            return;
        }
        self.note_commits();
        let mut request = DeleteGroupsRequest::default();
        request.groups_names.push(GROUP.into());
        let Ok(frame) = encode_request(&Request::from(request), 2, CorrelationId::FIRST, None)
        else {
            return;
        };
        let frame = frame.into_bytes();
        for node in (1..=self.scenario.nodes).map(NodeId::new) {
            let now = self.clock.now();
            if let Ok(connection) = self.cluster.open(now, node) {
                self.cluster.handle(now, connection, frame.slice(LENGTH_BYTES..));
                self.cluster.close(now, connection);
            }
        }
        if !self.committed.is_empty() && self.cluster.committed(GROUP).is_empty() {
            self.say(|| "the group is forgotten".to_owned());
            self.committed.clear();
            self.furthest.clear();
            self.history.forgotten.push(self.clock.elapsed());
        }
    }

    /// Whether every member has what is its, has read it, and has committed what it read.
    pub(super) fn is_group_settled(&self) -> bool {
        if self.scenario.group.is_none() {
            return true;
        }
        // Where commits may overtake one another, the group may end behind where it was.
        let in_order = self.scenario.promises().commits_in_order;
        let committed = if in_order { &self.committed } else { &self.furthest };
        self.members().all(|(_, member)| member.is_done())
            && self.is_group_stable()
            && self.is_shared_out()
            && self.members().all(|(_, member)| member.has_read_all(&self.cluster, committed))
    }

    /// Notes how the group is at the end.
    pub(super) fn note_group(&mut self) {
        if self.scenario.group.is_none() {
            return;
        }
        self.note_commits();
        let present = self.members().filter(|(_, member)| member.is_member());
        let held = present.map(|(n, member)| (n, member.held())).collect();
        let (is_stable, partitions) = (self.is_group_stable(), self.partitions());
        self.history.group = Some(GroupEnd { is_stable, held, partitions });
    }

    fn is_group_stable(&self) -> bool {
        let present = self.members().filter(|(_, member)| member.is_member()).count();
        if let Some(group) = self.cluster.consumer_group(GROUP) {
            let is_stable = present == 0 || group.state == ConsumerGroupState::Stable;
            return is_stable && group.members.len() == present;
        }
        match self.cluster.group(GROUP) {
            Some(group) => {
                (present == 0 || group.state == GroupState::Stable)
                    && group.members.len() == present
            }
            None => present == 0,
        }
    }

    fn is_shared_out(&self) -> bool {
        let mut held: Vec<_> = self.members().flat_map(|(_, member)| member.held()).collect();
        held.sort();
        let present = self.members().filter(|(_, member)| member.is_member());
        let shares: Vec<usize> = present.map(|(_, member)| member.held().len()).collect();
        let (least, most) = (shares.iter().min(), shares.iter().max());
        // Else a cooperative rebalance goes on: who has too much is still to be told.
        let is_even = most.zip(least).is_none_or(|(most, least)| *most <= least + 1);
        shares.is_empty() || (held == self.partitions() && is_even)
    }
}

/// In front of a frame.
const LENGTH_BYTES: usize = 4;
