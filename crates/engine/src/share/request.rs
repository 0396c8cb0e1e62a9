//! The requests of a share session.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_types::{NodeId, TopicPartition, Uuid};
use milena_wire::messages::share_acknowledge_request as acknowledge;
use milena_wire::messages::share_fetch_request as fetch;
use milena_wire::messages::{ShareAcknowledgeRequest, ShareFetchRequest};
use milena_wire::{ByteString, Request};

use super::ledger::Parcel;
use super::session::Delta;
use super::settings::{AcquireMode, Settings};
use crate::request::{Lane, Outbound, RequestId, Target};

/// What all requests of one member say alike.
#[derive(Debug)]
pub(super) struct Requests {
    group_id: ByteString,
    member_id: ByteString,
    mode: AcquireMode,
    min_bytes: i32,
    max_bytes: i32,
    max_wait: Duration,
    max_records: i32,
    timeout: Duration,
}

impl Requests {
    pub(super) fn new(settings: &Settings, member_id: &ByteString) -> Self {
        Self {
            group_id: ByteString::from(&*settings.group_id),
            member_id: member_id.clone(),
            mode: settings.acquire_mode,
            min_bytes: settings.fetch_min_bytes,
            max_bytes: settings.fetch_max_bytes,
            max_wait: settings.fetch_max_wait,
            max_records: i32::try_from(settings.max_poll_records).unwrap_or(i32::MAX),
            timeout: settings.request_timeout,
        }
    }

    /// A fetch from one of `brokers` brokers, with acknowledgements of partitions that it fetches of.
    pub(super) fn fetch(
        &self,
        id: RequestId,
        to: NodeId,
        epoch: i32,
        delta: &Delta,
        parcels: &[Parcel],
        brokers: usize,
    ) -> Outbound {
        let mut topics: BTreeMap<Uuid, BTreeMap<i32, Vec<fetch::AcknowledgementBatch>>> =
            BTreeMap::new();
        for (tp, topic_id) in &delta.add {
            topics.entry(*topic_id).or_default().entry(tp.partition).or_default();
        }
        for ((topic_id, partition), batches) in by_partition(parcels) {
            let place = topics.entry(topic_id).or_default().entry(partition).or_default();
            place.extend(batches.into_iter().map(|(first_offset, last_offset, what)| {
                let acknowledge_types = vec![what];
                fetch::AcknowledgementBatch { first_offset, last_offset, acknowledge_types }
            }));
        }
        let topics = topics.into_iter().map(|(topic_id, partitions)| {
            let partitions =
                partitions.into_iter().map(|(partition_index, acknowledgement_batches)| {
                    fetch::FetchPartition { partition_index, acknowledgement_batches }
                });
            fetch::FetchTopic { topic_id, partitions: partitions.collect() }
        });
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (tp, topic_id) in &delta.forget {
            forgotten.entry(*topic_id).or_default().push(tp.partition);
        }
        let forgotten = forgotten
            .into_iter()
            .map(|(topic_id, partitions)| fetch::ForgottenTopic { topic_id, partitions });
        let share = i32::try_from(brokers.max(1)).unwrap_or(i32::MAX);
        let request = ShareFetchRequest {
            group_id: Some(self.group_id.clone()),
            member_id: Some(self.member_id.clone()),
            share_session_epoch: epoch,
            max_wait_ms: i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.min_bytes,
            max_bytes: (self.max_bytes / share).max(ANSWER_BYTES_MIN.min(self.max_bytes)),
            max_records: self.max_records,
            batch_size: self.max_records,
            share_acquire_mode: match self.mode {
                AcquireMode::BatchOptimized => 0,
                AcquireMode::RecordLimit => 1,
            },
            is_renew_ack: false,
            topics: topics.collect(),
            forgotten_topics_data: forgotten.collect(),
        };
        let timeout = self.timeout + self.max_wait;
        let mut outbound = self.outbound(id, to, request.into(), timeout);
        if self.mode == AcquireMode::RecordLimit {
            outbound.version_min = VERSION_OF_LIMIT_AND_RENEWAL;
        }
        outbound
    }

    /// Acknowledgements alone; the session's last words with the epoch that closes it.
    pub(super) fn acknowledge(
        &self,
        id: RequestId,
        to: NodeId,
        epoch: i32,
        parcels: &[Parcel],
    ) -> Outbound {
        let mut topics: BTreeMap<Uuid, Vec<acknowledge::AcknowledgePartition>> = BTreeMap::new();
        for ((topic_id, partition_index), batches) in by_partition(parcels) {
            let batches = batches.into_iter().map(|(first_offset, last_offset, what)| {
                let acknowledge_types = vec![what];
                acknowledge::AcknowledgementBatch { first_offset, last_offset, acknowledge_types }
            });
            topics.entry(topic_id).or_default().push(acknowledge::AcknowledgePartition {
                partition_index,
                acknowledgement_batches: batches.collect(),
            });
        }
        let topics = topics
            .into_iter()
            .map(|(topic_id, partitions)| acknowledge::AcknowledgeTopic { topic_id, partitions });
        let renews = parcels.iter().any(Parcel::renews);
        let request = ShareAcknowledgeRequest {
            group_id: Some(self.group_id.clone()),
            member_id: Some(self.member_id.clone()),
            share_session_epoch: epoch,
            is_renew_ack: renews,
            topics: topics.collect(),
        };
        let mut outbound = self.outbound(id, to, request.into(), self.timeout);
        if renews {
            outbound.version_min = VERSION_OF_LIMIT_AND_RENEWAL;
        }
        outbound
    }

    /// All go by one connection: its end is the end of the session.
    fn outbound(&self, id: RequestId, to: NodeId, body: Request, timeout: Duration) -> Outbound {
        Outbound::new(id, Target::Broker(to), Lane::Fetch, timeout, body)
    }
}

type Batches = Vec<(i64, i64, i8)>;

/// What is said of each partition, in the order of offsets as brokers want it: one partition's records may have been
/// acquired in several goes.
fn by_partition(parcels: &[Parcel]) -> BTreeMap<(Uuid, i32), Batches> {
    let mut all: BTreeMap<(Uuid, i32), Batches> = BTreeMap::new();
    for Parcel { partition: TopicPartition { partition, .. }, topic_id, batches, .. } in parcels {
        let place = all.entry((*topic_id, *partition)).or_default();
        let batches = batches.iter();
        place.extend(batches.map(|(range, what)| (*range.start(), *range.end(), what.to_wire())));
    }
    for batches in all.values_mut() {
        batches.sort_unstable();
    }
    all
}

/// However many brokers share the limit.
const ANSWER_BYTES_MIN: i32 = 1 << 20;

/// The first version with a strict limit of records (KIP-1206) and with renewals (KIP-1222).
const VERSION_OF_LIMIT_AND_RENEWAL: i16 = 2;
