//! The handle that everything else is made from.

use std::path::Path;

use crate::Error;
use crate::config::{CommonConfig, ConfigError, Effect, Scope, Settings, parse_properties};

/// Sets up a [`Kafka`](crate::Kafka) handle.
///
/// Takes the keys of producers and consumers too, by their Java names: they become the defaults of those that the
/// handle builds, so that one `.properties` file serves all.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens before `connect`"]
pub struct KafkaBuilder {
    pub(crate) settings: Settings,
}

impl KafkaBuilder {
    /// Sets a key by its Java name.
    ///
    /// # Errors
    /// `Config` for a key that is unknown (with the nearest known one), a value that is malformed or out of range, and
    /// a key that would do harm if it were ignored.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> milena::Result<()> {
    /// let kafka = milena::Kafka::builder().set("bootstrap.servers", "localhost:9092")?.client_id("orders");
    /// # Ok(()) }
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, Error> {
        if let Effect::Ignored(reason) = self.settings.set(Scope::Client, key, value)? {
            tracing::info!(key, reason, "configuration key has no effect");
        }
        Ok(self)
    }

    /// Sets every key of a Java `.properties` text.
    ///
    /// # Errors
    /// As [`set`](Self::set), and `Config` for text that is not one.
    pub fn from_properties(self, text: &str) -> Result<Self, Error> {
        parse_properties(text)?
            .iter()
            .try_fold(self, |builder, (key, value)| builder.set(key, value))
    }

    /// Sets every key of a Java `.properties` file.
    ///
    /// # Errors
    /// As [`from_properties`](Self::from_properties), and `Config` for a file that cannot be read.
    pub fn from_properties_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|cause| ConfigError::unreadable(path, &cause))?;
        self.from_properties(&text)
    }

    pub(crate) fn config_mut(&mut self) -> &mut CommonConfig {
        &mut self.settings.common
    }
}
