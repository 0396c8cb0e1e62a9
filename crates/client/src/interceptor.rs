//! Code of the user's that sees every record on its way out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use milena_engine::producer::{RecordMetadata, Watch};

use crate::producer::{Detached, guarded};
use crate::{BoxError, Error, Record};

/// Sees every record that a producer sends, may change it, and is told what became of it (KIP-42).
///
/// Interceptors are called in the order in which they were given to the builder, each with what the one before made of
/// the record. One that fails or panics is logged, and what it did to the record is undone; the record goes on. For
/// every record that was shown to [`on_send`](Self::on_send) there is one [`on_ack`](Self::on_ack), but where the
/// future that sends was dropped before the record was admitted.
///
/// # Examples
/// ```no_run
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// use milena::{BoxError, ProducerInterceptor, Record};
///
/// struct Origin(String);
///
/// impl ProducerInterceptor for Origin {
///     fn on_send<'a>(&self, record: Record<'a>) -> Result<Record<'a>, BoxError> {
///         Ok(record.header("origin", self.0.clone()))
///     }
/// }
///
/// let producer = kafka.producer().interceptor(Origin("checkout".into())).build().await?;
/// # Ok(()) }
/// ```
pub trait ProducerInterceptor: Send + Sync + 'static {
    /// Gets the record before its partition is chosen, and returns it as it is to be sent: with a header more, say.
    ///
    /// Called by the task that sends. Keys and values are bytes already.
    ///
    /// # Errors
    /// Whatever went wrong; it is logged, and the record goes on as it came.
    fn on_send<'a>(&self, record: Record<'a>) -> Result<Record<'a>, BoxError> {
        Ok(record)
    }

    /// Gets what became of a record, before its callback does.
    ///
    /// Called as callbacks are: by the producer's own task, in the order of a partition's offsets, so that it must not
    /// take long; by the task that sends where the record was not admitted.
    fn on_ack(&self, result: &Result<RecordMetadata, Error>) {
        let _ = result;
    }

    /// The producer is closed; nothing more will come.
    fn close(&self) {}
}

/// A client's interceptors in order.
pub(crate) struct Chain<I: ?Sized> {
    pub(crate) links: Vec<Arc<I>>,
    close: fn(&I),
    is_closed: AtomicBool,
}

impl<I: ?Sized> Chain<I> {
    /// `close` ends one of them. `None` where there are none, so that records without interceptors pay nothing.
    pub(crate) fn of(links: Vec<Arc<I>>, close: fn(&I)) -> Option<Arc<Self>> {
        let is_closed = AtomicBool::new(false);
        (!links.is_empty()).then(|| Arc::new(Self { links, close, is_closed }))
    }

    /// Tells them once that nothing more will come.
    pub(crate) fn close(&self) {
        if !self.is_closed.swap(true, AcqRel) {
            for interceptor in &self.links {
                guarded("interceptor's close", || (self.close)(interceptor));
            }
        }
    }
}

impl<I: ?Sized> Drop for Chain<I> {
    /// A runtime that ends takes the driver with it, which would have closed them.
    fn drop(&mut self) {
        self.close();
    }
}

impl<I: ?Sized> fmt::Debug for Chain<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interceptors({})", self.links.len())
    }
}

/// A producer's interceptors in order.
pub(crate) type Interceptors = Chain<dyn ProducerInterceptor>;

impl Interceptors {
    pub(crate) fn new(chain: Vec<Arc<dyn ProducerInterceptor>>) -> Option<Arc<Self>> {
        Self::of(chain, |interceptor| interceptor.close())
    }

    pub(crate) fn on_send<'a>(&self, mut record: Record<'a>) -> Record<'a> {
        for interceptor in &self.links {
            let before = record.clone();
            record = match guarded("interceptor's on_send", || interceptor.on_send(record)) {
                Some(Ok(changed)) => changed,
                Some(Err(error)) => {
                    tracing::warn!(topic = before.topic(), %error, "interceptor failed");
                    before
                }
                None => before,
            };
        }
        record
    }

    pub(crate) fn on_ack(&self, result: &Result<RecordMetadata, Error>) {
        for interceptor in &self.links {
            guarded("interceptor's on_ack", || interceptor.on_ack(result));
        }
    }

    /// Has the interceptors told what becomes of a record, and then whoever watched it before.
    pub(crate) fn watch(self: &Arc<Self>, watch: Watch, detached: &Arc<Detached>) -> Watch {
        let (chain, detached) = (Arc::clone(self), Arc::clone(detached));
        Watch::Callback(Box::new(move |result| {
            chain.on_ack(&result);
            match (watch, result) {
                (Watch::Callback(callback), result) => callback(result),
                (Watch::Detached, Err(error)) => detached.failed(&error),
                (Watch::Detached | Watch::Nobody, _) => {}
            }
        }))
    }
}
