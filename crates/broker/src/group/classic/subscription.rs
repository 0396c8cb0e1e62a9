//! What the members of a classic group read, so far as they speak the protocol of consumers.

use bytes::Bytes;

use super::group::{ClassicGroup, GroupState};
use crate::group::protocol::Subscription;

impl ClassicGroup {
    /// Whether any member reads the topic; where that cannot be told of consumers, they may.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        let is_of_consumers = self.protocol_type.as_deref() == Some("consumer");
        if !is_of_consumers || self.state == GroupState::Empty {
            return false;
        }
        let Some(protocol) = &self.protocol else { return true };
        let reads = |metadata: Bytes| {
            let subscription = Subscription::decode(&metadata);
            subscription.is_none_or(|said| said.topics.iter().any(|name| name.as_str() == topic))
        };
        self.members.values().any(|member| reads(member.metadata(protocol)))
    }
}
