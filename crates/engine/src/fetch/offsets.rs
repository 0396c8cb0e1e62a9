//! Offsets that leaders find: the first, the last, by time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::limits::IsolationLevel;
use crate::backoff::Backoff;
use crate::by_topic::by_topic;
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::metadata::Cluster;
use crate::request::{Answer, Lane, Outbound, RequestId, RequestIds, Target};
use crate::subscription::{OffsetSpec, Revision};

/// What a leader found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FoundOffset {
    /// The offset.
    pub offset: Offset,
    /// The record's timestamp, where a record was looked for by time.
    pub timestamp: Option<Timestamp>,
    /// The record's leader epoch, where the broker knows it.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Asker {
    /// A partition without a position, of this revision.
    Reset(Revision),
    /// The query of this number.
    Query(u64),
}

/// What became of one question.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) asker: Asker,
    pub(crate) partition: TopicPartition,
    /// `None` where no record is at or after the time.
    pub(crate) result: Result<Option<FoundOffset>, Error>,
}

/// Questions to leaders, each asked until it is answered or withdrawn.
#[derive(Debug)]
pub(crate) struct OffsetLookup {
    isolation: IsolationLevel,
    request_timeout: Duration,
    backoff: Backoff,
    questions: BTreeMap<(TopicPartition, Asker), Question>,
    requests: BTreeMap<RequestId, Vec<(TopicPartition, Asker)>>,
}

#[derive(Debug)]
struct Question {
    spec: OffsetSpec,
    asked: bool,
    retry_at: Option<Instant>,
    backoff: Backoff,
}

impl OffsetLookup {
    pub(crate) fn new(
        isolation: IsolationLevel,
        request_timeout: Duration,
        backoff: Backoff,
    ) -> Self {
        let (questions, requests) = (BTreeMap::new(), BTreeMap::new());
        Self { isolation, request_timeout, backoff, questions, requests }
    }

    pub(crate) fn ask(&mut self, asker: Asker, partition: TopicPartition, spec: OffsetSpec) {
        let backoff = self.backoff.clone();
        let question = Question { spec, asked: false, retry_at: None, backoff };
        self.questions.insert((partition, asker), question);
    }

    /// Nobody wants to know any more what `stale` is true for.
    pub(crate) fn withdraw(&mut self, stale: impl Fn(&TopicPartition, Asker) -> bool) {
        self.questions.retain(|(partition, asker), _| !stale(partition, *asker));
    }

