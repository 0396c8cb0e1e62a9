//! One cluster, its clients and a clock that only the test moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_broker::{Cluster, ConnectionId, Output, Settings, TopicSettings};
use milena_records::{BatchBuilder, Buffer, Compression, Compressor, ProducerStamp};
use milena_types::{
    ApiKey, CorrelationId, ErrorCode, NodeId, Offset, ProducerEpoch, ProducerId, Sequence,
    Timestamp, TopicPartition,
};
use milena_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use milena_wire::messages::fetch_response::{FetchResponse, PartitionData};
use milena_wire::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use milena_wire::messages::produce_response::PartitionProduceResponse;
use milena_wire::{Records, Request, Response, decode_response, encode_request};

pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) now: Instant,
    asked: BTreeMap<ConnectionId, Vec<(ApiKey, i16, CorrelationId)>>,
    answers: BTreeMap<ConnectionId, Vec<Response>>,
    frames: BTreeMap<ConnectionId, Vec<Bytes>>,
    closed: Vec<ConnectionId>,
    sent: i32,
    settings: Settings,
    /// When the wall clock showed what the settings say.
    began: Instant,
    /// What the cluster wrote down.
    pieces: Vec<Bytes>,
}

/// What an idempotent producer says: id, epoch, sequence.
pub(crate) type Stamp = (i64, i16, i32);

impl World {
    /// Three nodes and the topic `t` with one partition on all of them, led by node 1 or another.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    #[expect(clippy::disallowed_methods, reason = "any instant does as the start")]
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::with_nodes(3);
        settings.topics = vec![TopicSettings::new("t", 1)];
        change(&mut settings);
        let now = Instant::now();
        let mut world = Self {
            cluster: Cluster::restore(settings.clone(), now, []).expect("legal topics"),
            now,
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            frames: BTreeMap::new(),
            closed: Vec::new(),
            sent: 0,
            settings,
            began: now,
            pieces: Vec::new(),
        };
        world.drain();
        world
    }

    /// The process ends and starts again: what was written down is all that is left.
    pub(crate) fn restart(&mut self) {
        self.drain();
        self.cluster = self.restored(&self.pieces);
        // Connections are numbered anew.
        self.asked.clear();
        self.answers.clear();
        self.frames.clear();
        self.closed.clear();
        self.drain();
    }

    /// What starts again is the program with other settings.
    pub(crate) fn restart_with(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.restart();
    }

    /// What the cluster wrote down.
    pub(crate) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The same, after what was written down was written anew.
    pub(crate) fn restart_compacted(&mut self) {
        self.drain();
        self.pieces = image(&self.cluster);
        self.restart();
    }

    /// The wall clock has gone on meanwhile.
    fn restored(&self, pieces: &[Bytes]) -> Cluster {
        let mut settings = self.settings.clone();
        let passed = i64::try_from((self.now - self.began).as_millis()).expect("a short test");
        settings.wall_clock = Timestamp::from_millis(settings.wall_clock.millis() + passed);
        let restored = Cluster::restore(settings, self.now, pieces.iter().cloned());
        restored.expect("it was written by the same program")
    }

    pub(crate) fn connect(&mut self, node: NodeId) -> ConnectionId {
        self.cluster.open(self.now, node).expect("the node takes connections")
    }

    /// Connects to the leader of partition 0 of `t`.
    pub(crate) fn connect_leader(&mut self) -> ConnectionId {
        let leader = self.leader();
        self.connect(leader)
    }

    pub(crate) fn leader(&self) -> NodeId {
        self.cluster.partition(&tp()).and_then(|view| view.leader).expect("a leader")
    }

    pub(crate) fn send(
        &mut self,
        connection: ConnectionId,
        version: i16,
        request: impl Into<Request>,
    ) {
        let request = request.into();
        self.sent += 1;
        let id = CorrelationId::from_wire(self.sent);
        let frame = encode_request(&request, version, id, Some("test")).expect("encodes");
        let is_answered = !matches!(&request, Request::Produce(produce) if produce.acks == 0);
        if is_answered {
            self.asked.entry(connection).or_default().push((request.api_key(), version, id));
        }
        self.cluster.handle(self.now, connection, frame.into_bytes().slice(4..));
        self.drain();
    }

    pub(crate) fn send_bytes(&mut self, connection: ConnectionId, frame: Bytes) {
        self.cluster.handle(self.now, connection, frame);
        self.drain();
    }

    /// Sends and takes the answer, which must come at once.
    pub(crate) fn ask(
        &mut self,
        connection: ConnectionId,
        version: i16,
        request: impl Into<Request>,
    ) -> Response {
        self.send(connection, version, request);
        self.answer(connection).expect("an answer at once")
    }

    /// The next answer on the connection.
    pub(crate) fn answer(&mut self, connection: ConnectionId) -> Option<Response> {
        let answers = self.answers.get_mut(&connection)?;
        (!answers.is_empty()).then(|| answers.remove(0))
    }

    /// Lets time pass, timeouts and all.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.cluster.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.cluster.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Takes what the cluster wants done, after a command.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.cluster.poll_output(self.now) {
            match output {
                Output::Reply { connection, frame } => self.receive(connection, frame.into_bytes()),
                Output::Close { connection } => self.closed.push(connection),
                Output::Store { piece } => self.pieces.push(piece),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The same where answers to frames that nobody can read are of no interest.
    pub(crate) fn drain_unasked(&mut self) {
        while let Some(output) = self.cluster.poll_output(self.now) {
            if let Output::Store { piece } = output {
                self.pieces.push(piece);
            }
        }
    }

    /// Answers are matched strictly in order; what cannot be read is kept as bytes.
    fn receive(&mut self, connection: ConnectionId, frame: Bytes) {
        let (api, version, id) = self.asked.get_mut(&connection).expect("asked").remove(0);
        match decode_response(api, version, frame.slice(4..)) {
            Ok((answered, response)) if answered == id => {
                self.answers.entry(connection).or_default().push(response);
            }
            _ => self.frames.entry(connection).or_default().push(frame),
        }
    }

    pub(crate) fn is_closed(&self, connection: ConnectionId) -> bool {
        self.closed.contains(&connection)
    }

    /// Frames that were no answer to what was asked.
    pub(crate) fn garbage(&self, connection: ConnectionId) -> usize {
        self.frames.get(&connection).map_or(0, Vec::len)
    }

    /// Produces one batch to partition 0 of `t` with acks=-1.
    pub(crate) fn produce(
        &mut self,
        connection: ConnectionId,
        values: &[&str],
        stamp: Option<Stamp>,
    ) -> PartitionProduceResponse {
        let response = self.ask(connection, 9, produce(-1, batch(values, stamp)));
        produced(response)
    }

    pub(crate) fn values(&self) -> Vec<String> {
        let text =
            |value: Option<Bytes>| String::from_utf8_lossy(&value.unwrap_or_default()).into();
        self.cluster.records(&tp()).into_iter().map(|record| text(record.value)).collect()
    }
}

