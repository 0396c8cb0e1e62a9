//! Consumed offsets that are committed with a transaction (KIP-98, KIP-447).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use milena_types::{ApiKey, ErrorCode, Generation, LeaderEpoch, TopicPartition};
use milena_wire::ByteString;
use milena_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use milena_wire::messages::txn_offset_commit_response::TxnOffsetCommitResponse;

use super::calls::TransactionCall;
use super::verdict::Verdict;
use crate::Operation;
use crate::by_topic::by_topic;
use crate::commit::CommittedOffset;
use crate::idempotence::Identity;

/// In whose name offsets are committed: a member of a group in one of its generations, so that the coordinator refuses
/// what a member commits that has lost its partitions (KIP-447).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// The group.
    pub group_id: Arc<str>,
    /// The generation that the member is in; `None` for a group without members.
    pub generation: Option<Generation>,
    /// Empty for a group without members.
    pub member_id: Arc<str>,
    /// Of a static member (`group.instance.id`).
    pub instance_id: Option<Arc<str>>,
}

impl GroupMetadata {
    /// A group whose members are not known to the coordinator: nothing keeps two writers of its offsets apart.
    pub fn without_member(group_id: impl Into<Arc<str>>) -> Self {
        let (generation, member_id, instance_id) = (None, "".into(), None);
        Self { group_id: group_id.into(), generation, member_id, instance_id }
    }
}

/// Offsets on their way into the transaction, one call after the other.
#[derive(Debug, Default)]
pub(super) struct OffsetCommits {
    queue: VecDeque<OffsetCommit>,
}

/// The offsets of one call.
#[derive(Debug)]
pub(super) struct OffsetCommit {
    pub(super) call: TransactionCall,
    pub(super) group: GroupMetadata,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// Whether the transaction's coordinator knows of the group; the second protocol needs no telling.
    pub(super) is_group_added: bool,
}

impl OffsetCommits {
    pub(super) fn push(
        &mut self,
        call: TransactionCall,
        group: GroupMetadata,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
    ) {
        self.queue.push_back(OffsetCommit { call, group, offsets, is_group_added: false });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The one whose turn it is.
    pub(super) fn first(&self) -> Option<&OffsetCommit> {
        self.queue.front()
    }

    /// The coordinator knows the group of the first.
    pub(super) fn group_added(&mut self) {
        if let Some(first) = self.queue.front_mut() {
            first.is_group_added = true;
        }
    }

    /// The first is done.
    pub(super) fn pop(&mut self) -> Option<OffsetCommit> {
        self.queue.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}

impl OffsetCommit {
    pub(super) fn request(
        &self,
        transactional_id: &ByteString,
        identity: Identity,
    ) -> TxnOffsetCommitRequest {
        let partitions = self.offsets.iter().map(|(tp, committed)| {
            let partition = TxnOffsetCommitRequestPartition {
                partition_index: tp.partition,
                committed_offset: committed.offset.get(),
                committed_leader_epoch: LeaderEpoch::to_wire(committed.leader_epoch),
                committed_metadata: Some(ByteString::from(&*committed.metadata)),
            };
            (tp, partition)
        });
        let topics = by_topic(partitions).into_iter().map(|(name, partitions)| {
            TxnOffsetCommitRequestTopic { name, partitions, ..Default::default() }
        });
        TxnOffsetCommitRequest {
            transactional_id: transactional_id.clone(),
            group_id: ByteString::from(&*self.group.group_id),
            producer_id: identity.producer_id.get(),
            producer_epoch: identity.epoch.get(),
            generation_id_or_member_epoch: self.group.generation.map_or(-1, Generation::get),
            member_id: ByteString::from(&*self.group.member_id),
            group_instance_id: self.group.instance_id.as_deref().map(ByteString::from),
            topics: topics.collect(),
        }
    }

    /// What the answer comes to: the worst of its partitions.
    pub(super) fn answered(&self, response: &TxnOffsetCommitResponse) -> Verdict {
        let mut codes: BTreeMap<(&str, i32), ErrorCode> = BTreeMap::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                codes.insert((&*topic.name, partition.partition_index), partition.error_code);
            }
        }
        let verdicts =
            self.offsets.keys().map(|tp| match codes.get(&(tp.topic.as_str(), tp.partition)) {
                Some(&code) => Verdict::of(ApiKey::TXN_OFFSET_COMMIT, code)
                    .map_error(|error| error.with_partition(tp)),
                None => Verdict::malformed("a partition was left out"),
            });
        let worst = verdicts.max_by_key(Verdict::rank).unwrap_or(Verdict::Done);
        worst.map_error(|error| {
            error.during(Operation::Commit).with_group(Arc::clone(&self.group.group_id))
        })
    }
}

#[cfg(test)]
mod tests {
    use milena_types::{Offset, ProducerEpoch, ProducerId};
    use milena_wire::messages::txn_offset_commit_response::{
        TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
    };

    use super::*;
    use crate::ErrorKind;

    fn commit(partitions: &[(&str, i32)]) -> OffsetCommit {
        let offset = CommittedOffset::new(Offset::new(5).unwrap());
        let mut group = GroupMetadata::without_member("g");
        group.generation = Generation::from_wire(4);
        group.member_id = "m".into();
        OffsetCommit {
            call: TransactionCall(1),
            group,
            offsets: partitions.iter().map(|&tp| (tp.into(), offset.clone())).collect(),
            is_group_added: false,
        }
    }

    fn answer(codes: &[(&str, i32, ErrorCode)]) -> TxnOffsetCommitResponse {
        let mut response = TxnOffsetCommitResponse::default();
        for &(name, partition_index, error_code) in codes {
            let partition = TxnOffsetCommitResponsePartition { partition_index, error_code };
            response.topics.push(TxnOffsetCommitResponseTopic {
                name: name.into(),
                partitions: vec![partition],
                ..TxnOffsetCommitResponseTopic::default()
            });
        }
        response
    }

    /// KIP-447: without them the coordinator could not tell a zombie from the member that has the partitions.
    #[test]
    fn offsets_go_in_the_name_of_the_member_and_its_generation() {
        let identity = Identity {
            producer_id: ProducerId::from_wire(7).unwrap(),
            epoch: ProducerEpoch::from_wire(3).unwrap(),
        };
        let request = commit(&[("a", 0), ("a", 1), ("b", 0)]).request(&"x".into(), identity);
        assert_eq!(request.generation_id_or_member_epoch, 4);
        assert_eq!((&*request.member_id, request.group_instance_id), ("m", None));
        let sizes: Vec<_> = request.topics.iter().map(|topic| topic.partitions.len()).collect();
        assert_eq!(sizes, [2, 1]);
    }

    #[test]
    fn the_worst_partition_decides() {
        let commit = commit(&[("a", 0), ("a", 1)]);
        let (none, busy) = (ErrorCode::NONE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        let stale = ErrorCode::ILLEGAL_GENERATION;
        assert!(matches!(
            commit.answered(&answer(&[("a", 0, none), ("a", 1, none)])),
            Verdict::Done
        ));
        assert!(matches!(commit.answered(&answer(&[("a", 0, none)])), Verdict::Retry(_)));
        let verdict = commit.answered(&answer(&[("a", 0, stale), ("a", 1, busy)]));
        let Verdict::Abort(error) = verdict else { panic!("{verdict:?}") };
        assert_eq!((error.kind(), error.group()), (ErrorKind::Rebalanced, Some("g")));
    }
}
