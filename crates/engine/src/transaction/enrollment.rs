//! The partitions of a transaction under the first protocol: told to the coordinator before anything is sent to them.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ApiKey, ErrorCode, TopicPartition};
use milena_wire::ByteString;
use milena_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use milena_wire::messages::add_partitions_to_txn_response::AddPartitionsToTxnResponse;

use super::verdict::Verdict;
use crate::by_topic::by_topic;
use crate::idempotence::Identity;

/// Which partitions are, or are to be, part of the running transaction; each with its slot among the sender's.
#[derive(Debug, Default)]
pub(super) struct Enrollment {
    wanted: BTreeMap<TopicPartition, usize>,
    asked: BTreeMap<TopicPartition, usize>,
    enrolled: BTreeSet<usize>,
}

impl Enrollment {
    /// Has `partition` enrolled, unless it is.
    pub(super) fn want(&mut self, partition: &TopicPartition, slot: usize) {
        if !self.enrolled.contains(&slot) && !self.asked.contains_key(partition) {
            self.wanted.insert(partition.clone(), slot);
        }
    }

    pub(super) fn is_enrolled(&self, slot: usize) -> bool {
        self.enrolled.contains(&slot)
    }

    /// Whether the coordinator is to be asked, or asked again.
    pub(super) fn is_due(&self) -> bool {
        !self.wanted.is_empty() || !self.asked.is_empty()
    }

    /// The transaction ends: nothing more is asked for. What is being asked stays: only its answer says whether the
    /// coordinator knows of the transaction.
    pub(super) fn stop(&mut self) {
        self.wanted.clear();
    }

