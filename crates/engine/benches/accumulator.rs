//! What does a record of 100 bytes cost from the append to its settled delivery, without a network?
//!
//! Whoever fills a batch drives the machine, which seals (checksum only) and is told at once that all is stored. So
//! one thread's figure is the whole cost of the engine per record; eight threads show the contention.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use fastrand::Rng;
use milena_engine::metadata::{Broker, Cluster, PartitionMetadata, TopicMetadata};
use milena_engine::producer::{
    Accumulator, NewRecord, Output, Producer, Refused, Settings, TopicHandle,
};
use milena_engine::request::Answer;
use milena_records::{Compressor, Decompressor};
use milena_types::{NodeId, Timestamp};
use milena_wire::messages::InitProducerIdResponse;
use milena_wire::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use milena_wire::{Request, Response};

fn main() {
    divan::main();
}

struct World {
    accumulator: Arc<Accumulator>,
    topic: TopicHandle,
    driver: Mutex<Driver>,
    now: Instant,
}

struct Driver {
    producer: Producer,
    compressor: Compressor,
    decompressor: Decompressor,
}

impl World {
    fn new(settings: Settings, partitions: i32) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a bench may know the time")]
        let now = Instant::now();
        let accumulator = Arc::new(Accumulator::new(&settings, 1));
        let rng = Rng::with_seed(1);
        let mut producer = Producer::new(settings, Arc::clone(&accumulator), rng);
        let topic = accumulator.topic("orders");
        let leader = Some(NodeId::new(1));
        let partitions = (0..partitions).map(|index| PartitionMetadata::new(index, leader, None));
        let topics = [TopicMetadata::new("orders", None, partitions.collect())];
        let cluster = Cluster::new([Broker::new(NodeId::new(1), "one", 9092)], topics);
        producer.handle_metadata(now, Arc::new(cluster));
        let (compressor, decompressor) = (Compressor::default(), Decompressor::default());
        let driver = Mutex::new(Driver { producer, compressor, decompressor });
        let world = Self { accumulator, topic, driver, now };
        world.drive();
        world
    }

    fn append(&self, partition: Option<i32>, key: Option<&[u8]>, value: &[u8]) {
        let timestamp = Timestamp::from_millis(1_700_000_000_000);
        let record = NewRecord { partition, timestamp, key, value: Some(value), headers: [] };
        loop {
            match self.accumulator.try_append(&self.topic, &record, None, || self.now) {
                Ok(appended) => {
                    drop(black_box(appended.delivery));
                    if appended.wake {
                        self.drive();
                    }
                    return;
                }
                Err(Refused::NoRoom { .. }) => self.drive(),
                Err(refused) => panic!("{refused:?}"),
            }
        }
    }

    fn drive(&self) {
        let Ok(mut driver) = self.driver.try_lock() else { return };
        let Driver { producer, compressor, decompressor } = &mut *driver;
        while let Some(output) = producer.poll_output(self.now) {
            if let Output::Seal(job) = output {
                producer.handle_sealed(job.run(compressor, decompressor));
            } else if let Output::Request(request) = output {
                let result = Ok(Some(respond(&request.body)));
                let answer = Answer::new(request.id, None, 12, self.now, result);
                producer.handle_answer(self.now, answer);
            }
        }
    }
}

fn respond(request: &Request) -> Response {
    let Request::Produce(request) = request else {
        let response = InitProducerIdResponse { producer_id: 1, ..Default::default() };
        return Response::InitProducerId(response);
    };
    let mut response = ProduceResponse::default();
    for topic in &request.topic_data {
        let mut answer = TopicProduceResponse { name: topic.name.clone(), ..Default::default() };
        for data in &topic.partition_data {
            let index = data.index;
            let partition = PartitionProduceResponse { index, ..Default::default() };
            answer.partition_responses.push(partition);
        }
        response.responses.push(answer);
    }
    Response::Produce(response)
}

const RECORDS: usize = 20_000;

fn settings(batch_bytes: usize) -> Settings {
    let mut settings = Settings::default();
    settings.batch_bytes = batch_bytes;
    settings.buffer_bytes = 64 << 20;
    settings
}

/// How does the batch size change the cost of a record without key?
#[divan::bench(args = [16 << 10, 1 << 20], threads = [1, 8])]
fn keyless(bencher: Bencher<'_, '_>, batch_bytes: usize) {
    let world = World::new(settings(batch_bytes), 6);
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        for _ in 0..RECORDS {
            world.append(None, None, black_box(&[b'x'; 100]));
        }
    });
}

/// What does murmur2 of a 36-byte key add?
#[divan::bench(threads = [1, 8])]
fn keyed(bencher: Bencher<'_, '_>) {
    let world = World::new(settings(16 << 10), 6);
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        let mut key = [b'k'; 36];
        for index in 0..RECORDS {
            key[..8].copy_from_slice(&index.to_be_bytes());
            world.append(None, Some(&key), black_box(&[b'x'; 64]));
        }
    });
}

/// Does the cost of a record grow with the number of partitions?
#[divan::bench(args = [6, 1000, 10_000])]
fn partitions(bencher: Bencher<'_, '_>, partitions: i32) {
    // Room for every partition's open batch.
    let mut settings = settings(1 << 10);
    settings.buffer_bytes = 256 << 20;
    let world = World::new(settings, partitions);
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| {
        for index in 0..RECORDS {
            let partition = (index as i32).wrapping_mul(7919) % partitions;
            world.append(Some(partition), None, black_box(&[b'x'; 100]));
        }
    });
}
