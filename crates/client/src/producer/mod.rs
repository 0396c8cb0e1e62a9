//! The producer.
use crate::config::{ProducerConfig, Settings};

/// Sets up a producer.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct ProducerBuilder {
    settings: Settings,
}
impl ProducerBuilder {
    pub(crate) fn config_mut(&mut self) -> &mut ProducerConfig {
        &mut self.settings.producer
    }
}
