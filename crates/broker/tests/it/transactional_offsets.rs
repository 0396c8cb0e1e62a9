//! Offsets that producers commit for groups within transactions.

use milena_broker::ConnectionId;
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages as m;

use crate::producer::{ID, Producer, V1, V2};
use crate::world::{World, node, offset};

/// The offsets of a producer in a group, asked of the node that coordinates it.
pub(crate) struct Offsets {
    connection: ConnectionId,
}

impl Offsets {
    pub(crate) fn connect(world: &mut World) -> Self {
        let any = world.connect(node(1));
        let request = m::FindCoordinatorRequest { key: "g".into(), ..Default::default() };
        let Response::FindCoordinator(found) = world.ask(any, 2, request) else { panic!() };
        Self { connection: world.connect(node(found.node_id)) }
    }

    fn commit(&self, world: &mut World, producer: &Producer, offset: i64) -> ErrorCode {
        let version = if producer.versions.end < 5 { 3 } else { 5 };
        self.commit_by(world, version, (producer.id, producer.epoch), offset)
    }

    pub(crate) fn commit_by(
        &self,
        world: &mut World,
        version: i16,
        (producer_id, producer_epoch): (i64, i16),
        offset: i64,
    ) -> ErrorCode {
        let partition = m::txn_offset_commit_request::TxnOffsetCommitRequestPartition {
            committed_offset: offset,
            ..Default::default()
        };
        let topic = m::txn_offset_commit_request::TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = m::TxnOffsetCommitRequest {
            transactional_id: ID.into(),
            group_id: "g".into(),
            producer_id,
            producer_epoch,
            topics: vec![topic],
            ..Default::default()
        };
        let Response::TxnOffsetCommit(answer) = world.ask(self.connection, version, request) else {
            panic!()
        };
        answer.topics[0].partitions[0].error_code
    }

    /// What is committed, or why that is not told.
    fn fetch(&self, world: &mut World, require_stable: bool) -> Result<i64, ErrorCode> {
        let topic = m::offset_fetch_request::OffsetFetchRequestTopic {
            name: "t".into(),
            partition_indexes: vec![0],
        };
        let request = m::OffsetFetchRequest {
            group_id: "g".into(),
            topics: Some(vec![topic]),
            require_stable,
            ..Default::default()
        };
        let Response::OffsetFetch(answer) = world.ask(self.connection, 7, request) else {
            panic!()
        };
        let partition = &answer.topics[0].partitions[0];
        match partition.error_code {
            ErrorCode::NONE => Ok(partition.committed_offset),
            code => Err(code),
        }
    }
}

/// A consumer that took over meanwhile would read from where the transaction began, and what it writes be doubled.
#[test]
fn offsets_of_a_transaction_count_once_it_is_committed() {
    for versions in [V1, V2] {
        let mut world = World::new();
        let mut producer = Producer::begin(&mut world, versions);
        let offsets = Offsets::connect(&mut world);
        for (committed, expected) in [(false, -1), (true, 20)] {
            if versions.end < 5 {
                let refused = offsets.commit(&mut world, &producer, 9);
                assert_eq!(refused, ErrorCode::INVALID_TXN_STATE);
                let request = m::AddOffsetsToTxnRequest {
                    transactional_id: ID.into(),
                    producer_id: producer.id,
                    producer_epoch: producer.epoch,
                    group_id: "g".into(),
                };
                let answer = world.ask(producer.coordinator, 3, request);
                assert!(matches!(answer, Response::AddOffsetsToTxn(a) if !a.error_code.is_error()));
            }
            let offset = if committed { 20 } else { 10 };
            assert_eq!(offsets.commit(&mut world, &producer, offset), ErrorCode::NONE);
            assert_eq!(offsets.fetch(&mut world, false), Ok(-1));
            let unstable = Err(ErrorCode::UNSTABLE_OFFSET_COMMIT);
            assert_eq!(offsets.fetch(&mut world, true), unstable);
            assert_eq!(producer.end(&mut world, committed), ErrorCode::NONE);
            assert_eq!(offsets.fetch(&mut world, true), Ok(expected));
        }
        let commits: Vec<_> = world.cluster.journal().commits().collect();
        assert_eq!(commits.len(), 1);
        assert_eq!((commits[0].group.as_str(), commits[0].committed.offset), ("g", offset(20)));
    }
}

#[test]
fn offsets_of_a_producer_that_was_fenced_never_count() {
    let mut world = World::new();
    let mut first = Producer::begin(&mut world, V2);
    let offsets = Offsets::connect(&mut world);
    assert_eq!(offsets.commit(&mut world, &first, 10), ErrorCode::NONE);
    let mut second = Producer::connect(&mut world, V2);
    assert_eq!(second.init(&mut world), ErrorCode::CONCURRENT_TRANSACTIONS);
    assert_eq!(second.init(&mut world), ErrorCode::NONE);
    assert_eq!(offsets.fetch(&mut world, true), Ok(-1));
    assert_eq!(offsets.commit(&mut world, &first, 11), ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(first.end(&mut world, true), ErrorCode::PRODUCER_FENCED);
    assert_eq!(offsets.fetch(&mut world, true), Ok(-1));
}
