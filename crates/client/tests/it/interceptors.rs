//! Interceptors see every record, in order, and cannot harm one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena::{
    BoxError, Error, ErrorKind, Fate, ProducerInterceptor, Record, RecordMetadata, Result,
};
use milena_broker::{Broker, on};
use milena_types::{ApiKey, ErrorCode};

use crate::world::{GRACE, World, drop_after, text};

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what it is told, and does to records what its temper says.
struct Scribe {
    name: &'static str,
    log: Log,
    temper: Temper,
}

#[derive(Clone, Copy, PartialEq)]
enum Temper {
    Calm,
    Fails,
    Panics,
}

impl Scribe {
    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl ProducerInterceptor for Scribe {
    fn on_send<'a>(&self, record: Record<'a>) -> Result<Record<'a>, BoxError> {
        self.note(&format!("send {}", text(record.value_bytes())));
        let record = record.header("by", self.name);
        match self.temper {
            Temper::Calm => Ok(record),
            Temper::Fails => Err("not today".into()),
            Temper::Panics => panic!("not ever"),
        }
    }

    fn on_ack(&self, result: &Result<RecordMetadata, Error>) {
        match result {
            Ok(stored) => self.note(&format!("ack {}", stored.offset().unwrap())),
            Err(error) => self.note(&format!("ack {:?} {}", error.kind(), error.fate())),
        }
        assert!(self.temper == Temper::Calm, "not ever");
    }

    fn close(&self) {
        self.note("close");
        assert!(self.temper == Temper::Calm, "not ever");
    }
}

fn scribe(name: &'static str, log: &Log, temper: Temper) -> Scribe {
    Scribe { name, log: Arc::clone(log), temper }
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

/// The order is Java's: each hook of the whole chain, interceptors before the callback, close at the end of all.
#[tokio::test(start_paused = true)]
async fn the_chain_is_walked_in_order_and_troublemakers_change_nothing() {
    let world = World::with_partitions(1).await;
    let log = Log::default();
    let producer = world.kafka.producer();
    let producer = producer.interceptor(scribe("a", &log, Temper::Calm));
    let producer = producer.interceptor(scribe("b", &log, Temper::Fails));
    let producer = producer.interceptor(scribe("c", &log, Temper::Panics));
    let producer = producer.interceptor(scribe("d", &log, Temper::Calm)).build().await.unwrap();
    let callback = Arc::clone(&log);
    let sent = producer.send(Record::to("t").value("v").header("own", "1"));
    let sent = sent.on_ack(move |result| {
        callback.lock().unwrap().push(format!("callback {}", result.unwrap().offset().unwrap()));
    });
    sent.await.unwrap();
    producer.close(GRACE).await.unwrap();
    let expected = ["a send v", "b send v", "c send v", "d send v"];
    let expected = [&expected[..], &["a ack 0", "b ack 0", "c ack 0", "d ack 0", "callback 0"]];
    let closed = ["a close", "b close", "c close", "d close"];
    assert_eq!(taken(&log), [expected.concat(), closed.to_vec()].concat());
    drop(producer);
    assert_eq!(taken(&log), [""; 0], "closed once");
    let headers = world.broker.records("t", 0).remove(0).headers;
    let headers: Vec<_> =
        headers.iter().map(|(key, value)| (text(Some(&**key)), text(value.as_deref()))).collect();
    let expected = [("own", "1"), ("by", "a"), ("by", "d")];
    assert_eq!(headers, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

/// Whichever way a record goes, and whatever becomes of it: one `on_send`, one `on_ack`.
#[tokio::test(start_paused = true)]
async fn every_record_that_is_seen_is_acknowledged_once() {
    let cluster = Broker::builder().topic("t", 1).configure(|s| s.auto_create_topics = false);
    let world = World::start(cluster).await;
    let log = Log::default();
    let producer = world.kafka.producer().max_block(Duration::from_secs(1));
    let producer = producer.interceptor(scribe("i", &log, Temper::Calm)).build().await.unwrap();
    let refused = producer.try_enqueue(Record::to("t").value("early")).unwrap_err();
    assert_eq!(taken(&log), ["i send early", "i ack Timeout not stored"]);
    let record = refused.into_record();
    assert_eq!(record.headers().count(), 0, "it meets the interceptors again");
    producer.send(record).await.unwrap();
    assert_eq!(taken(&log), ["i send early", "i ack 0"]);
    drop(producer.try_enqueue(Record::to("t").value("try")).unwrap());
    producer.send(Record::to("t").value("detached")).detach();
    producer.flush().await.unwrap();
    let expected = ["i send try", "i send detached", "i ack 1", "i ack 2"];
    assert_eq!(taken(&log), expected);
    producer.send(Record::to("missing").value("m")).await.unwrap_err();
    assert_eq!(taken(&log), ["i send m", "i ack Timeout not stored"]);
    producer.send(Record::to("t").partition(0).value(vec![0; 2 << 20])).detach();
    assert_eq!(taken(&log).last().unwrap(), "i ack RecordTooLarge not stored");
    let mixed = ["t", "missing", "t"].map(|topic| Record::to(topic).value("many"));
    let outcomes = producer.enqueue_all(mixed).await.await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
    let log_of_many = taken(&log);
    assert_eq!(log_of_many.iter().filter(|line| *line == "i send many").count(), 3);
    assert_eq!(log_of_many.iter().filter(|line| line.starts_with("i ack")).count(), 3);
    let fault = on(ApiKey::PRODUCE).error(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let fault = world.broker.add_fault(fault);
    let error = producer.send(Record::to("t").value("forbidden")).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Authorization, Fate::NotStored));
    producer.send(Record::to("t").value("lost")).detach();
    producer.flush().await.unwrap();
    let told = "i ack Authorization not stored";
    assert_eq!(taken(&log), ["i send forbidden", told, "i send lost", told]);
    assert_eq!(producer.metrics().detached_errors, 2, "counted as without interceptors");
    world.broker.remove_fault(fault);

    // A future that is dropped before its record is admitted leaves nothing to acknowledge.
    drop(drop_after(1, producer.send(Record::to("missing").value("m")).enqueue()).await);
    assert_eq!(taken(&log), ["i send m"]);
    producer.close(GRACE).await.unwrap();
    assert_eq!(taken(&log), ["i close"]);
    assert_eq!(world.values(0), ["early", "try", "detached", "many", "many"]);
}

#[test]
fn interceptors_are_closed_when_the_runtime_ends_first() {
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let producer = runtime.block_on(async {
        let world = World::with_partitions(1).await;
        let producer = world.kafka.producer().interceptor(scribe("i", &log, Temper::Calm));
        producer.build().await.unwrap()
    });
    drop(runtime);
    drop(producer);
    assert_eq!(taken(&log), ["i close"]);
}
