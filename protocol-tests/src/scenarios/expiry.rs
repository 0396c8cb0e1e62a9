//! Batches whose time runs out: on their way, half written, or before they leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use milena::{ErrorKind, Fate, Kafka, Producer, Record};
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::member::until;
use crate::relay::Relay;
use crate::target::Target;
use crate::user::{connect, create, end_offsets, read};

/// Some batches are waited for until they are given up.
pub(super) const LIMIT: Duration = Duration::from_secs(240);

const CLOSE: Duration = Duration::from_secs(30);

/// What became of each record, by its number.
type Outcomes = BTreeMap<usize, Fate>;

/// A producer through `relay` that gives a batch up after `patience` with its first request, and has stored record 0.
async fn impatient(
    kafka: &Kafka,
    topic: &str,
    patience_ms: &str,
    outcomes: &mut Outcomes,
) -> Result<Producer> {
    let producer = kafka.producer().set("linger.ms", "0")?;
    let producer = producer.set("request.timeout.ms", patience_ms)?;
    let producer = producer.set("delivery.timeout.ms", patience_ms)?.build().await?;
    store(&producer, topic, outcomes).await?;
    Ok(producer)
}

/// Sends the next record, and notes what became of it.
async fn send(producer: &Producer, topic: &str, outcomes: &mut Outcomes) -> Result<Fate> {
    let number = outcomes.len();
    let fate = match producer.send(Record::to(topic).partition(0).value(number.to_string())).await {
        Ok(_) => Fate::Stored,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Timeout, "record {number}: {error}");
            error.fate()
        }
    };
    outcomes.insert(number, fate);
    Ok(fate)
}

/// Sends records until one is stored: on a busy machine others may run out of time.
async fn store(producer: &Producer, topic: &str, outcomes: &mut Outcomes) -> Result {
    let begun = Instant::now();
    while send(producer, topic, outcomes).await? != Fate::Stored {
        assert!(begun.elapsed() < LIMIT / 4, "nothing is stored any more: {outcomes:?}");
    }
    Ok(())
}

