//! The machine against a scripted coordinator.

mod deadlines;
mod faults;
mod flow;
mod table;
mod versions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ErrorCode, Generation, NodeId, Offset};
use milena_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use milena_wire::messages::find_coordinator_response::Coordinator;
use milena_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use milena_wire::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse,
    FindCoordinatorResponse, InitProducerIdResponse, TxnOffsetCommitResponse,
};
use milena_wire::{Request, Response};

use super::machine::{Event, Progress, Settings, Transactions};
use super::{GroupMetadata, TransactionCall, TransactionOutcome, TransactionVersion};
use crate::Error;
use crate::commit::CommittedOffset;
use crate::request::{Answer, Failure, Outbound, RequestIds, Target};

const MS: Duration = Duration::from_millis(1);
/// The broker that coordinates transactions, and the one that coordinates groups.
const COORDINATOR: NodeId = NodeId::new(1);
const GROUPS: NodeId = NodeId::new(2);

/// A machine, its time, and what came out of it.
struct World {
    now: Instant,
    machine: Transactions,
    ids: RequestIds,
    rng: Rng,
    progress: Progress,
    results: BTreeMap<TransactionCall, Result<(), Error>>,
    /// The epochs that the sender was told to count under.
    epochs: Vec<i16>,
    drops: usize,
    broken: Option<Error>,
}

