//! Code of the user's that sees what a consumer does.

use std::collections::BTreeMap;
use std::sync::Arc;

use milena_engine::consumer::{CommittedOffset, Polled};
use milena_types::TopicPartition;

use super::{Message, MessageRef};
use crate::interceptor::Chain;
use crate::producer::guarded;

/// Sees every record that a consumer hands out, and every commit that succeeds (KIP-42).
///
/// Interceptors are called in the order in which they were given to the builder. One that panics is logged, and what it
/// was called for goes on.
///
/// # Examples
/// ```no_run
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// use milena::{ConsumerInterceptor, MessageRef};
///
/// struct Audit;
///
/// impl ConsumerInterceptor for Audit {
///     fn on_consume(&self, message: MessageRef<'_>) {
///         println!("{} {}", message.topic_partition(), message.offset());
///     }
/// }
///
/// let consumer = kafka.consumer("billing").subscribe(["orders"]).interceptor(Audit).build().await?;
/// # Ok(()) }
/// ```
pub trait ConsumerInterceptor: Send + Sync + 'static {
    /// Sees a record just before it is handed out, by whichever call. Called by the task that reads. A record cannot be
    /// changed or left out here, as in Java: wrap the reading for that.
    fn on_consume(&self, message: MessageRef<'_>) {
        let _ = message;
    }

    /// Hears of offsets that were committed, asked for or automatic. Called by the consumer's own task, so that it must
    /// not take long.
    fn on_commit(&self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        let _ = offsets;
    }

    /// The consumer is closed; nothing more will come.
    fn close(&self) {}
}

/// A consumer's interceptors in order.
pub(crate) type Interceptors = Chain<dyn ConsumerInterceptor>;

impl Interceptors {
    pub(super) fn new(chain: Vec<Arc<dyn ConsumerInterceptor>>) -> Option<Arc<Self>> {
        Self::of(chain, |interceptor| interceptor.close())
    }

    pub(super) fn on_batch(&self, polled: &Polled) {
        for chunk in polled.chunks() {
            for record in chunk {
                self.on_consume(MessageRef::new(chunk.partition(), record, chunk.stay()));
            }
        }
    }

    pub(super) fn on_message(&self, message: &Message) {
        self.on_consume(message.borrowed());
    }

    fn on_consume(&self, message: MessageRef<'_>) {
        for interceptor in &self.links {
            guarded("interceptor's on_consume", || interceptor.on_consume(message));
        }
    }

    pub(crate) fn on_commit(&self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        for interceptor in &self.links {
            guarded("interceptor's on_commit", || interceptor.on_commit(offsets));
        }
    }
}
