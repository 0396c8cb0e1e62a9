//! One member of a group of the consumer protocol, as a client plays it.

use std::collections::BTreeSet;

use milena_broker::ConnectionId;
use milena_types::{ErrorCode, NodeId, TopicPartition, Uuid};
use milena_wire::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use milena_wire::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use milena_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use milena_wire::{ByteString, Response};

use crate::world::{World, node};

/// The group of all of them.
pub(crate) const GROUP: &str = "g";

/// A member's connection, and what it knows of itself.
pub(crate) struct ConsumerMember {
    pub(crate) connection: ConnectionId,
    pub(crate) id: String,
    pub(crate) instance_id: Option<ByteString>,
    pub(crate) topics: Vec<ByteString>,
    pub(crate) regex: Option<ByteString>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) epoch: i32,
    /// What it reads.
    pub(crate) owned: BTreeSet<(Uuid, i32)>,
    /// What it was told to read, once it has given up what is not in it.
    pub(crate) told: BTreeSet<(Uuid, i32)>,
}

pub(crate) fn coordinator(world: &mut World) -> NodeId {
    let connection = world.connect(node(1));
    let request =
        FindCoordinatorRequest { coordinator_keys: vec![GROUP.into()], ..Default::default() };
    let Response::FindCoordinator(found) = world.ask(connection, 4, request) else { panic!() };
    assert_eq!(found.coordinators[0].error_code, ErrorCode::NONE);
    NodeId::new(found.coordinators[0].node_id)
}

impl ConsumerMember {
    pub(crate) fn connect(world: &mut World, id: &str) -> Self {
        let coordinator = coordinator(world);
        Self {
            connection: world.connect(coordinator),
            id: id.to_owned(),
            instance_id: None,
            topics: vec!["t".into()],
            regex: None,
            rebalance_timeout_ms: 60_000,
            epoch: 0,
            owned: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// A member that has joined.
    pub(crate) fn joined(world: &mut World, id: &str) -> Self {
        let mut member = Self::connect(world, id);
        assert_eq!(member.join(world).error_code, ErrorCode::NONE);
        member
    }

    /// Joins, or joins again.
    pub(crate) fn join(&mut self, world: &mut World) -> ConsumerGroupHeartbeatResponse {
        self.epoch = 0;
        self.owned.clear();
        self.told.clear();
        let request = ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            subscribed_topic_names: self.regex.is_none().then(|| self.topics.clone()),
            subscribed_topic_regex: self.regex.clone(),
            topic_partitions: Some(Vec::new()),
            ..self.request()
        };
        self.send(world, request)
    }

    /// Sends a heartbeat that says nothing new, as a client does from time to time.
    pub(crate) fn beat(&mut self, world: &mut World) -> ConsumerGroupHeartbeatResponse {
        let request = self.request();
        self.send(world, request)
    }

    /// Gives up what it was told to give up, takes what it was told to take, and says so.
    pub(crate) fn comply(&mut self, world: &mut World) -> ConsumerGroupHeartbeatResponse {
        self.owned = self.told.clone();
        let mut topics = Vec::<TopicPartitions>::new();
        for (topic_id, index) in &self.owned {
            match topics.iter_mut().find(|topic| topic.topic_id == *topic_id) {
                Some(topic) => topic.partitions.push(*index),
                None => {
                    topics.push(TopicPartitions { topic_id: *topic_id, partitions: vec![*index] })
                }
            }
        }
        let request =
            ConsumerGroupHeartbeatRequest { topic_partitions: Some(topics), ..self.request() };
        self.send(world, request)
    }

    /// Leaves, for good (-1) or for a while (-2).
    pub(crate) fn leave(&mut self, world: &mut World, epoch: i32) -> ErrorCode {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..self.request() };
        world_ask(world, self.connection, request).error_code
    }

    pub(crate) fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id.as_str().into(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            ..Default::default()
        }
    }

    pub(crate) fn send(
        &mut self,
        world: &mut World,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let answer = world_ask(world, self.connection, request);
        if answer.error_code == ErrorCode::NONE {
            self.epoch = answer.member_epoch;
            if let Some(assignment) = &answer.assignment {
                let topics = assignment.topic_partitions.iter();
                self.told = topics
                    .flat_map(|t| t.partitions.iter().map(|index| (t.topic_id, *index)))
                    .collect();
            }
        }
        answer
    }

    /// The indexes of what it was told to read.
    pub(crate) fn told(&self) -> Vec<i32> {
        self.told.iter().map(|(_, index)| *index).collect()
    }

    /// What the group says that it may read.
    pub(crate) fn assigned(&self, world: &World) -> BTreeSet<TopicPartition> {
        let group = world.cluster.consumer_group(GROUP).expect("a group");
        group.members.get(&self.id).map(|member| member.assigned.clone()).unwrap_or_default()
    }
}

fn world_ask(
    world: &mut World,
    connection: ConnectionId,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let answer = world.ask(connection, 1, request);
    let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!("{answer:?}") };
    answer
}
