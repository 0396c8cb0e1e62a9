//! Where a request is made: a topic, a group and a transactional id of its own, made when they are needed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    CreateTopicsRequest, InitProducerIdRequest, JoinGroupRequest, SyncGroupRequest,
};
use milena_wire::{ByteString, Request, Response};
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::compare::fields;
use crate::raw::{Connection, coordinator, message};
use crate::scenarios::records::await_leader;
use crate::target::{Target, Version};

/// A table of scenarios: `name: |stage| what is claimed`, under a family and a subject, for clusters that `fits` names.
macro_rules! staged {
    ($family:literal, $subject:literal, $fits:expr; $($name:ident: |$stage:ident| $body:block)*) => {
        pub(in $crate::scenarios) const ALL: &[$crate::suite::Scenario] = &[$({
            async fn $name(on: std::sync::Arc<$crate::target::Target>) -> $crate::Result {
                let $stage = &mut $crate::scenarios::stage::Stage::new(on, concat!($subject, "-", stringify!($name)));
                $body
            }
            $crate::suite::Scenario {
                name: concat!($family, "::", $subject, "::", stringify!($name)),
                fits: $fits,
                alone: false,
                limit: $crate::suite::LIMIT,
                run: |on| Box::pin($name(on)),
            }
        }),*];
    };
}

pub(super) use staged;

/// What is in an answer of this API.
macro_rules! answer {
    ($api:ident of $told:expr) => {
        match $told {
            milena_wire::Response::$api(told) => told,
            told => {
                return Err(format!("another answer than {}'s: {told:?}", stringify!($api)).into())
            }
        }
    };
}

pub(super) use answer;

/// One scenario's own things.
pub(super) struct Stage {
    pub(super) on: Arc<Target>,
    /// The name of all three.
    pub(super) name: ByteString,
    topic_is_made: bool,
}

/// A member of a classic group that has its assignment.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: ByteString,
    pub(super) generation: i32,
}

/// A producer with a transactional id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Producer {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// Which broker is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Any,
    Controller,
    Leader,
    Coordinator,
    Transactions,
}

impl Stage {
    pub(super) fn new(on: Arc<Target>, name: &str) -> Self {
        let name = on.unique(name);
        Self { on, name: name.into(), topic_is_made: false }
    }

    /// Asks the first broker.
    pub(super) async fn any(
        &self,
        version: i16,
        ask: impl Into<Request>,
        code: ErrorCode,
    ) -> Result {
        self.expect(Role::Any, version, ask, code).await
    }

    /// Asks the broker that makes topics.
    pub(super) async fn controller(
        &self,
        version: i16,
        ask: impl Into<Request>,
        code: ErrorCode,
    ) -> Result {
        self.expect(Role::Controller, version, ask, code).await
    }

    /// Asks the leader of the topic, which is there.
    pub(super) async fn leader(
        &mut self,
        version: i16,
        ask: impl Into<Request>,
        code: ErrorCode,
    ) -> Result {
        self.topic().await?;
        self.expect(Role::Leader, version, ask, code).await
    }

    /// Asks the group's coordinator.
    pub(super) async fn coordinator(
        &self,
        version: i16,
        ask: impl Into<Request>,
        code: ErrorCode,
    ) -> Result {
        self.expect(Role::Coordinator, version, ask, code).await
    }

    /// Asks the coordinator of the transactional id.
    pub(super) async fn transactions(
        &self,
        version: i16,
        ask: impl Into<Request>,
        code: ErrorCode,
    ) -> Result {
        self.expect(Role::Transactions, version, ask, code).await
    }

    /// Makes the topic, of one partition, and waits until it is served and every broker knows it.
    pub(super) async fn topic(&mut self) -> Result {
        self.topic_with(&[]).await
    }

    /// The same with settings.
    pub(super) async fn topic_with(&mut self, settings: &[(&str, &str)]) -> Result {
        self.make_topic(1, settings).await
    }

    /// The same with more partitions, all led by the first broker.
    pub(super) async fn topic_of(&mut self, partitions: i32) -> Result {
        self.make_topic(partitions, &[]).await
    }