    /// The requests that may be sent now; `refresh` is set if a leader is not known.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        cluster: &Cluster,
        ids: &mut RequestIds,
        refresh: &mut bool,
    ) -> Vec<Outbound> {
        // A special mark and a time of one partition may be asked for at once, but not in one request.
        type Asked = Vec<(TopicPartition, Asker, OffsetSpec, Option<LeaderEpoch>)>;
        let mut by_leader: BTreeMap<(NodeId, Asker), Asked> = BTreeMap::new();
        for ((tp, asker), question) in &mut self.questions {
            if question.asked || question.retry_at.is_some_and(|at| now < at) {
                continue;
            }
            let partition = cluster.partition(tp.topic.as_str(), tp.partition);
            let Some((leader, epoch)) =
                partition.and_then(|partition| Some((partition.leader?, partition.leader_epoch)))
            else {
                *refresh = true;
                continue;
            };
            question.asked = true;
            // Resets of all partitions of a broker share a request; a query has its own.
            let group = match asker {
                Asker::Reset(_) => Asker::Reset(Revision::START),
                Asker::Query(_) => *asker,
            };
            let asked = by_leader.entry((leader, group)).or_default();
            asked.push((tp.clone(), *asker, question.spec, epoch));
        }
        let requests = by_leader.into_iter().map(|((leader, _), asked)| {
            let id = ids.deal();
            let newest = asked.iter().any(|(_, _, spec, _)| *spec == OffsetSpec::MaxTimestamp);
            let version_min = if newest { 7 } else { 1 };
            let partitions = asked.iter().map(|(tp, _, spec, epoch)| {
                let partition = ListOffsetsPartition {
                    partition_index: tp.partition,
                    current_leader_epoch: LeaderEpoch::to_wire(*epoch),
                    timestamp: spec.to_wire(),
                };
                (tp, partition)
            });
            let topics = by_topic(partitions)
                .into_iter()
                .map(|(name, partitions)| ListOffsetsTopic { name, partitions })
                .collect();
            let body = ListOffsetsRequest {
                replica_id: -1,
                isolation_level: self.isolation.to_wire(),
                topics,
                timeout_ms: i32::try_from(self.request_timeout.as_millis()).unwrap_or(i32::MAX),
            };
            let keys = asked.into_iter().map(|(tp, asker, ..)| (tp, asker)).collect();
            self.requests.insert(id, keys);
            let (target, timeout) = (Target::Broker(leader), self.request_timeout);
            let mut outbound = Outbound::new(id, target, Lane::Control, timeout, body.into());
            outbound.version_min = version_min;
            outbound
        });
        requests.collect()
    }

    /// Takes in an answer; `None` if it is not to one of these. `refresh` is set if a leader is not what we think.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named here is told to the user"
    )]
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        rng: &mut Rng,
        refresh: &mut bool,
    ) -> Option<Vec<Found>> {
        let asked = self.requests.remove(&answer.id)?;
        let answers = match std::mem::replace(&mut answer.result, Ok(None)) {
            Ok(Some(Response::ListOffsets(response))) => Ok(read(&response)),
            Ok(_) => Err(Error::new(ErrorKind::Protocol)),
            Err(failure) => {
                *refresh = true;
                if failure.is_passing() {
                    Ok(BTreeMap::new())
                } else {
                    Err(Error::from_failure(&failure))
                }
            }
        };
        let mut found = Vec::new();
        for key in asked {
            let Some(question) = self.questions.get_mut(&key) else { continue };
            question.asked = false;
            let (partition, asker) = key.clone();
            let context = |error: Error| {
                error
                    .during(Operation::ListOffsets)
                    .with_partition(&partition)
                    .with_broker(answer.broker)
            };
            let result = match &answers {
                Err(error) => Err(context(error.clone())),
                Ok(answers) => match answers.get(&partition) {
                    Some(Ok(offset)) => Ok(*offset),
                    Some(Err(code)) => match disposition::reaction(ApiKey::LIST_OFFSETS, *code) {
                        Reaction::Retry
                        | Reaction::RefreshMetadata
                        | Reaction::ValidateOffset
                        | Reaction::Rebootstrap => {
                            *refresh = true;
                            question.retry_at = Some(now + question.backoff.next_wait(rng));
                            continue;
                        }
                        _ => Err(context(Error::from_code(ApiKey::LIST_OFFSETS, *code))),
                    },
                    // Left out, or no answer at all.
                    None => {
                        question.retry_at = Some(now + question.backoff.next_wait(rng));
                        continue;
                    }
                },
            };
            self.questions.remove(&key);
            found.push(Found { asker, partition, result });
        }
        Some(found)
    }

    pub(crate) fn timeout(&self, now: Instant) -> Option<Instant> {
        let waits = self.questions.values().filter(|question| !question.asked);
        waits.filter_map(|question| question.retry_at).filter(|at| *at > now).min()
    }
}

type Answers = BTreeMap<TopicPartition, Result<Option<FoundOffset>, ErrorCode>>;

fn read(response: &ListOffsetsResponse) -> Answers {
    let mut answers = BTreeMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let tp = TopicPartition::new(&*topic.name, partition.partition_index);
            let answer = if partition.error_code == ErrorCode::NONE {
                Ok(Offset::new(partition.offset).map(|offset| FoundOffset {
                    offset,
                    timestamp: Timestamp::from_wire(partition.timestamp),
                    leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
                }))
            } else {
                Err(partition.error_code)
            };
            answers.entry(tp).or_insert(answer);
        }
    }
    answers
}