/// Every record is where its outcome says, once, and they lie in the order of their sends. Gives the numbers that lie there.
async fn stored(kafka: &Kafka, topic: &str, outcomes: &Outcomes) -> Result<Vec<usize>> {
    let count = usize::try_from(end_offsets(kafka, topic, 1).await?)?;
    let rows = read(kafka, topic, 1, count).await?;
    let mut numbers: Vec<usize> = Vec::new();
    for row in rows {
        numbers.push(std::str::from_utf8(row.value.as_deref().unwrap_or_default())?.parse()?);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, each once: {numbers:?}");
    for (number, fate) in outcomes {
        let is_there = numbers.contains(number);
        match fate {
            Fate::Stored => assert!(is_there, "{number} is lost: {numbers:?}"),
            Fate::NotStored => assert!(!is_there, "{number} was not to be there: {numbers:?}"),
            Fate::Unknown => {}
        }
    }
    Ok(numbers)
}

/// Its sequence belongs to it for ever: another record with the same one would be taken for the late one's retry, and
/// acknowledged without being stored.
pub(super) async fn a_batch_that_arrives_after_it_expired_takes_no_other_s_place(
    on: Arc<Target>,
) -> Result {
    let (kafka, relay) = (connect(&on).await?, Relay::default());
    let topic = on.unique("expired-then-arrives");
    create(&kafka, &on, &topic, 1).await?;
    let mut outcomes = Outcomes::new();
    let ours = relay.connect(&on).await?;
    let producer = impatient(&ours, &topic, "3000", &mut outcomes).await?;
    let before = end_offsets(&kafka, &topic, 1).await?;
    let expired = outcomes.len();
    relay.hold();
    assert_eq!(send(&producer, &topic, &mut outcomes).await?, Fate::Unknown);
    relay.let_go();
    let begun = Instant::now();
    while end_offsets(&kafka, &topic, 1).await? == before {
        assert!(begun.elapsed() < LIMIT / 4, "what was held never arrives");
        sleep(Duration::from_millis(50)).await;
    }
    store(&producer, &topic, &mut outcomes).await?;
    producer.close(CLOSE).await?;
    let numbers = stored(&kafka, &topic, &outcomes).await?;
    assert!(numbers.contains(&expired), "it has arrived: {numbers:?}");
    Ok(())
}

/// Stored then, it would lie behind what was sent after it.
pub(super) async fn a_batch_that_arrives_behind_later_ones_is_not_stored(
    on: Arc<Target>,
) -> Result {
    let (kafka, relay) = (connect(&on).await?, Relay::default());
    let topic = on.unique("expired-too-late");
    create(&kafka, &on, &topic, 1).await?;
    let mut outcomes = Outcomes::new();
    let ours = relay.connect(&on).await?;
    let producer = impatient(&ours, &topic, "3000", &mut outcomes).await?;
    let expired = outcomes.len();
    relay.hold();
    assert_eq!(send(&producer, &topic, &mut outcomes).await?, Fate::Unknown);
    // On another connection.
    store(&producer, &topic, &mut outcomes).await?;
    relay.let_go();
    until("the late request is dealt with", || relay.late() > 0).await?;
    store(&producer, &topic, &mut outcomes).await?;
    producer.close(CLOSE).await?;
    let numbers = stored(&kafka, &topic, &outcomes).await?;
    assert!(!numbers.contains(&expired), "{numbers:?}");
    Ok(())
}

/// Nobody has its sequence, so the next record takes it: a gap would be refused for ever.
pub(super) async fn a_batch_that_expires_unsent_leaves_no_gap(on: Arc<Target>) -> Result {
    let (kafka, relay) = (connect(&on).await?, Relay::default());
    let topic = on.unique("expired-unsent");
    create(&kafka, &on, &topic, 1).await?;
    let mut outcomes = Outcomes::new();
    let ours = relay.connect(&on).await?;
    let producer = impatient(&ours, &topic, "2000", &mut outcomes).await?;
    relay.refuse();
    until("all connections are gone", || relay.is_empty()).await?;
    // A connection that has just gone may still take a request.
    while send(&producer, &topic, &mut outcomes).await? != Fate::NotStored {
        assert!(outcomes.len() < 20, "what never left may not be in doubt: {outcomes:?}");
    }
    relay.let_go();
    store(&producer, &topic, &mut outcomes).await?;
    producer.close(CLOSE).await?;
    stored(&kafka, &topic, &outcomes).await?;
    Ok(())
}

/// The first request of a batch is cut off, and its second one is half written when its time runs out: the rest must
/// not be what took its place in the buffer, which has no room for both.
pub(super) async fn a_batch_that_expires_half_written_keeps_its_bytes(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    for _ in 0..ROUNDS_MAX {
        let topic = on.unique("expired-half-written");
        create(&kafka, &on, &topic, 1).await?;
        if half_written(&on, &kafka, &topic).await? {
            return Ok(());
        }
    }
    Err("no request outlived its batch".into())
}

/// Says whether the given up batch was written to its end.
async fn half_written(on: &Target, kafka: &Kafka, topic: &str) -> Result<bool> {
    let relay = Relay::default();
    let ours = relay.connect(on).await?;
    let producer = ours.producer().set("linger.ms", "0")?.set("request.timeout.ms", "8000")?;
    // The second request is made so much later, and may so much longer be on its way.
    let producer = producer.set("retry.backoff.ms", "5000")?.set("retry.backoff.max.ms", "5000")?;
    let producer = producer.set("delivery.timeout.ms", "8000")?;
    let producer = producer.set("batch.size", &BATCH_BYTES.to_string())?;
    let producer = producer.set("buffer.memory", &(2 * BATCH_BYTES).to_string())?;
    let producer = producer.build().await?;
    let to = |letter: &str| {
        Record::to(topic).partition(0).value(letter.repeat(BATCH_BYTES - 1_000).into_bytes())
    };
    producer.send(to("0")).await?;
    relay.hold_behind(BATCH_BYTES / 4);
    // The connection in use has carried more than that, and stands still at once.
    let given_up = producer.send(to("a")).enqueue().await?;
    until("the first request stands still", || relay.stuck() > 0).await?;
    let stuck = relay.stuck();
    relay.cut();
    until("the second request stands still", || relay.stuck() > stuck).await?;
    let error = given_up.await.expect_err("it stands still");
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown), "{error}");
    let next = producer.send(to("b")).enqueue().await?;
    relay.let_go();
    let mut expected = vec!["0", "b"];
    // On a busy machine some may run out of time as well.
    if next.await.is_err() {
        return Ok(false);
    }
    for letter in ["c", "d"] {
        if producer.send(to(letter)).await.is_err() {
            return Ok(false);
        }
        expected.push(letter);
    }
    producer.close(CLOSE).await?;
    let count = usize::try_from(end_offsets(kafka, topic, 1).await?)?;
    let rows = read(kafka, topic, 1, count).await?;
    let values: Vec<String> = rows
        .into_iter()
        .map(|row| String::from_utf8_lossy(&row.value.unwrap_or_default()).into_owned())
        .collect();
    let whole = |letter: &&str| letter.repeat(BATCH_BYTES - 1_000);
    let is_there = values.len() > expected.len();
    if is_there {
        expected.insert(1, "a");
    }
    assert!(values.iter().eq(expected.iter().map(whole).collect::<Vec<_>>().iter()), "other bytes");
    Ok(is_there)
}

/// Far more than a pipe holds.
const BATCH_BYTES: usize = 64 << 10;

/// A machine that stands still for seconds at the wrong moment spoils a round.
const ROUNDS_MAX: usize = 5;
