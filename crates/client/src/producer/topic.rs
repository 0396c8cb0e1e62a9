//! A topic that a producer sends to, looked up once.

use std::fmt;
use std::sync::{Arc, Weak};

use milena_engine::producer::TopicHandle;
use milena_types::Topic;

use super::{Producer, Shared};

/// A topic that a producer sends to, looked up once; made by [`Producer::topic`]. A clone is the same topic.
///
/// `Record::to(&topic)` spares each record the look-up of the name. With another producer than the one that made it,
/// it stands for the name. It does not keep its producer alive.
#[derive(Clone)]
pub struct ProducerTopic {
    handle: TopicHandle,
    producer: Weak<Shared>,
}

impl ProducerTopic {
    pub(super) fn new(producer: &Producer, handle: TopicHandle) -> Self {
        Self { handle, producer: Arc::downgrade(&producer.0) }
    }

    /// The topic's name.
    pub fn name(&self) -> &Topic {
        self.handle.name()
    }

    /// How many partitions it has, once the producer has learned that.
    pub fn partition_count(&self) -> Option<i32> {
        Some(self.handle.partition_count()).filter(|&count| count > 0)
    }

    /// What the engine calls it, if `producer` made it.
    pub(super) fn handle_of(&self, producer: &Producer) -> Option<&TopicHandle> {
        // The weak reference keeps the address from being used again.
        std::ptr::eq(self.producer.as_ptr(), Arc::as_ptr(&producer.0)).then_some(&self.handle)
    }
}

impl fmt::Debug for ProducerTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProducerTopic").field(self.name()).finish()
    }
}
