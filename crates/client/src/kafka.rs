//! tmp
use crate::KafkaBuilder;
/// A handle.
#[derive(Clone, Debug)]
pub struct Kafka(());
impl Kafka {
    /// Sets up.
    pub fn builder() -> KafkaBuilder {
        KafkaBuilder::default()
    }
}
