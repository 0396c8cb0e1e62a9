//! A producer with a transactional id, played by hand.

use std::time::Duration;

use bytes::Bytes;
use milena_types::{ApiKey, ErrorCode, Uuid};
use milena_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::{
    AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest,
    ProduceRequest,
};
use milena_wire::{Records, Response};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

/// The topic that transactions write to.
pub(super) const TOPIC: &str = "script-transactions";

/// Bit 4 of a batch's attributes.
pub(super) const TRANSACTIONAL: i16 = 0x10;

/// A producer as the script plays it.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) transactional_id: String,
    pub(super) id: i64,
    pub(super) epoch: i16,
    pub(super) sequence: i32,
}

impl Producer {
    pub(super) fn named(transactional_id: &str) -> Self {
        Self { transactional_id: transactional_id.into(), id: -1, epoch: -1, sequence: 0 }
    }

    /// Begins without writing the answer down.
    pub(super) async fn begin(on: &mut Recorder, transactional_id: &str) -> Result<Self> {
        let mut producer = Self::named(transactional_id);
        loop {
            let Response::InitProducerId(told) = on.quietly(5, producer.init()).await? else {
                return Err("another answer than InitProducerId's".into());
            };
            match told.error_code {
                ErrorCode::NONE => {
                    (producer.id, producer.epoch) = (told.producer_id, told.producer_epoch);
                    return Ok(producer);
                }
                ErrorCode::CONCURRENT_TRANSACTIONS | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                code => return Err(format!("InitProducerId: {code}").into()),
            }
        }
    }

    pub(super) fn init(&self) -> InitProducerIdRequest {
        message!(InitProducerIdRequest {
            transactional_id: Some(self.transactional_id.as_str().into()),
            transaction_timeout_ms: 60_000,
            producer_id: self.id,
            producer_epoch: self.epoch,
        })
    }

    pub(super) fn add(&self, topic: &str, partitions: &[i32]) -> AddPartitionsToTxnRequest {
        let topic = message!(AddPartitionsToTxnTopic {
            name: topic.into(),
            partitions: partitions.to_vec()
        });
        message!(AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.as_str().into(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![topic],
        })
    }

    pub(super) fn batched(
        &self,
        verify_only: bool,
        partitions: &[i32],
    ) -> AddPartitionsToTxnRequest {
        let topic = message!(AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: partitions.to_vec()
        });
        let transaction = message!(AddPartitionsToTxnTransaction {
            transactional_id: self.transactional_id.as_str().into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            verify_only: verify_only,
            topics: vec![topic],
        });
        message!(AddPartitionsToTxnRequest { transactions: vec![transaction] })
    }

    pub(super) fn end(&self, committed: bool) -> EndTxnRequest {
        message!(EndTxnRequest {
            transactional_id: self.transactional_id.as_str().into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed: committed,
        })
    }

    pub(super) fn batch(&self, value: &str, attributes: i16) -> Bytes {
        let batch = Batch { attributes, ..Batch::of(&[value]) };
        batch.of_producer(self.id, self.epoch, self.sequence).bytes()
    }

    pub(super) fn produce(&self, id: Uuid, partition: i32, value: &str) -> ProduceRequest {
        produce(Some(&self.transactional_id), id, partition, self.batch(value, TRANSACTIONAL))
    }

    /// Writes without writing the answer down; a release that does not let Produce begin a transaction is told before.
    pub(super) async fn write(
        &self,
        on: &mut Recorder,
        id: Uuid,
        partition: i32,
        value: &str,
    ) -> Result {
        if on.newest(ApiKey::PRODUCE) < 12 {
            on.quietly(3, self.add(TOPIC, &[partition])).await?;
        }
        on.quietly(12, self.produce(id, partition, value)).await.map(drop)
    }

    /// Ends and takes over what is answered, without writing it down.
    pub(super) async fn ended(
        &mut self,
        on: &mut Recorder,
        version: i16,
        committed: bool,
    ) -> Result {
        let Response::EndTxn(told) = on.quietly(version, self.end(committed)).await? else {
            return Err("another answer than EndTxn's".into());
        };
        if told.error_code != ErrorCode::NONE {
            return Err(format!("EndTxn: {}", told.error_code).into());
        }
        if version >= 5 {
            (self.id, self.epoch) = (told.producer_id, told.producer_epoch);
            self.sequence = 0;
        }
        settled(on, self).await
    }
}

pub(super) fn produce(
    transactional_id: Option<&str>,
    id: Uuid,
    partition: i32,
    batch: Bytes,
) -> ProduceRequest {
    let partition =
        message!(PartitionProduceData { index: partition, records: Some(Records::from(batch)) });
    let topic = message!(TopicProduceData {
        name: TOPIC.into(),
        topic_id: id,
        partition_data: vec![partition],
    });
    message!(ProduceRequest {
        transactional_id: transactional_id.map(Into::into),
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![topic],
    })
}

/// Waits until the markers of a transaction are written: a real coordinator answers before that.
///
/// The producer has no transaction open: one of a release that cannot be asked would be ended.
pub(super) async fn settled(on: &mut Recorder, producer: &Producer) -> Result {
    if !on.has(ApiKey::DESCRIBE_TRANSACTIONS) {
        while is_ending(on, producer).await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        return Ok(());
    }
    loop {
        let ask = message!(DescribeTransactionsRequest {
            transactional_ids: vec![producer.transactional_id.as_str().into()]
        });
        let Response::DescribeTransactions(told) = on.quietly(0, ask).await? else {
            return Err("another answer than DescribeTransactions'".into());
        };
        if !told.transaction_states[0].transaction_state.starts_with("Prepare") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether an end, of whichever kind, is still written: then a second one of that kind is told so, by whom it was begun
/// or by the coordinator, which raises the epoch first.
async fn is_ending(on: &mut Recorder, producer: &Producer) -> Result<bool> {
    let mut fenced = producer.clone();
    fenced.epoch += 1;
    for (of, committed) in [(producer, true), (producer, false), (&fenced, false)] {
        let Response::EndTxn(told) = on.quietly(0, of.end(committed)).await? else {
            return Err("another answer than EndTxn's".into());
        };
        if told.error_code == ErrorCode::CONCURRENT_TRANSACTIONS {
            return Ok(true);
        }
    }
    Ok(false)
}