/// Whatever a test did: what was written down on the way comes to the same as what there is at the end.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.drain();
        let (told, is) = (self.restored(&self.pieces), self.restored(&image(&self.cluster)));
        assert!(image(&told) == image(&is), "{told:#?}\n\nis what is told of\n\n{is:#?}");
    }
}

fn image(cluster: &Cluster) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let put = |piece| -> Result<(), std::convert::Infallible> {
        pieces.push(piece);
        Ok(())
    };
    let Ok(()) = cluster.store_image(put);
    pieces
}

pub(crate) fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

pub(crate) fn offset(raw: i64) -> Offset {
    Offset::new(raw).expect("not negative")
}

pub(crate) fn node(id: i32) -> NodeId {
    NodeId::new(id)
}

pub(crate) fn batch(values: &[&str], stamp: Option<Stamp>) -> Bytes {
    batch_with(values, stamp, false)
}

pub(crate) fn batch_with(values: &[&str], stamp: Option<Stamp>, transactional: bool) -> Bytes {
    let records: Vec<_> = values.iter().map(|value| (None, *value)).collect();
    batch_of(&records, stamp, transactional)
}

/// A batch of keys and values.
pub(crate) fn batch_of(
    records: &[(Option<&str>, &str)],
    stamp: Option<Stamp>,
    transactional: bool,
) -> Bytes {
    let mut builder = BatchBuilder::new(Buffer::with_capacity(256));
    for (key, value) in records {
        let key = key.map(str::as_bytes);
        builder.append(NOON, key, Some(value.as_bytes()), []).expect("fits");
    }
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).expect("has records");
    let stamp = stamp.map(|(id, epoch, sequence)| {
        let mut stamp = sealed_stamp(id, epoch, sequence);
        stamp.transactional = transactional;
        stamp
    });
    sealed.stamp(stamp).to_bytes()
}

fn sealed_stamp(id: i64, epoch: i16, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        producer_id: ProducerId::from_wire(id).expect("not negative"),
        producer_epoch: ProducerEpoch::from_wire(epoch).expect("not negative"),
        base_sequence: Sequence::from_wire(sequence),
        transactional: false,
    }
}

pub(crate) fn produce(acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index: 0, records: Some(Records::from(records)) };
    let topic =
        TopicProduceData { name: "t".into(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() }
}

pub(crate) fn produced(response: Response) -> PartitionProduceResponse {
    let Response::Produce(mut response) = response else { panic!("{response:?}") };
    response.responses.remove(0).partition_responses.remove(0)
}

/// A Fetch of partition 0 of `t` without a session.
pub(crate) fn fetch(from: i64, min_bytes: i32, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition {
        partition: 0,
        fetch_offset: from,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    FetchRequest {
        max_wait_ms,
        min_bytes,
        max_bytes: 1 << 20,
        topics: vec![topic],
        ..Default::default()
    }
}

pub(crate) fn fetch_response(response: Response) -> FetchResponse {
    let Response::Fetch(response) = response else { panic!("{response:?}") };
    response
}

pub(crate) fn fetched(response: Response) -> PartitionData {
    fetch_response(response).responses.remove(0).partitions.remove(0)
}

/// The offsets of the records of a fetched partition.
pub(crate) fn offsets(data: &PartitionData) -> Vec<i64> {
    let bytes = data.records.clone().map(Records::into_bytes).unwrap_or_default();
    let mut decompressor = milena_records::Decompressor::default();
    let batches = milena_records::RecordSet::new(bytes).map(|batch| batch.expect("a whole batch"));
    let mut offsets = Vec::new();
    for batch in batches {
        let decoded = batch.decode(&mut decompressor).expect("an unharmed batch");
        offsets.extend(decoded.iter().map(|record| record.expect("a record").offset().get()));
    }
    offsets
}

pub(crate) fn ok(answer: &PartitionProduceResponse) -> i64 {
    assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
    answer.base_offset
}
