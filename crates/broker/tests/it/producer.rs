//! A producer with a transactional id, played by hand.

use std::time::Duration;

use milena_broker::{ConnectionId, NodeStatus};
use milena_types::{ErrorCode, NodeId};
use milena_wire::Response;
use milena_wire::messages as m;

use crate::world::{World, batch_of, node, produce, produced};

pub(crate) const ID: &str = "payments";

/// The versions that a producer of each protocol speaks: InitProducerId, Produce, EndTxn.
pub(crate) const V1: Versions = Versions { produce: 11, end: 4 };
pub(crate) const V2: Versions = Versions { produce: 12, end: 5 };

#[derive(Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) produce: i16,
    pub(crate) end: i16,
}

/// A producer with the transactional id and what it believes to be.
pub(crate) struct Producer {
    pub(crate) coordinator: ConnectionId,
    pub(crate) leader: ConnectionId,
    pub(crate) versions: Versions,
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
}

pub(crate) fn coordinator(world: &mut World) -> NodeId {
    let any =
        (1..=3).map(node).find(|id| world.cluster.node_status(*id) == Some(NodeStatus::Running));
    let connection = world.connect(any.expect("a node runs"));
    let request = m::FindCoordinatorRequest { key: ID.into(), key_type: 1, ..Default::default() };
    let Response::FindCoordinator(found) = world.ask(connection, 2, request) else { panic!() };
    node(found.node_id)
}

impl Producer {
    /// One that has not begun yet.
    pub(crate) fn connect(world: &mut World, versions: Versions) -> Self {
        let at = coordinator(world);
        let (coordinator, leader) = (world.connect(at), world.connect_leader());
        Self { coordinator, leader, versions, id: -1, epoch: -1, sequence: 0 }
    }

    pub(crate) fn begin(world: &mut World, versions: Versions) -> Self {
        let mut producer = Self::connect(world, versions);
        assert_eq!(producer.init(world), ErrorCode::NONE);
        producer
    }

    pub(crate) fn init(&mut self, world: &mut World) -> ErrorCode {
        self.init_for(world, Duration::from_secs(60))
    }

    pub(crate) fn init_for(&mut self, world: &mut World, timeout: Duration) -> ErrorCode {
        let request = m::InitProducerIdRequest {
            transactional_id: Some(ID.into()),
            transaction_timeout_ms: i32::try_from(timeout.as_millis()).expect("short"),
            producer_id: self.id,
            producer_epoch: self.epoch,
            ..Default::default()
        };
        let Response::InitProducerId(answer) = world.ask(self.coordinator, 5, request) else {
            panic!()
        };
        if answer.error_code == ErrorCode::NONE {
            (self.id, self.epoch, self.sequence) = (answer.producer_id, answer.producer_epoch, 0);
        }
        answer.error_code
    }

    pub(crate) fn add(&self, world: &mut World) -> ErrorCode {
        let topic = m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
            name: "t".into(),
            partitions: vec![0],
        };
        let request = m::AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: ID.into(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        let Response::AddPartitionsToTxn(answer) = world.ask(self.coordinator, 3, request) else {
            panic!()
        };
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    pub(crate) fn send(&mut self, world: &mut World, value: &str) -> ErrorCode {
        self.send_record(world, (None, value))
    }

    fn send_record(&mut self, world: &mut World, record: (Option<&str>, &str)) -> ErrorCode {
        let stamp = (self.id, self.epoch, self.sequence);
        let mut request = produce(-1, batch_of(&[record], Some(stamp), true));
        request.transactional_id = Some(ID.into());
        let answer = produced(world.ask(self.leader, self.versions.produce, request));
        if answer.error_code == ErrorCode::NONE {
            self.sequence += 1;
        }
        answer.error_code
    }

    pub(crate) fn end(&mut self, world: &mut World, committed: bool) -> ErrorCode {
        let request = m::EndTxnRequest {
            transactional_id: ID.into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        };
        let Response::EndTxn(answer) = world.ask(self.coordinator, self.versions.end, request)
        else {
            panic!()
        };
        if answer.error_code == ErrorCode::NONE && self.versions.end >= 5 {
            (self.id, self.epoch, self.sequence) = (answer.producer_id, answer.producer_epoch, 0);
        }
        answer.error_code
    }

    /// Sends one record in a transaction of its own that stays open.
    pub(crate) fn write(&mut self, world: &mut World, value: &str) {
        self.write_record(world, (None, value));
    }

    /// The same for a record with a key.
    pub(crate) fn write_record(&mut self, world: &mut World, record: (Option<&str>, &str)) {
        if self.versions.end < 5 {
            assert_eq!(self.add(world), ErrorCode::NONE);
        }
        assert_eq!(self.send_record(world, record), ErrorCode::NONE);
    }
}