    async fn make_topic(&mut self, partitions: i32, settings: &[(&str, &str)]) -> Result {
        if std::mem::replace(&mut self.topic_is_made, true) {
            return Ok(());
        }
        let config = |(name, value): &(&str, &str)| {
            message!(CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) })
        };
        // All where one of them is, to be asked for at once.
        let one_of = |index| {
            message!(CreatableReplicaAssignment { partition_index: index, broker_ids: vec![1] })
        };
        let together: Vec<_> = (0..partitions).map(one_of).collect();
        let topic = message!(CreatableTopic {
            name: self.name.clone(),
            num_partitions: if partitions > 1 { -1 } else { 1 },
            replication_factor: if partitions > 1 { -1 } else { 1 },
            assignments: if partitions > 1 { together } else { vec![] },
            configs: settings.iter().map(config).collect(),
        });
        let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
        let told = self.told(Role::Controller, 3, make).await?;
        // What took longer than its time, or was asked for twice, is seen below.
        let is_fine = |code: &ErrorCode| {
            matches!(*code, ErrorCode::TOPIC_ALREADY_EXISTS | ErrorCode::REQUEST_TIMED_OUT)
        };
        if !codes(&told).iter().all(is_fine) {
            return Err(format!("no topic {:?}: {told:?}", self.name).into());
        }
        // A coordinator looks into what its own broker knows.
        self.on.await_topic(&self.name).await?;
        await_leader(&self.on, &self.name).await.map(drop)
    }

    /// Makes one member of the group, in version 3: of those that learn their id with their generation.
    pub(super) async fn member(&self) -> Result<Member> {
        self.member_with(&["range"]).await
    }

    /// The same with these strategies.
    pub(super) async fn member_with(&self, strategies: &[&str]) -> Result<Member> {
        let mut join = self.joining("");
        let metadata = join.protocols[0].metadata.clone();
        let strategy = |name: &&str| {
            message!(JoinGroupRequestProtocol { name: (*name).into(), metadata: metadata.clone() })
        };
        join.protocols = strategies.iter().map(strategy).collect();
        let told = answer!(JoinGroup of self.told(Role::Coordinator, 3, join).await?);
        assert_eq!(told.error_code, ErrorCode::NONE, "{told:?}");
        let member = Member { id: told.member_id, generation: told.generation_id };
        let assignment = message!(SyncGroupRequestAssignment { member_id: member.id.clone() });
        let mut sync = self.syncing(&member);
        sync.assignments = vec![assignment];
        let told = answer!(SyncGroup of self.told(Role::Coordinator, 2, sync).await?);
        assert_eq!(told.error_code, ErrorCode::NONE, "{told:?}");
        Ok(member)
    }

    pub(super) fn joining(&self, member: &str) -> JoinGroupRequest {
        // Version 0 of a subscription, to no topic.
        let metadata = bytes::Bytes::from_static(&[0; 10]);
        let protocol =
            message!(JoinGroupRequestProtocol { name: "range".into(), metadata: metadata });
        message!(JoinGroupRequest {
            group_id: self.name.clone(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: member.into(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
        })
    }

    pub(super) fn syncing(&self, member: &Member) -> SyncGroupRequest {
        message!(SyncGroupRequest {
            group_id: self.name.clone(),
            generation_id: member.generation,
            member_id: member.id.clone(),
        })
    }

    /// Has the coordinator deal an id.
    pub(super) async fn producer(&self) -> Result<Producer> {
        let init = self.initializing();
        let told = answer!(InitProducerId of self.told(Role::Transactions, 1, init).await?);
        assert_eq!(told.error_code, ErrorCode::NONE, "{told:?}");
        Ok(Producer { id: told.producer_id, epoch: told.producer_epoch })
    }

    pub(super) fn initializing(&self) -> InitProducerIdRequest {
        message!(InitProducerIdRequest {
            transactional_id: Some(self.name.clone()),
            transaction_timeout_ms: 60_000,
        })
    }

    async fn expect(
        &self,
        role: Role,
        version: i16,
        ask: impl Into<Request>,
        code: ErrorCode,
    ) -> Result {
        let told = self.ask(role, version, ask, code).await?;
        let expected = if code.is_error() { BTreeSet::from([code]) } else { BTreeSet::new() };
        assert_eq!(codes(&told), expected, "{told:?}");
        Ok(())
    }

    /// What is answered once that is more than "not yet".
    pub(super) async fn told(
        &self,
        role: Role,
        version: i16,
        ask: impl Into<Request>,
    ) -> Result<Response> {
        self.ask(role, version, ask, ErrorCode::NONE).await
    }

    /// A connection of its own, for what has to wait.
    pub(super) async fn connection(&self, role: Role) -> Result<Connection> {
        Connection::open(&self.address(role).await?).await
    }

    /// Whether the cluster is of this release or a newer one.
    pub(super) fn is_since(&self, major: u32, minor: u32) -> bool {
        *self.on.version() >= Version::of(major, minor, 0)
    }

    /// Asks until what is answered is more than "not yet", unless that is the `code` that is wanted: each time whoever has
    /// the role by then.
    async fn ask(
        &self,
        role: Role,
        version: i16,
        ask: impl Into<Request>,
        code: ErrorCode,
    ) -> Result<Response> {
        let ask = ask.into();
        loop {
            let mut there = Connection::open(&self.address(role).await?).await?;
            let told = there.call(ask.clone(), version).await?;
            if !codes(&told).iter().any(|told| passes(*told) && *told != code) {
                return Ok(told);
            }
            sleep(PAUSE).await;
        }
    }

    async fn address(&self, role: Role) -> Result<String> {
        match role {
            Role::Any => Ok(self.on.address().to_owned()),
            Role::Controller => self.on.controller_address().await,
            Role::Leader => self.on.leader_address(&self.name).await,
            Role::Coordinator => coordinator(self.on.address(), &self.name).await,
            Role::Transactions => self.transaction_coordinator().await,
        }
    }

    async fn transaction_coordinator(&self) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The topic behind it is made at the first question.
            match self.on.transaction_coordinator_address(&self.name).await {
                Err(_) if Instant::now() < deadline => sleep(PAUSE).await,
                told => return told,
            }
        }
    }
}

/// Every error in an answer.
fn codes(told: &Response) -> BTreeSet<ErrorCode> {
    let of = |field: fields::Field| {
        let is_code = field.path.ends_with("error_code");
        let number = field.value.parse().ok().filter(|_| is_code)?;
        Some(ErrorCode::from_wire(number)).filter(|code| code.is_error())
    };
    fields::fields(told).into_iter().filter_map(of).collect()
}

/// Whether a code says that the cluster is not ready.
fn passes(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::NOT_CONTROLLER
            | ErrorCode::CONCURRENT_TRANSACTIONS
    )
}

pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// Less than a scenario has, so that it ends with what was answered last.
const PATIENCE: Duration = Duration::from_secs(50);
