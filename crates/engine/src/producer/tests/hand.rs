//! A producer whose requests are answered by hand, one by one, on a virtual clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_records::{Compressor, Decompressor};
use milena_types::{ErrorCode, NodeId, Timestamp, Uuid};
use milena_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use milena_wire::messages::find_coordinator_response::Coordinator;
use milena_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use milena_wire::messages::{
    AddPartitionsToTxnResponse, EndTxnResponse, FindCoordinatorResponse, InitProducerIdResponse,
    ProduceResponse,
};
use milena_wire::{Request, Response};

use crate::Error;
use crate::metadata::{Broker, Cluster, LeaderHint, PartitionMetadata, TopicMetadata};
use crate::producer::{Accumulator, Delivery, NewRecord, Output, Producer, Settings};
use crate::request::{Answer, Failure, Outbound, Target};
use crate::transaction::{TransactionCall, TransactionVersion};

pub(super) struct Hand {
    pub(super) now: Instant,
    pub(super) producer: Producer,
    pub(super) accumulator: Arc<Accumulator>,
    requests: VecDeque<Outbound>,
    done: BTreeMap<TransactionCall, Result<(), Error>>,
    /// How often new metadata was asked for.
    pub(super) refreshes: usize,
    /// How often the topic was said to be in use.
    pub(super) uses: usize,
    /// What was told of leaders that moved.
    pub(super) hints: Vec<LeaderHint>,
    epoch: i16,
    /// Of the requests that are answered: up to 12 they name topics.
    pub(super) version: i16,
}

/// Nothing lingers, and what goes out is of transaction "x".
pub(super) fn settings() -> Settings {
    Settings {
        transactional_id: Some("x".into()),
        linger: Duration::ZERO,
        batch_bytes: 400,
        ..Settings::default()
    }
}

/// The same of a producer without an identity.
pub(super) fn plain() -> Settings {
    Settings { transactional_id: None, is_idempotent: false, ..settings() }
}

/// A record with nothing but a value.
pub(super) fn record(partition: Option<i32>, value: &[u8]) -> NewRecord<'_> {
    let (timestamp, headers) = (Timestamp::from_millis(1), std::iter::empty());
    NewRecord { partition, timestamp, key: None, value: Some(value), headers }
}

/// Broker 1, and topic "t" of two partitions, which `leader` leads.
pub(super) fn cluster(id: u8, leader: Option<i32>) -> Arc<Cluster> {
    let leader = leader.map(NodeId::new);
    let partitions = [0, 1].map(|index| PartitionMetadata::new(index, leader, None));
    let topic = TopicMetadata::new("t", Some(Uuid::from_bytes([id; 16])), partitions.into());
    Arc::new(Cluster::new([Broker::new(NodeId::new(1), "broker", 9092)], [topic]))
}

