//! What a refusal in the middle of a transaction comes to: on the embedded broker, which can be told to refuse.

use std::sync::Arc;
use std::time::Duration;

use milena::{Error, Fate, GroupMetadata, Kafka, Offset, Record, TransactionalProducer};
use milena_broker::{Broker, FaultRule, on as request};
use milena_types::{ApiKey, ErrorCode};

use super::transactions::committed;
use crate::Result;
use crate::target::Target;
use crate::user::{connect, create};

/// Some fifty transactions, a few of which wait for a back-off.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

const CLOSE: Duration = Duration::from_secs(10);

/// How a transaction goes on from a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Course {
    /// It is committed all the same.
    Commits,
    /// It is not committed; the producer writes the next one.
    Aborts,
    /// It is not committed, and only a new producer goes on.
    Breaks,
}

use Course::{Aborts, Breaks, Commits};

/// Java's table (trap 20). The first protocol only has the first two APIs.
const REFUSALS: &[(ApiKey, ErrorCode, Course)] = &[
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::COORDINATOR_NOT_AVAILABLE, Commits),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::NOT_COORDINATOR, Commits),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, Commits),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::CONCURRENT_TRANSACTIONS, Commits),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Commits),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::TOPIC_AUTHORIZATION_FAILED, Aborts),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::OPERATION_NOT_ATTEMPTED, Aborts),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::TRANSACTION_ABORTABLE, Aborts),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::PRODUCER_FENCED, Breaks),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::INVALID_PRODUCER_EPOCH, Breaks),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::INVALID_PRODUCER_ID_MAPPING, Breaks),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::INVALID_TXN_STATE, Breaks),
    (ApiKey::ADD_PARTITIONS_TO_TXN, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Breaks),
    (ApiKey::ADD_OFFSETS_TO_TXN, ErrorCode::NOT_COORDINATOR, Commits),
    (ApiKey::ADD_OFFSETS_TO_TXN, ErrorCode::CONCURRENT_TRANSACTIONS, Commits),
    (ApiKey::ADD_OFFSETS_TO_TXN, ErrorCode::GROUP_AUTHORIZATION_FAILED, Aborts),
    (ApiKey::ADD_OFFSETS_TO_TXN, ErrorCode::PRODUCER_FENCED, Breaks),
    (ApiKey::ADD_OFFSETS_TO_TXN, ErrorCode::INVALID_TXN_STATE, Breaks),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::COORDINATOR_NOT_AVAILABLE, Commits),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::NOT_COORDINATOR, Commits),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, Commits),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Commits),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::ILLEGAL_GENERATION, Aborts),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::UNKNOWN_MEMBER_ID, Aborts),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::FENCED_INSTANCE_ID, Aborts),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::GROUP_AUTHORIZATION_FAILED, Aborts),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::TRANSACTION_ABORTABLE, Aborts),
    (ApiKey::TXN_OFFSET_COMMIT, ErrorCode::INVALID_PRODUCER_EPOCH, Breaks),
    (ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS, Commits),
    (ApiKey::PRODUCE, ErrorCode::NOT_LEADER_OR_FOLLOWER, Commits),
    (ApiKey::PRODUCE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, Commits),
    (ApiKey::PRODUCE, ErrorCode::INVALID_PRODUCER_EPOCH, Aborts),
    (ApiKey::PRODUCE, ErrorCode::INVALID_TXN_STATE, Aborts),
    (ApiKey::PRODUCE, ErrorCode::TRANSACTION_ABORTABLE, Aborts),
    (ApiKey::PRODUCE, ErrorCode::INVALID_RECORD, Aborts),
    (ApiKey::PRODUCE, ErrorCode::TOPIC_AUTHORIZATION_FAILED, Aborts),
    (ApiKey::PRODUCE, ErrorCode::PRODUCER_FENCED, Breaks),
    (ApiKey::PRODUCE, ErrorCode::INVALID_PRODUCER_ID_MAPPING, Breaks),
    (ApiKey::PRODUCE, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Breaks),
    (ApiKey::END_TXN, ErrorCode::COORDINATOR_NOT_AVAILABLE, Commits),
    (ApiKey::END_TXN, ErrorCode::NOT_COORDINATOR, Commits),
    (ApiKey::END_TXN, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, Commits),
    (ApiKey::END_TXN, ErrorCode::CONCURRENT_TRANSACTIONS, Commits),
    (ApiKey::END_TXN, ErrorCode::TRANSACTION_ABORTABLE, Aborts),
    (ApiKey::END_TXN, ErrorCode::PRODUCER_FENCED, Breaks),
    (ApiKey::END_TXN, ErrorCode::INVALID_PRODUCER_EPOCH, Breaks),
    (ApiKey::END_TXN, ErrorCode::INVALID_PRODUCER_ID_MAPPING, Breaks),
    (ApiKey::END_TXN, ErrorCode::INVALID_TXN_STATE, Breaks),
    (ApiKey::END_TXN, ErrorCode::UNKNOWN_SERVER_ERROR, Breaks),
];

/// One cluster, one topic, and what is expected in it.
struct Stage<'a> {
    on: &'a Target,
    broker: &'a Broker,
    kafka: Kafka,
    topic: String,
    expected: Vec<String>,
}

