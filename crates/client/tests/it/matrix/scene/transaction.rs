//! A record and the offsets it was made from, in one transaction.

use milena::{Batch, Error, Fate, Record, TransactionOutcome, TransactionalProducer};

use super::{Stage, asked};
use crate::matrix::outcome::{Calls, Outcome};
use crate::transactions::committed;
use crate::world::{GRACE, LONG, World};

pub(super) async fn transaction(stage: Stage, level: i16) -> Outcome {
    let broker = stage.broker.clone().topic("t", 1).topic("u", 1);
    let world = World::start(broker.transaction_version(level)).await;
    world.fill(0..1).await;
    let mut consumer = world.member().build().await.unwrap();
    let batch = consumer.poll(LONG).await.unwrap();
    assert_eq!(batch.len(), 1);
    let before = asked(&world, stage.api);
    stage.lay(&world.broker);
    let mut calls = Calls::new(&world.broker);
    let id = || world.kafka.producer().transactional_id("x");
    let mut told = Vec::new();
    if let Some(mut producer) = calls.make(async || id().build_transactional().await).await {
        calls.make(async || copy(&mut producer, &batch, &mut told).await).await;
        if told.last().is_some_and(|last| *last == Some(true)) {
            producer.close(GRACE).await.unwrap();
        }
    }
    world.broker.clear_faults();
    let visible = committed(&world, "u", 1).await;
    for (number, told) in told.iter().enumerate() {
        if stage.strike.may_lie() {
            break;
        }
        let stored = visible.iter().filter(|value| **value == number.to_string()).count();
        match told {
            Some(is_committed) => assert_eq!(stored, usize::from(*is_committed), "try {number}"),
            None => assert!(stored <= 1, "try {number} is there twice"),
        }
    }
    if !stage.strike.may_lie() {
        assert_eq!(world.committed(0), (!visible.is_empty()).then_some(1), "torn: {visible:?}");
    }
    stage.has_struck(&world.broker, before);
    calls.outcome()
}

/// Sends one record, which is the number of the try, and the offsets; notes whether that is committed, if anyone can tell.
async fn copy(
    producer: &mut TransactionalProducer,
    batch: &Batch,
    told: &mut Vec<Option<bool>>,
) -> Result<(), Error> {
    let value = told.len().to_string();
    let done = producer.transaction(async |transaction| {
        transaction.send(Record::to("u").partition(0).value(value)).enqueue().await?;
        transaction.send_offsets(batch).await
    });
    let done = done.await;
    told.push(match &done {
        Ok(()) => Some(true),
        Err(error) if error.is_abortable() || error.fate() == Fate::NotStored => Some(false),
        Err(_) => {
            let end = producer.wait_for_end().await;
            end.ok().map(|end| end == Some(TransactionOutcome::Committed))
        }
    });
    done
}
