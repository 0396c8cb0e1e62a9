//! Calls that block the thread, for programs without async.
//!
//! A thin shell: everything is built and configured as in the rest of the crate, and a runtime of its own, in threads
//! of its own, does the work. Sending is as fast as elsewhere; it is only the waiting that takes a thread.
//!
//! Calls from a thread of a tokio runtime, callbacks and interceptors included, fail with
//! [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) instead of bringing that runtime to a halt: there the async calls are
//! the right ones. [`Delivery::result`], [`Producer::try_enqueue`] and [`Producer::detach`] do not wait, and work
//! everywhere.
//!
//! # Examples
//! ```no_run
//! use milena::{Record, blocking};
//! use std::time::Duration;
//!
//! fn main() -> milena::Result<()> {
//!     let kafka = blocking::connect("localhost:9092")?;
//!     let producer = kafka.build_producer(kafka.producer().linger(Duration::from_millis(1)))?;
//!     let stored = producer.send(Record::to("orders").key("o-1").value("hi"))?;
//!     println!("partition {}, offset {:?}", stored.partition(), stored.offset());
//!
//!     let consumer = kafka.consumer("my-group").subscribe(["orders"]);
//!     let mut consumer = kafka.build_consumer(consumer)?;
//!     for message in &consumer.poll(Duration::from_secs(1))? {
//!         println!("{:?} => {:?}", message.key(), message.value());
//!     }
//!     consumer.commit()?;
//!     consumer.close(Duration::from_secs(10))?;
//!     producer.close(Duration::from_secs(10))
//! }
//! ```

mod consumer;
mod delivery;
mod kafka;
mod producer;
mod runtime;
mod share;

pub use consumer::Consumer;
pub use delivery::Delivery;
pub use kafka::{Kafka, connect};
pub use producer::Producer;
pub use share::ShareConsumer;
