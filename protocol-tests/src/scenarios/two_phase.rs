//! Two-phase commit (KIP-939), which brokers have switched off.

use std::sync::Arc;
use std::time::Duration;

use milena::{Record, TransactionalProducer};
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::InitProducerIdRequest;

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::Target;
use crate::user::{connect, create, read_committed};

const CLOSE: Duration = Duration::from_secs(30);

async fn producer(on: &Target, id: &str) -> Result<TransactionalProducer> {
    let builder = connect(on).await?.producer().transactional_id(id);
    let builder = builder.set("transaction.two.phase.commit.enable", "true")?;
    Ok(builder.build_transactional().await?)
}

/// Java's tool shows it under the state that `prepare` gave; then one is aborted and one committed.
pub(super) async fn a_prepared_transaction_has_no_time_out(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("two-phase");
    create(&kafka, &on, &topic, 1).await?;
    let mut producer = producer(&on, &topic).await?;

    let transaction = producer.begin().await?;
    transaction.send(Record::to(topic.as_str()).value("aborted")).enqueue().await?;
    transaction.prepare().await?.abort().await?;

    let transaction = producer.begin().await?;
    transaction.send(Record::to(topic.as_str()).value("committed")).enqueue().await?;
    let prepared = transaction.prepare().await?;
    let describe = ["describe", "--transactional-id", topic.as_str()];
    let told = on.tool("kafka-transactions", &describe, "").await?;
    let row = told.lines().find(|line| line.contains(topic.as_str())).ok_or(told.clone())?;
    let columns: Vec<_> = row.split_whitespace().collect();
    // CoordinatorId TransactionalId ProducerId ProducerEpoch TransactionState TransactionTimeoutMs ...
    let state = format!("{}:{}", columns[2], columns[3]);
    assert_eq!(state, prepared.state().to_string(), "{told}");
    assert_eq!(columns[4..6], ["Ongoing", "2147483647"], "{told}");
    prepared.commit().await?;

    let rows = read_committed(&kafka, &topic, 1, 1).await?;
    assert_eq!(rows[0].value.as_deref(), Some(&b"committed"[..]));
    producer.close(CLOSE).await?;
    Ok(())
}

/// What docs/transactions.md says of brokers up to 4.4.
pub(super) async fn a_prepared_transaction_is_not_handed_over(on: Arc<Target>) -> Result {
    let id = on.unique("two-phase-kept");
    let ask = message!(InitProducerIdRequest {
        transactional_id: Some(id.as_str().into()),
        transaction_timeout_ms: 60_000,
        enable2_pc: true,
        keep_prepared_txn: true,
    });
    // Finding the coordinator makes its topic.
    producer(&on, &id).await?.close(CLOSE).await?;
    let address = on.transaction_coordinator_address(&id).await?;
    let mut coordinator = Connection::open(&address).await?;
    let Response::InitProducerId(told) = coordinator.call(ask, 6).await? else {
        return Err("another answer than InitProducerId's".into());
    };
    assert_eq!(told.error_code, ErrorCode::UNSUPPORTED_VERSION, "{told:?}");
    Ok(())
}
