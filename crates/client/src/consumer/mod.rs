//! The consumer.
use crate::config::{ConsumerConfig, Settings};

/// Sets up a consumer.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct ConsumerBuilder {
    settings: Settings,
}
impl ConsumerBuilder {
    pub(crate) fn config_mut(&mut self) -> &mut ConsumerConfig {
        &mut self.settings.consumer
    }
}
