//! Whether the record before a position is still in the log of a new leader (KIP-320).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, LeaderEpoch, NodeId, Offset, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::OffsetForLeaderEpochRequest;
use milena_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use milena_wire::messages::offset_for_leader_epoch_response::EpochEndOffset;

use super::buffer::FetchBuffer;
use crate::by_topic::by_topic;
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::metadata::Cluster;
use crate::request::{Answer, Failure, Lane, Outbound, RequestId, RequestIds, Target};
use crate::subscription::{Event, OffsetReset, Position, Revision, Stage, Subscription};

/// The validations of one consumer.
#[derive(Debug)]
pub(crate) struct Validator {
    reset: OffsetReset,
    request_timeout: Duration,
    requests: BTreeMap<RequestId, Vec<Check>>,
}

/// One partition that is being validated.
#[derive(Clone, Debug)]
struct Check {
    partition: TopicPartition,
    revision: Revision,
    position: Position,
    /// The leader's epoch under which it is asked.
    leader_epoch: Option<LeaderEpoch>,
}

impl Validator {
    pub(crate) fn new(reset: OffsetReset, request_timeout: Duration) -> Self {
        Self { reset, request_timeout, requests: BTreeMap::new() }
    }

    /// Holds the positions against a new snapshot of the cluster.
    pub(crate) fn handle_cluster(subscription: &mut Subscription, cluster: &Cluster) {
        for (tp, assigned) in subscription.iter_mut() {
            let Some(partition) = cluster.partition(tp.topic.as_str(), tp.partition) else {
                continue;
            };
            let Some(epoch) = partition.leader_epoch else { continue };
            if let Stage::Validating(position) = *assigned.stage()
                && assigned.confirmed < Some(epoch)
            {
                // What the leader before it says, if ever, says nothing of this one's log.
                assigned.keep(Stage::Validating(position));
            }
            let Stage::Fetching(position) = *assigned.stage() else { continue };
            // Without the epoch of the last record there is nothing to compare; a leader of an older epoch is news
            // of yesterday.
            let is_newer = assigned.confirmed.is_some_and(|confirmed| confirmed < epoch);
            if is_newer && position.leader_epoch.is_some() {
                tracing::debug!(partition = %tp, leader_epoch = %epoch, "validating the position");
                assigned.preferred = None;
                assigned.keep(Stage::Validating(position));
            } else if assigned.confirmed.is_none_or(|confirmed| confirmed < epoch) {
                assigned.confirmed = Some(epoch);
                if is_newer {
                    // What the old leader refused the new one may have.
                    assigned.retry_at = None;
                }
            }
        }
    }