impl World {
    /// A machine that was never asked for anything.
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the clock's zero; nothing reads it again")]
        let now = Instant::now() + Duration::from_secs(1);
        let settings = Settings {
            transactional_id: "x".into(),
            timeout: Duration::from_secs(60),
            is_two_phase: false,
            request_timeout: Duration::from_secs(30),
            retry_backoff: 100 * MS,
            retry_backoff_max: Duration::from_secs(1),
        };
        Self {
            now,
            machine: Transactions::new(settings),
            ids: RequestIds::default(),
            rng: Rng::with_seed(1),
            progress: Progress { is_drained: true, has_gaps: false },
            results: BTreeMap::new(),
            epochs: Vec::new(),
            drops: 0,
            broken: None,
        }
    }

    /// A machine that has its identity, epoch 0.
    fn ready(version: TransactionVersion) -> Self {
        let mut world = Self::new();
        world.machine.set_cluster_version(version);
        let call = world.machine.settle(world.deadline());
        world.find_coordinator();
        let request = world.next();
        world.identify(&request, 0);
        world.succeeded(call);
        world
    }

    /// A machine with an open transaction, epoch 0.
    fn open(version: TransactionVersion) -> Self {
        let mut world = Self::ready(version);
        world.begin();
        world
    }

    /// One whose transaction the coordinator knows.
    fn begun(version: TransactionVersion) -> Self {
        let mut world = Self::open(version);
        world.send();
        world
    }

    /// One whose first transaction was committed, and the second is open.
    fn second() -> Self {
        let mut world = Self::begun(TransactionVersion::Two);
        let commit = world.commit();
        world.end_next(ErrorCode::NONE, Some(1));
        world.succeeded(commit);
        world.begin();
        world
    }

    fn deadline(&self) -> Instant {
        self.now + Duration::from_secs(60)
    }

    fn begin(&mut self) {
        let call = self.machine.begin(self.deadline());
        assert!(self.poll().is_none(), "nothing stands in the way");
        self.succeeded(call);
    }

    /// Sends records to partition 0, in slot 0.
    fn send(&mut self) {
        if !self.machine.may_send(0, &("t", 0).into()) {
            let request = self.next();
            self.enrol(&request, ErrorCode::NONE);
        }
        assert!(self.machine.may_send(0, &("t", 0).into()));
        self.machine.departed();
    }

    fn poll(&mut self) -> Option<Outbound> {
        let request = self.machine.poll_request(self.now, &mut self.ids, self.progress);
        self.collect();
        request
    }

    /// The next request, waiting for it as long as the machine says.
    fn next(&mut self) -> Outbound {
        for _ in 0..10 {
            if let Some(request) = self.poll() {
                return request;
            }
            self.now = self.machine.poll_timeout().expect("something is due").max(self.now);
        }
        panic!("no request: {:?}", self.machine);
    }

    fn collect(&mut self) {
        self.results.extend(self.machine.take_results());
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Identity(identity) => self.epochs.push(identity.epoch.get()),
                Event::DropUnsent => self.drops += 1,
                Event::Broken(error) => self.broken = Some(error),
                Event::Enrolled | Event::Coordinator(_) => {}
            }
        }
    }

    fn answer(&mut self, request: &Outbound, response: impl Into<Response>) {
        self.reply(request, Ok(Some(response.into())));
    }

    fn lose(&mut self, request: &Outbound) {
        self.reply(request, Err(Failure::ConnectionLost));
    }

    fn reply(&mut self, request: &Outbound, result: Result<Option<Response>, Failure>) {
        let broker = match request.target {
            Target::Broker(node) => Some(node),
            Target::Any => None,
        };
        let answer = Answer::new(request.id, broker, 0, self.now, result);
        let taken = self.machine.handle_answer(self.now, answer, &mut self.rng);
        assert!(taken.is_ok(), "not a request of this machine");
        self.collect();
    }

    /// Answers the lookup that is due.
    fn find_coordinator(&mut self) -> (i8, String) {
        let request = self.next();
        let Request::FindCoordinator(body) = &request.body else { panic!("{request:?}") };
        let key = body.coordinator_keys[0].clone();
        let node = if body.key_type == 1 { COORDINATOR } else { GROUPS };
        let kind = body.key_type;
        self.answer(&request, found(&key, node));
        (kind, key.to_string())
    }

    fn identify(&mut self, request: &Outbound, epoch: i16) {
        assert!(matches!(request.body, Request::InitProducerId(_)), "{request:?}");
        let response = InitProducerIdResponse {
            producer_id: 7,
            producer_epoch: epoch,
            ..InitProducerIdResponse::default()
        };
        self.answer(request, response);
        assert!(self.poll().is_none());
    }

    fn enrol(&mut self, request: &Outbound, code: ErrorCode) {
        let Request::AddPartitionsToTxn(body) = &request.body else { panic!("{request:?}") };
        let result = |&partition_index: &i32| AddPartitionsToTxnPartitionResult {
            partition_index,
            partition_error_code: code,
        };
        let topics = body.v3_and_below_topics.iter().map(|topic| AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: topic.partitions.iter().map(result).collect(),
        });
        let results_by_topic_v3_and_below = topics.collect();
        let response = AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below,
            ..AddPartitionsToTxnResponse::default()
        };
        self.answer(request, response);
    }

    fn add_group(&mut self, request: &Outbound, error_code: ErrorCode) {
        assert!(matches!(request.body, Request::AddOffsetsToTxn(_)), "{request:?}");
        self.answer(request, AddOffsetsToTxnResponse { error_code, ..Default::default() });
    }

    fn take_offsets(&mut self, request: &Outbound, error_code: ErrorCode) {
        let Request::TxnOffsetCommit(body) = &request.body else { panic!("{request:?}") };
        let topics = body.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions: (topic.partitions.iter())
                .map(|partition| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code,
                })
                .collect(),
            ..TxnOffsetCommitResponseTopic::default()
        });
        let topics = topics.collect();
        self.answer(request, TxnOffsetCommitResponse { topics, ..Default::default() });
    }

    /// Answers the lookup of the group's coordinator, and the offsets that go there.
    fn offsets_taken(&mut self, error_code: ErrorCode) {
        self.find_coordinator();
        let request = self.next();
        self.take_offsets(&request, error_code);
    }

    /// The answer to EndTxn; with an epoch as the second protocol has it.
    fn end(&mut self, request: &Outbound, error_code: ErrorCode, epoch: Option<i16>) {
        end_of(request);
        let response = EndTxnResponse {
            error_code,
            producer_id: if epoch.is_some() { 7 } else { -1 },
            producer_epoch: epoch.unwrap_or(-1),
            ..EndTxnResponse::default()
        };
        self.answer(request, response);
        self.poll_nothing();
    }

    fn end_next(&mut self, error_code: ErrorCode, epoch: Option<i16>) {
        let request = self.next();
        self.end(&request, error_code, epoch);
    }

    /// The same, of a request that must be an abort's.
    fn end_abort(&mut self, error_code: ErrorCode, epoch: Option<i16>) {
        let request = self.next();
        assert!(!end_of(&request).committed);
        self.end(&request, error_code, epoch);
    }

    fn lose_next(&mut self) {
        let request = self.next();
        self.lose(&request);
    }

    /// Begins where an identity is asked for first, and comes with `epoch`.
    fn begin_as(&mut self, epoch: i16) {
        let begin = self.machine.begin(self.deadline());
        let request = self.next();
        self.identify(&request, epoch);
        self.succeeded(begin);
    }

    fn poll_nothing(&mut self) {
        if let Some(request) = self.poll() {
            panic!("{request:?}");
        }
    }

    /// Offsets of group `g`, in the name of a member in generation 4.
    fn send_offsets(&mut self) -> TransactionCall {
        let offset = CommittedOffset::new(Offset::new(5).unwrap());
        let mut group = GroupMetadata::without_member("g");
        group.generation = Generation::from_wire(4);
        group.member_id = "m".into();
        let offsets = [(("t", 0).into(), offset)].into();
        self.machine.send_offsets(offsets, group, self.deadline())
    }

    fn commit(&mut self) -> TransactionCall {
        self.machine.commit(self.deadline())
    }

    fn abort(&mut self) -> TransactionCall {
        self.machine.abort(self.deadline())
    }

    fn result(&mut self, call: TransactionCall) -> Result<(), Error> {
        self.collect();
        self.results.remove(&call).expect("no result yet")
    }

    fn error(&mut self, call: TransactionCall) -> Error {
        self.result(call).expect_err("an error")
    }

    fn succeeded(&mut self, call: TransactionCall) {
        self.result(call).unwrap();
    }

    fn is_waiting(&mut self, call: TransactionCall) -> bool {
        self.collect();
        !self.results.contains_key(&call)
    }

    fn outcome(&self) -> Option<TransactionOutcome> {
        self.machine.outcome()
    }
}

fn end_of(request: &Outbound) -> &EndTxnRequest {
    let Request::EndTxn(body) = &request.body else { panic!("{request:?}") };
    body
}

fn found(key: &str, node: NodeId) -> FindCoordinatorResponse {
    let found = Coordinator {
        key: key.into(),
        node_id: node.get(),
        host: "broker".into(),
        port: 9092,
        ..Coordinator::default()
    };
    FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }
}
