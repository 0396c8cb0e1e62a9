//! Code of the user's that sees what a consumer does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use milena_engine::consumer::{CommittedOffset, Polled};
use milena_types::TopicPartition;

use super::{Message, MessageRef};
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
pub(crate) struct Interceptors {
    chain: Vec<Arc<dyn ConsumerInterceptor>>,
    is_closed: AtomicBool,
}

impl Interceptors {
    /// `None` where there are none, so that records without interceptors pay nothing.
    pub(super) fn new(chain: Vec<Arc<dyn ConsumerInterceptor>>) -> Option<Arc<Self>> {
        let is_closed = AtomicBool::new(false);
        (!chain.is_empty()).then(|| Arc::new(Self { chain, is_closed }))
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
        for interceptor in &self.chain {
            guarded("interceptor's on_consume", || interceptor.on_consume(message));
        }
    }

    pub(crate) fn on_commit(&self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        for interceptor in &self.chain {
            guarded("interceptor's on_commit", || interceptor.on_commit(offsets));
        }
    }

    /// Tells them once that nothing more will come.
    pub(crate) fn close(&self) {
        if !self.is_closed.swap(true, AcqRel) {
            for interceptor in &self.chain {
                guarded("interceptor's close", || interceptor.close());
            }
        }
    }
}

impl Drop for Interceptors {
    /// A runtime that ends takes the driver with it, which would have closed them.
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interceptors({})", self.chain.len())
    }
}
