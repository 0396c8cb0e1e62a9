//! Configuration: typed setters and Java's names, both from one table of keys.
//!
//! Every key of the Java client is known. Most do what they do there; some have no use outside of a JVM and are
//! ignored with a note; some are refused because ignoring them would do harm. What is not known at all is an error
//! that suggests the nearest name. A time beyond what Java's milliseconds count to, as `Duration::MAX`, is the longest that they do.
//!
//! ```
//! let error = milena::Kafka::builder().set("asks", "all").unwrap_err();
//! assert!(error.to_string().contains("did you mean \"acks\"?"));
//! ```

mod common;
mod consumer;
mod error;
mod key;
mod lookup;
mod preset;
mod producer;
mod properties;
mod security;
mod share;
mod value;

pub use common::{CommonConfig, RecoveryStrategy};
pub use consumer::ConsumerConfig;
pub use key::{Key, Support};
pub use lookup::keys;
pub use milena_engine::consumer::{AssignmentStrategy, IsolationLevel, OffsetReset};
pub use milena_engine::producer::Acks;
pub use milena_engine::share::{AcknowledgementMode, AcquireMode};
pub use milena_records::CompressionType;
pub use preset::{Preset, PresetSetting};
pub use producer::ProducerConfig;
pub use share::ShareConsumerConfig;

pub use error::Scope;

pub(crate) use error::ConfigError;
pub(crate) use lookup::{Effect, Settings};
pub(crate) use properties::parse as parse_properties;