impl Hand {
    /// It knows the topic.
    pub(super) fn new(settings: Settings) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the clock's zero; nothing reads it again")]
        let now = Instant::now() + Duration::from_secs(1);
        let accumulator = Arc::new(Accumulator::new(&settings, 1));
        let producer = Producer::new(settings, Arc::clone(&accumulator), Rng::with_seed(1));
        let mut hand = Self {
            now,
            producer,
            accumulator,
            requests: VecDeque::new(),
            done: BTreeMap::new(),
            refreshes: 0,
            uses: 0,
            hints: Vec::new(),
            epoch: 0,
            version: 12,
        };
        hand.accumulator.topic("t");
        hand.pump();
        hand.learn(cluster(1, Some(1)));
        hand
    }

    /// A transaction is open, under epoch 0.
    pub(super) fn open(version: TransactionVersion, settings: Settings) -> Self {
        let mut hand = Self::new(settings);
        hand.producer.handle_transaction_version(version);
        let begin = hand.producer.begin_transaction(hand.deadline()).unwrap();
        hand.find_coordinator("broker", 9092);
        hand.identify();
        hand.result(begin).unwrap();
        hand
    }

    pub(super) fn deadline(&self) -> Instant {
        self.now + Duration::from_secs(1000)
    }

    pub(super) fn learn(&mut self, cluster: Arc<Cluster>) {
        self.producer.handle_metadata(self.now, cluster);
        self.pump();
    }

    pub(super) fn pump(&mut self) {
        while let Some(output) = self.producer.poll_output(self.now) {
            match output {
                Output::Request(request) => self.requests.push_back(request),
                Output::Seal(job) => {
                    let sealed = job.run(&mut Compressor::default(), &mut Decompressor::default());
                    self.producer.handle_sealed(sealed);
                }
                Output::RefreshMetadata => self.refreshes += 1,
                Output::TransactionDone(call, result) => {
                    self.done.insert(call, result);
                }
                Output::UseTopic(_) => self.uses += 1,
                Output::LeaderHint(hint) => self.hints.push(hint),
                Output::Flushed(_) | Output::Closed => {}
            }
        }
    }

    /// Lets the time pass in one step.
    pub(super) fn wait(&mut self, span: Duration) {
        self.now += span;
        self.producer.handle_timeout(self.now);
        self.pump();
    }

    /// The request that is due.
    pub(super) fn next(&mut self) -> Outbound {
        self.pump();
        self.requests.pop_front().expect("no request")
    }

    /// All that are due.
    pub(super) fn requests(&mut self) -> Vec<Outbound> {
        self.pump();
        self.requests.drain(..).collect()
    }

    pub(super) fn expect_nothing(&mut self) {
        self.pump();
        assert!(self.requests.is_empty(), "{:?}", self.requests);
    }

    pub(super) fn answer(&mut self, request: &Outbound, response: impl Into<Response>) {
        self.reply(request, Ok(Some(response.into())));
    }

    pub(super) fn reply(&mut self, request: &Outbound, result: Result<Option<Response>, Failure>) {
        self.hear(request, result);
        self.pump();
    }

    /// Hands the answer in, and lets nothing come of it yet.
    pub(super) fn hear(&mut self, request: &Outbound, result: Result<Option<Response>, Failure>) {
        let broker = match request.target {
            Target::Broker(node) => Some(node),
            Target::Any => None,
        };
        let answer = Answer::new(request.id, broker, self.version, self.now, result);
        self.producer.handle_answer(self.now, answer);
    }

    pub(super) fn find_coordinator(&mut self, host: &str, port: i32) {
        let request = self.next();
        assert!(matches!(request.body, Request::FindCoordinator(_)), "{request:?}");
        let found =
            Coordinator { key: "x".into(), node_id: 1, host: host.into(), port, ..<_>::default() };
        let coordinators = vec![found];
        self.answer(&request, FindCoordinatorResponse { coordinators, ..<_>::default() });
    }

    /// Gives producer id 7 its next epoch.
    pub(super) fn identify(&mut self) {
        let request = self.next();
        assert!(matches!(request.body, Request::InitProducerId(_)), "{request:?}");
        let producer_epoch = self.epoch;
        self.epoch += 1;
        let response = InitProducerIdResponse { producer_id: 7, producer_epoch, ..<_>::default() };
        self.answer(&request, response);
    }

    /// Makes `partition` part of the transaction.
    pub(super) fn enrol(&mut self, partition: i32) {
        let request = self.next();
        let Request::AddPartitionsToTxn(body) = &request.body else { panic!("{request:?}") };
        let topic = &body.v3_and_below_topics[0];
        assert_eq!(topic.partitions, [partition]);
        assert_eq!(body.v3_and_below_transactional_id.as_ref() as &str, "x");
        let partition_error_code = ErrorCode::NONE;
        let result =
            AddPartitionsToTxnPartitionResult { partition_index: partition, partition_error_code };
        let name = topic.name.clone();
        let topic = AddPartitionsToTxnTopicResult { name, results_by_partition: vec![result] };
        let results_by_topic_v3_and_below = vec![topic];
        let response =
            AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..<_>::default() };
        self.answer(&request, response);
    }

    /// Answers for the one batch of `request`.
    pub(super) fn stored(&mut self, request: &Outbound, base_offset: i64, error_code: ErrorCode) {
        let answer = PartitionProduceResponse { base_offset, error_code, ..<_>::default() };
        self.answer_batch(request, answer);
    }

    pub(super) fn answer_batch(&mut self, request: &Outbound, answer: PartitionProduceResponse) {
        self.answer_batch_in(request, answer, ProduceResponse::default());
    }

    /// As [`answer_batch`](Self::answer_batch), with what `around` says besides.
    pub(super) fn answer_batch_in(
        &mut self,
        request: &Outbound,
        answer: PartitionProduceResponse,
        around: ProduceResponse,
    ) {
        self.answer(request, response(request, answer, around));
    }

    /// Answers the request for the transaction's end under the second protocol, and says whether it was to commit.
    pub(super) fn end(&mut self) -> bool {
        let request = self.next();
        let Request::EndTxn(body) = &request.body else { panic!("{request:?}") };
        let is_commit = body.committed;
        let producer_epoch = self.epoch;
        self.epoch += 1;
        let response = EndTxnResponse { producer_id: 7, producer_epoch, ..<_>::default() };
        self.answer(&request, response);
        is_commit
    }

    /// Appends a record of `partition` with 50 bytes.
    pub(super) fn send(&mut self, partition: i32) -> Delivery {
        let record = record(Some(partition), &[0; 50]);
        let topic = self.accumulator.topic("t");
        let now = self.now;
        self.accumulator.try_append(&topic, &record, None, || now).expect("room").delivery
    }

    pub(super) fn result(&mut self, call: TransactionCall) -> Result<(), Error> {
        self.pump();
        self.done.remove(&call).expect("no result yet")
    }
}

/// The answer to `request` for its one batch.
pub(super) fn response(
    request: &Outbound,
    answer: PartitionProduceResponse,
    around: ProduceResponse,
) -> ProduceResponse {
    let Request::Produce(body) = &request.body else { panic!("{request:?}") };
    let topic = &body.topic_data[0];
    let index = topic.partition_data[0].index;
    let partition = PartitionProduceResponse { index, log_append_time_ms: -1, ..answer };
    let (name, topic_id) = (topic.name.clone(), topic.topic_id);
    let partition_responses = vec![partition];
    let topic = TopicProduceResponse { name, topic_id, partition_responses };
    ProduceResponse { responses: vec![topic], ..around }
}
