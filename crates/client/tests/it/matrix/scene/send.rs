//! Records of an idempotent producer.

use std::time::Duration;

use milena::{Error, Fate, Kafka, Producer, Record};
use milena_broker::Broker;

use super::{Stage, asked};
use crate::matrix::outcome::{Calls, Outcome, timed};
use crate::world::{GRACE, World, client_of, values};

pub(super) async fn connect(stage: Stage) -> Outcome {
    let broker = stage.broker.clone().topic("t", 1).start_in_memory().await.unwrap();
    stage.lay(&broker);
    let mut calls = Calls::new(&broker);
    if let Some(kafka) = calls.make(async || client_of(&broker).connect().await).await {
        send_all(&stage, &broker, &kafka, &mut calls).await;
    }
    calls.outcome()
}

pub(super) async fn send(stage: Stage) -> Outcome {
    let world = World::start(stage.broker.clone().topic("t", 1)).await;
    let before = asked(&world, stage.api);
    stage.lay(&world.broker);
    let mut calls = Calls::new(&world.broker);
    send_all(&stage, &world.broker, &world.kafka, &mut calls).await;
    stage.has_struck(&world.broker, before);
    calls.outcome()
}

/// Sends three records in a batch, and then one of which each try is another record.
async fn send_all(stage: &Stage, broker: &Broker, kafka: &Kafka, calls: &mut Calls<'_>) {
    let Some(producer) = calls.make(async || kafka.producer().build().await).await else { return };
    let (mut told, mut tries) = (Vec::new(), 0);
    let sent = calls.make(async || {
        tries += 1;
        send_batch(&producer, tries, &mut told).await
    });
    let is_alive = sent.await.is_some();
    if is_alive {
        calls.make(async || producer.close(GRACE).await).await;
    }
    let log = values(broker, 0);
    for (value, result) in &told {
        let stored = log.iter().filter(|one| *one == value).count();
        match result.as_ref().map_err(Error::fate) {
            _ if stage.strike.may_lie() => assert!(stored <= 1, "{value} is there twice"),
            Ok(()) | Err(Fate::Stored) => assert_eq!(stored, 1, "{value} was acknowledged"),
            Err(Fate::NotStored) => assert_eq!(stored, 0, "{value} was told to be not stored"),
            Err(Fate::Unknown) => assert!(stored <= 1, "{value} is there twice"),
        }
    }
    let in_order: Vec<_> =
        told.iter().map(|(value, _)| value).filter(|v| log.contains(v)).collect();
    assert_eq!(log.iter().collect::<Vec<_>>(), in_order, "order, and nothing twice");
}

async fn send_batch(
    producer: &Producer,
    number: usize,
    told: &mut Vec<(String, Result<(), Error>)>,
) -> Result<(), Error> {
    let mut deliveries = Vec::new();
    let mut first = Ok(());
    for name in ["a", "b", "c"] {
        let value = format!("{number} {name}");
        let record = Record::to("t").partition(0).value(value.clone());
        match timed(MAX_BLOCK, producer.send(record).enqueue()).await {
            Ok(delivery) => deliveries.push((value, delivery)),
            Err(error) => first = first.and(Err(error)),
        }
    }
    for (value, delivery) in deliveries {
        let result = timed(DELIVERY_TIMEOUT, delivery).await.map(drop);
        first = first.and(result.clone());
        told.push((value, result));
    }
    first
}

/// Kafka's defaults, and ours.
const MAX_BLOCK: Duration = Duration::from_secs(60);
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
