//! What consumers of the classic protocol write into JoinGroup.

use bytes::Bytes;
use milena_types::Topic;
use milena_wire::Reader;
use milena_wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;

/// What a member wants, `ConsumerProtocolSubscription`.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscription {
    pub(super) topics: Vec<Topic>,
}

impl Subscription {
    /// `None` where the bytes are none.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(bytes.clone());
        let version = version(&mut reader)?;
        let message = ConsumerProtocolSubscription::decode(&mut reader, version).ok()?;
        Some(Self { topics: message.topics.iter().map(|name| Topic::from(&**name)).collect() })
    }
}

/// The newest version known here for one that is newer, as in Kafka.
fn version(reader: &mut Reader) -> Option<i16> {
    let version = reader.i16().ok()?;
    (version >= 0).then(|| version.min(VERSION_MAX))
}

const VERSION_MAX: i16 = 3;
