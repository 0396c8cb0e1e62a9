//! Producer epochs to their end, over the raw protocol.

use std::sync::Arc;
use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::{
    EndTxnRequest, EndTxnResponse, FindCoordinatorRequest, InitProducerIdRequest,
    InitProducerIdResponse,
};
use tokio::time::sleep;

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};

/// Some 33,000 requests, one after the other.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

/// The first version with EndTxn 5.
pub(super) const ENDS_SINCE: Version = Version::of(4, 0, 0);

/// The last epoch but one is the last that a producer gets.
const LAST: i16 = i16::MAX - 1;

struct Producer {
    coordinator: Connection,
    transactional_id: String,
    id: i64,
    epoch: i16,
}

impl Producer {
    async fn begin(on: &Target, transactional_id: &str) -> Result<Self> {
        loop {
            let mut any = Connection::open(on.address()).await?;
            let ask =
                message!(FindCoordinatorRequest { key: transactional_id.into(), key_type: 1 });
            let Response::FindCoordinator(told) = any.call(ask, 2).await? else {
                return Err("another answer than FindCoordinator's".into());
            };
            if told.error_code == ErrorCode::NONE {
                let address = format!("{}:{}", told.host, told.port);
                let mut producer = Self {
                    coordinator: Connection::open(&address).await?,
                    transactional_id: transactional_id.to_owned(),
                    id: -1,
                    epoch: -1,
                };
                if producer.init().await?.error_code == ErrorCode::NONE {
                    return Ok(producer);
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The next epoch, asked for by who has this one.
    async fn init(&mut self) -> Result<InitProducerIdResponse> {
        loop {
            let ask = message!(InitProducerIdRequest {
                transactional_id: Some(self.transactional_id.as_str().into()),
                transaction_timeout_ms: 60_000,
                producer_id: self.id,
                producer_epoch: self.epoch,
            });
            let Response::InitProducerId(told) = self.coordinator.call(ask, 4).await? else {
                return Err("another answer than InitProducerId's".into());
            };
            match told.error_code {
                ErrorCode::CONCURRENT_TRANSACTIONS => {}
                ErrorCode::NONE => {
                    (self.id, self.epoch) = (told.producer_id, told.producer_epoch);
                    return Ok(told);
                }
                _ => return Ok(told),
            }
        }
    }

    async fn abort(&mut self, id: i64, epoch: i16) -> Result<EndTxnResponse> {
        loop {
            let ask = message!(EndTxnRequest {
                transactional_id: self.transactional_id.as_str().into(),
                producer_id: id,
                producer_epoch: epoch,
                committed: false,
            });
            let Response::EndTxn(told) = self.coordinator.call(ask, 5).await? else {
                return Err("another answer than EndTxn's".into());
            };
            if told.error_code != ErrorCode::CONCURRENT_TRANSACTIONS {
                return Ok(told);
            }
        }
    }

    async fn use_up(&mut self) -> Result {
        while self.epoch < LAST {
            let told = self.init().await?;
            assert_eq!(told.error_code, ErrorCode::NONE, "at epoch {}", self.epoch);
        }
        Ok(())
    }
}

/// InitProducerId deals another id, at epoch 0.
pub(super) async fn another_id_takes_over_at_the_last_epoch(on: Arc<Target>) -> Result {
    let mut producer = Producer::begin(&on, &on.unique("epochs-init")).await?;
    producer.use_up().await?;
    let used_up = producer.id;
    let told = producer.init().await?;
    assert_eq!(told.error_code, ErrorCode::NONE);
    assert_ne!(producer.id, used_up);
    assert_eq!(producer.epoch, 0);
    // The retry of the last one.
    let next = producer.id;
    (producer.id, producer.epoch) = (used_up, LAST);
    let told = producer.init().await?;
    assert_eq!((told.error_code, told.producer_id), (ErrorCode::NONE, next));
    Ok(())
}

/// So does EndTxn by the second protocol, and says so also to who asks twice.
pub(super) async fn an_end_at_the_last_epoch_deals_another_id(on: Arc<Target>) -> Result {
    let mut producer = Producer::begin(&on, &on.unique("epochs-end")).await?;
    producer.use_up().await?;
    let used_up = producer.id;
    let told = producer.abort(used_up, LAST).await?;
    println!("            {told:?}");
    assert_eq!(told.error_code, ErrorCode::NONE);
    assert_ne!(told.producer_id, used_up);
    assert_eq!(told.producer_epoch, 0);
    let again = producer.abort(used_up, LAST).await?;
    assert_eq!(again, told, "the retry");
    Ok(())
}
