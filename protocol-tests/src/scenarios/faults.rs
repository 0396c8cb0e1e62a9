//! Brokers that die while the shipped client works.

use std::sync::Arc;
use std::time::Duration;

use milena::Record;

use crate::Result;
use crate::target::Target;
use crate::user::{connect, create, end_offsets, read};

/// A broker takes its time to come back.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// A million records and their reading, on a slow machine.
pub(super) const SOAK_LIMIT: Duration = Duration::from_secs(900);

/// Long enough for another broker to lead.
const OUTAGE: Duration = Duration::from_secs(2);

/// Enough for the kill to fall in the middle, at any speed of the machine.
const RECORDS: usize = 200_000;

/// 100 MB: three times what the producer may hold unsent (`buffer.memory`), where `RECORDS` fit in at once.
const SOAK_RECORDS: usize = 1_000_000;

pub(super) async fn a_killed_leader_loses_and_doubles_nothing(on: Arc<Target>) -> Result {
    killed_leader(on, RECORDS).await
}

pub(super) async fn a_killed_leader_loses_and_doubles_nothing_of_a_million(
    on: Arc<Target>,
) -> Result {
    killed_leader(on, SOAK_RECORDS).await
}

/// Produces `count` records of 100 bytes to three partitions, kills the leader of the first when a third is admitted,
/// brings it back when two thirds are, and reads everything.
async fn killed_leader(on: Arc<Target>, count: usize) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("killed-leader");
    create(&kafka, &on, &topic, 3).await?;
    let leader = on.leader(&topic).await?;
    let producer = kafka.producer().build().await?;
    let mut deliveries = Vec::with_capacity(count);
    let mut faults = None;
    for number in 0..count {
        if number == count / 3 {
            // While records go on: the kill, then the return.
            let on = Arc::clone(&on);
            faults = Some(tokio::spawn(async move {
                on.kill_broker(leader).await?;
                tokio::time::sleep(OUTAGE).await;
                on.start_broker(leader).await
            }));
        }
        let partition = i32::try_from(number % 3)?;
        let record = Record::to(topic.as_str()).value(value(number)).partition(partition);
        deliveries.push(producer.send(record).enqueue().await?);
        // Slow enough for the outage to be in the middle, fast enough for many batches.
        if number % 1000 == 0 && faults.as_ref().is_some_and(|task| !task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    if let Some(faults) = faults {
        faults.await??;
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let stored = delivery.await.map_err(|e| format!("record {number}: {e}"))?;
        assert_eq!(stored.partition(), i32::try_from(number % 3)?);
    }
    producer.close(Duration::from_secs(30)).await?;

    // One more than was sent would be a double: the offsets are without gaps, and each record is in its place.
    let rows = read(&kafka, &topic, 3, count).await?;
    let mut expected: Vec<_> = (0..count).collect();
    expected.sort_by_key(|number| (number % 3, *number));
    for (row, number) in rows.iter().zip(&expected) {
        assert_eq!(row.value.as_deref(), Some(value(*number).as_bytes()), "at {}", row.offset);
        assert_eq!(row.offset, i64::try_from(number / 3)?, "record {number}");
    }
    let ends = end_offsets(&kafka, &topic, 3).await?;
    assert_eq!(usize::try_from(ends)?, count, "the logs hold nothing else");
    Ok(())
}

/// 100 bytes.
fn value(number: usize) -> String {
    format!("{number:0>100}")
}