    /// The requests that may be sent now; `refresh` is set if a leader is not known.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        subscription: &mut Subscription,
        cluster: &Cluster,
        ids: &mut RequestIds,
        refresh: &mut bool,
    ) -> Vec<Outbound> {
        let mut by_leader: BTreeMap<NodeId, Vec<Check>> = BTreeMap::new();
        for (tp, assigned) in subscription.iter_mut() {
            let Stage::Validating(position) = *assigned.stage() else { continue };
            if assigned.asked || assigned.waits(now) {
                continue;
            }
            let partition = cluster.partition(tp.topic.as_str(), tp.partition);
            let Some((leader, leader_epoch)) =
                partition.and_then(|partition| Some((partition.leader?, partition.leader_epoch)))
            else {
                *refresh = true;
                continue;
            };
            assigned.confirmed = leader_epoch;
            if position.leader_epoch.is_none() {
                assigned.keep(Stage::Fetching(position));
                continue;
            }
            assigned.asked = true;
            let (partition, revision) = (tp.clone(), assigned.revision());
            let check = Check { partition, revision, position, leader_epoch };
            by_leader.entry(leader).or_default().push(check);
        }
        let requests = by_leader.into_iter().map(|(leader, checks)| {
            let id = ids.deal();
            let partitions = checks.iter().map(|check| {
                let partition = OffsetForLeaderPartition {
                    partition: check.partition.partition,
                    current_leader_epoch: LeaderEpoch::to_wire(check.leader_epoch),
                    leader_epoch: LeaderEpoch::to_wire(check.position.leader_epoch),
                };
                (&check.partition, partition)
            });
            let topics = by_topic(partitions)
                .into_iter()
                .map(|(topic, partitions)| OffsetForLeaderTopic { topic, partitions })
                .collect();
            self.requests.insert(id, checks);
            let body = OffsetForLeaderEpochRequest { replica_id: -1, topics };
            let (target, timeout) = (Target::Broker(leader), self.request_timeout);
            let mut outbound = Outbound::new(id, target, Lane::Control, timeout, body.into());
            // Before version 3 a reader needs the rights of a broker.
            outbound.version_min = 3;
            outbound
        });
        requests.collect()
    }

    /// Takes in an answer; false if it is not to one of these. `refresh` is set if a leader is not what we think.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        subscription: &mut Subscription,
        buffer: &FetchBuffer,
        rng: &mut Rng,
        refresh: &mut bool,
    ) -> bool {
        let Some(checks) = self.requests.remove(&answer.id) else { return false };
        let result = std::mem::replace(&mut answer.result, Ok(None));
        let unsupported = matches!(result, Err(Failure::UnsupportedVersion));
        let mut ends: BTreeMap<TopicPartition, EpochEndOffset> = BTreeMap::new();
        if let Ok(Some(Response::OffsetForLeaderEpoch(response))) = result {
            for topic in &response.topics {
                for end in &topic.partitions {
                    let tp = TopicPartition::new(&*topic.topic, end.partition);
                    ends.entry(tp).or_insert_with(|| end.clone());
                }
            }
        } else {
            *refresh = true;
        }
        for check in checks {
            let tp = &check.partition;
            // A seek or another leader since then asks anew.
            let Some(assigned) = subscription.current(tp, check.revision) else { continue };
            if *assigned.stage() != Stage::Validating(check.position)
                || assigned.confirmed != check.leader_epoch
            {
                continue;
            }
            assigned.asked = false;
            if unsupported {
                // A broker that cannot tell did not tell Java either.
                assigned.keep(Stage::Fetching(check.position));
                continue;
            }
            let code = ends.get(tp).map(|end| end.error_code);
            match (code, ends.get(tp)) {
                (Some(ErrorCode::NONE), Some(end)) => {
                    let end = Offset::new(end.end_offset).map(|offset| {
                        Position::new(offset, LeaderEpoch::from_wire(end.leader_epoch))
                    });
                    self.conclude(&check, end, subscription, buffer);
                }
                (code, _) => {
                    assigned.retry_at = Some(now + assigned.backoff.next_wait(rng));
                    *refresh = true;
                    let Some(code) = code else { continue };
                    let reaction = disposition::reaction(ApiKey::OFFSET_FOR_LEADER_EPOCH, code);
                    if matches!(reaction, Reaction::Fail | Reaction::Fatal) {
                        let error = Error::from_code(ApiKey::OFFSET_FOR_LEADER_EPOCH, code)
                            .during(Operation::Fetch)
                            .with_partition(tp)
                            .with_broker(answer.broker);
                        buffer.tell(Event::Error(error));
                    }
                }
            }
        }
        true
    }

    /// The leader's log has the epoch of the position's last record, or the largest one below it, up to `end`;
    /// `None` where it knows none of them.
    fn conclude(
        &self,
        check: &Check,
        end: Option<Position>,
        subscription: &mut Subscription,
        buffer: &FetchBuffer,
    ) {
        let (tp, position) = (&check.partition, check.position);
        let holds = end.is_some_and(|end| {
            end.offset >= position.offset && end.leader_epoch >= position.leader_epoch
        });
        let next = subscription.revise();
        let Some(assigned) = subscription.get_mut(tp) else { return };
        if holds {
            assigned.keep(Stage::Fetching(position));
            return;
        }
        let taken = buffer.position(tp).unwrap_or(position);
        let unread_only = end.is_some_and(|end| {
            taken.offset <= end.offset && taken.leader_epoch <= end.leader_epoch
        });
        // An earlier epoch may reach further than the user has come: what is behind him there he was never given.
        let diverged_at =
            end.map(|end| Position::new(end.offset.min(taken.offset), end.leader_epoch));
        let stage = if unread_only && end.is_some_and(|end| end.leader_epoch > taken.leader_epoch) {
            // An earlier epoch may have been cut, too: nothing was asked about that one yet.
            Stage::Validating(taken)
        } else if unread_only {
            // What was handed out is in the log still; what was fetched behind it is not and goes unseen.
            Stage::Fetching(taken)
        } else {
            match (diverged_at, self.reset) {
                (Some(at), reset) if reset != OffsetReset::None => Stage::Fetching(at),
                (None, reset) if reset != OffsetReset::None => Stage::Reset(reset),
                _ => Stage::Halted,
            }
        };
        tracing::warn!(partition = %tp, offset = %taken.offset, ?diverged_at, ?end, "the log was truncated");
        assigned.go(stage, next);
        match stage.position() {
            Some(position) => buffer.go_back(tp, next, position),
            None => buffer.place(tp, next, None),
        }
        // An epoch that the broker knows nothing of is no data loss, as long as a policy says where to go on.
        let silent = unread_only || (end.is_none() && stage != Stage::Halted);
        if !silent {
            let partition = tp.clone();
            buffer.tell(Event::Truncated { partition, position: taken, diverged_at });
        }
        if stage == Stage::Halted {
            let error = Error::new(ErrorKind::LogTruncated)
                .during(Operation::Fetch)
                .with_partition(tp)
                .with_detail(format!(
                    "the log no longer holds what lies before offset {}",
                    taken.offset
                ));
            buffer.tell(Event::Error(error));
        }
    }
}

#[cfg(test)]
mod tests;