impl Stage<'_> {
    async fn producer(&self, what: &str) -> Result<TransactionalProducer> {
        let builder = self.kafka.producer().transactional_id(format!("{}-{what}", self.topic));
        Ok(builder.build_transactional().await?)
    }

    /// A record and an offset in a transaction.
    async fn transaction(
        &self,
        producer: &mut TransactionalProducer,
        value: &str,
    ) -> std::result::Result<(), Error> {
        let transaction = producer.begin().await?;
        let record = Record::to(self.topic.as_str()).partition(0).value(value);
        let sent = async {
            transaction.send(record).enqueue().await?;
            let offsets = [((self.topic.as_str(), 0), Offset::ZERO)];
            let group = GroupMetadata::without_member(self.topic.as_str());
            transaction.send_offsets_for(offsets, group).await
        };
        let sent = sent.await;
        match sent {
            Ok(()) => transaction.commit().await,
            Err(error) => {
                // Aborted, as far as that is possible.
                _ = transaction.abort().await;
                Err(error)
            }
        }
    }

    /// Whether a producer of this cluster's protocol asks that at all.
    fn is_asked(&self, api: ApiKey) -> bool {
        let is_of_v1 = matches!(api, ApiKey::ADD_PARTITIONS_TO_TXN | ApiKey::ADD_OFFSETS_TO_TXN);
        !is_of_v1 || self.on.choice().transaction_version == Some(1)
    }

    /// Runs a transaction into a fault at `api`, and goes on as the course says.
    async fn play(&mut self, what: &str, api: ApiKey, rule: FaultRule, course: Course) -> Result {
        let mut producer = self.producer(what).await?;
        let asked = || self.broker.with(|cluster, _| cluster.journal().request_count(api));
        let before = asked();
        let fault = self.broker.add_fault(rule);
        let done = self.transaction(&mut producer, &format!("{what} first")).await;
        self.broker.remove_fault(fault);
        assert!(course != Commits || asked() >= before + 2, "{what}: it was not asked again");
        match (course, done) {
            (Commits, Ok(())) => self.expected.push(format!("{what} first")),
            (Aborts, Err(error)) if error.is_abortable() && !error.is_fatal() => {}
            (Breaks, Err(error)) if error.is_fatal() => {
                let next = producer.begin().await;
                assert!(next.is_err(), "{what}: a broken producer goes on");
                _ = producer.close(CLOSE).await;
                producer = self.producer(what).await?;
            }
            (course, done) => return Err(format!("{what} {course:?}: {done:?}").into()),
        }
        let next = format!("{what} next");
        self.transaction(&mut producer, &next).await.map_err(|e| format!("{next}: {e:?}"))?;
        self.expected.push(next);
        producer.close(CLOSE).await?;
        Ok(())
    }

    async fn check(&self) -> Result {
        let read = committed(self.on, &self.topic, 1, self.expected.len()).await?;
        assert_eq!(read, self.expected);
        Ok(())
    }
}

async fn stage<'a>(on: &'a Target, name: &str) -> Result<Stage<'a>> {
    let broker = on.embedded().ok_or("only the embedded broker refuses on demand")?;
    let kafka = connect(on).await?;
    let topic = on.unique(name);
    create(&kafka, on, &topic, 1).await?;
    Ok(Stage { on, broker, kafka, topic, expected: Vec::new() })
}

pub(super) async fn each_refusal_takes_its_course(on: Arc<Target>) -> Result {
    let mut stage = stage(&on, "refusals").await?;
    for (api, code, course) in REFUSALS {
        if stage.is_asked(*api) {
            let rule = request(*api).nth(1).error(*code);
            stage.play(&format!("{api} {code}"), *api, rule, *course).await?;
        }
    }
    stage.check().await
}

/// Requests and answers that are lost, at each API that a transaction asks.
pub(super) async fn each_lost_request_or_answer_is_made_good(on: Arc<Target>) -> Result {
    let mut stage = stage(&on, "lost").await?;
    for api in [
        ApiKey::ADD_PARTITIONS_TO_TXN,
        ApiKey::ADD_OFFSETS_TO_TXN,
        ApiKey::TXN_OFFSET_COMMIT,
        ApiKey::PRODUCE,
        ApiKey::END_TXN,
    ] {
        if stage.is_asked(api) {
            let lost = request(api).nth(1).drop_request();
            stage.play(&format!("{api} lost"), api, lost, Commits).await?;
            let unheard = request(api).nth(1).apply_then_drop();
            stage.play(&format!("{api} unheard"), api, unheard, Commits).await?;
        }
    }
    stage.check().await
}

/// The coordinator has committed but says that it does not know (R9, trap 22): the producer must neither say that all is
/// well nor that nothing was stored.
pub(super) async fn a_commit_with_an_unclear_answer_is_not_said_to_be_one(
    on: Arc<Target>,
) -> Result {
    let mut stage = stage(&on, "unclear").await?;
    let mut producer = stage.producer("x").await?;
    let unclear = request(ApiKey::END_TXN).nth(1);
    stage.broker.add_fault(unclear.apply_then_error(ErrorCode::UNKNOWN_SERVER_ERROR));
    let done = stage.transaction(&mut producer, "unclear").await;
    let error = done.expect_err("nobody said that it is committed");
    assert_eq!(error.fate(), Fate::Unknown, "{error:?}");
    stage.expected.push("unclear".to_owned());
    _ = producer.close(CLOSE).await;
    let mut producer = stage.producer("x").await?;
    stage.transaction(&mut producer, "next").await?;
    stage.expected.push("next".to_owned());
    producer.close(CLOSE).await?;
    stage.check().await
}