    /// The request for all that is wanted, and for what was asked before without success.
    pub(super) fn request(
        &mut self,
        transactional_id: &ByteString,
        identity: Identity,
    ) -> AddPartitionsToTxnRequest {
        self.asked.append(&mut self.wanted);
        let topics = by_topic(self.asked.keys().map(|tp| (tp, tp.partition)))
            .into_iter()
            .map(|(name, partitions)| AddPartitionsToTxnTopic { name, partitions });
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: transactional_id.clone(),
            v3_and_below_producer_id: identity.producer_id.get(),
            v3_and_below_producer_epoch: identity.epoch.get(),
            v3_and_below_topics: topics.collect(),
            ..AddPartitionsToTxnRequest::default()
        }
    }

    /// What the answer comes to. The coordinator enrols all or nothing.
    pub(super) fn answered(&mut self, response: &AddPartitionsToTxnResponse) -> Verdict {
        let mut codes: BTreeMap<(&str, i32), ErrorCode> = BTreeMap::new();
        for topic in &response.results_by_topic_v3_and_below {
            for partition in &topic.results_by_partition {
                let code = partition.partition_error_code;
                codes.insert((&*topic.name, partition.partition_index), code);
            }
        }
        let api = ApiKey::ADD_PARTITIONS_TO_TXN;
        let verdicts = self.asked.keys().map(|asked| {
            match codes.get(&(asked.topic.as_str(), asked.partition)) {
                Some(&code) => {
                    Verdict::of(api, code).map_error(|error| error.with_partition(asked))
                }
                None => Verdict::malformed("a partition was left out"),
            }
        });
        // A partition that was not attempted says less than the one because of which it was not.
        let is_second_hand =
            |verdict: &Verdict| verdict.code() == Some(ErrorCode::OPERATION_NOT_ATTEMPTED);
        let worst = verdicts.max_by_key(|verdict| (verdict.rank(), !is_second_hand(verdict)));
        let verdict = worst.unwrap_or(Verdict::Done);
        match verdict {
            Verdict::Done => {
                self.enrolled.extend(self.asked.values().copied());
                self.asked.clear();
            }
            Verdict::Abort(_) | Verdict::Fatal(_) => self.asked.clear(),
            Verdict::Retry(_) | Verdict::Refind(_) => {}
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use milena_types::{ProducerEpoch, ProducerId};
    use milena_wire::messages::add_partitions_to_txn_response::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
    };

    use super::*;

    fn identity() -> Identity {
        let producer_id = ProducerId::from_wire(7).unwrap();
        Identity { producer_id, epoch: ProducerEpoch::from_wire(3).unwrap() }
    }

    fn asked(enrollment: &mut Enrollment) -> Vec<(String, Vec<i32>)> {
        let request = enrollment.request(&"x".into(), identity());
        let topics = request.v3_and_below_topics.into_iter();
        topics.map(|topic| (topic.name.to_string(), topic.partitions)).collect()
    }

    fn answer(codes: &[(&str, i32, ErrorCode)]) -> AddPartitionsToTxnResponse {
        let mut response = AddPartitionsToTxnResponse::default();
        for &(topic, partition_index, partition_error_code) in codes {
            let result =
                AddPartitionsToTxnPartitionResult { partition_index, partition_error_code };
            response.results_by_topic_v3_and_below.push(AddPartitionsToTxnTopicResult {
                name: topic.into(),
                results_by_partition: vec![result],
            });
        }
        response
    }

    #[test]
    fn partitions_are_asked_for_together_and_once() {
        let mut enrollment = Enrollment::default();
        for (slot, partition) in [("a", 0), ("b", 1), ("a", 2)].into_iter().enumerate() {
            enrollment.want(&partition.into(), slot);
        }
        assert_eq!(
            asked(&mut enrollment),
            [("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![1])]
        );
        enrollment.want(&("a", 0).into(), 0);
        let none = ErrorCode::NONE;
        let verdict =
            enrollment.answered(&answer(&[("a", 0, none), ("a", 2, none), ("b", 1, none)]));
        assert!(matches!(verdict, Verdict::Done), "{verdict:?}");
        enrollment.want(&("a", 0).into(), 0);
        assert!(enrollment.is_enrolled(0) && enrollment.is_enrolled(1) && !enrollment.is_due());
    }

    /// Trap 20: the sibling's own code says why.
    #[test]
    fn a_refusal_names_the_partition_that_is_to_blame() {
        let (skipped, refused) =
            (ErrorCode::OPERATION_NOT_ATTEMPTED, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        for codes in
            [[("a", 0, skipped), ("b", 0, refused)], [("b", 0, refused), ("a", 0, skipped)]]
        {
            let mut enrollment = Enrollment::default();
            enrollment.want(&("a", 0).into(), 0);
            enrollment.want(&("b", 0).into(), 1);
            asked(&mut enrollment);
            let Verdict::Abort(error) = enrollment.answered(&answer(&codes)) else { panic!() };
            assert_eq!(error.topic_partition(), Some(("b", 0).into()));
            assert!(error.is_abortable() && !enrollment.is_due());
        }
    }

    #[test]
    fn what_is_wanted_meanwhile_joins_the_retry() {
        let mut enrollment = Enrollment::default();
        enrollment.want(&("a", 0).into(), 0);
        asked(&mut enrollment);
        enrollment.want(&("a", 1).into(), 1);
        let busy = ErrorCode::CONCURRENT_TRANSACTIONS;
        assert!(matches!(enrollment.answered(&answer(&[("a", 0, busy)])), Verdict::Retry(_)));
        assert_eq!(asked(&mut enrollment), [("a".to_owned(), vec![0, 1])]);
    }

    /// A refusal taken for a success would have a transaction aborted of which the coordinator knows nothing, which is
    /// fatal (found on 3.9 and 2.8, whose coordinators are busy with the last one for a while).
    #[test]
    fn a_refusal_that_comes_after_the_abort_began_is_one() {
        let mut enrollment = Enrollment::default();
        enrollment.want(&("a", 0).into(), 0);
        asked(&mut enrollment);
        enrollment.stop();
        let busy = ErrorCode::CONCURRENT_TRANSACTIONS;
        assert!(matches!(enrollment.answered(&answer(&[("a", 0, busy)])), Verdict::Retry(_)));
        assert!(!enrollment.is_enrolled(0));
    }

    #[test]
    fn an_answer_that_leaves_a_partition_out_is_none() {
        let mut enrollment = Enrollment::default();
        enrollment.want(&("a", 0).into(), 0);
        asked(&mut enrollment);
        assert!(matches!(enrollment.answered(&answer(&[])), Verdict::Retry(_)));
        assert!(!enrollment.is_enrolled(0) && enrollment.is_due());
    }
}
