//! The requests of a fetcher.

use milena_types::{LeaderEpoch, TopicPartition, Uuid};
use milena_wire::ByteString;
use milena_wire::messages::FetchRequest;
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

use super::limits::Limits;
use super::session::Delta;

/// The newest version that names topics; the next ones have ids alone.
pub(crate) const VERSION_MAX_BY_NAME: i16 = 12;

/// A Fetch that continues or opens a session, with an answer of up to `bytes_max`. Also the newest version that can
/// carry it.
pub(crate) fn fetch(delta: &Delta, limits: &Limits, bytes_max: i32) -> (FetchRequest, i16) {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut by_id = true;
    for (tp, ask) in &delta.ask {
        by_id &= ask.topic_id.is_some();
        let partition = FetchPartition {
            partition: tp.partition,
            current_leader_epoch: LeaderEpoch::to_wire(ask.leader_epoch),
            fetch_offset: ask.offset.get(),
            partition_max_bytes: ask.bytes_max,
            ..Default::default()
        };
        let id = ask.topic_id.unwrap_or(Uuid::ZERO);
        match topics.last_mut() {
            Some(topic) if is_same(&topic.topic, topic.topic_id, tp, id) => {
                topic.partitions.push(partition);
            }
            Some(_) | None => topics.push(FetchTopic {
                topic: ByteString::from(tp.topic.as_str()),
                topic_id: id,
                partitions: vec![partition],
            }),
        }
    }
    let mut forgotten: Vec<ForgottenTopic> = Vec::new();
    for (tp, id) in &delta.forget {
        by_id &= id.is_some();
        let id = id.unwrap_or(Uuid::ZERO);
        match forgotten.last_mut() {
            Some(topic) if is_same(&topic.topic, topic.topic_id, tp, id) => {
                topic.partitions.push(tp.partition);
            }
            Some(_) | None => forgotten.push(ForgottenTopic {
                topic: ByteString::from(tp.topic.as_str()),
                topic_id: id,
                partitions: vec![tp.partition],
            }),
        }
    }
    let request = FetchRequest {
        max_wait_ms: i32::try_from(limits.max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: limits.min_bytes,
        max_bytes: bytes_max,
        isolation_level: limits.isolation.to_wire(),
        session_id: delta.session_id,
        session_epoch: delta.session_epoch,
        topics,
        forgotten_topics_data: forgotten,
        rack_id: ByteString::from(limits.rack.as_deref().unwrap_or_default()),
        ..Default::default()
    };
    (request, if by_id { i16::MAX } else { VERSION_MAX_BY_NAME })
}

fn is_same(name: &ByteString, topic_id: Uuid, tp: &TopicPartition, id: Uuid) -> bool {
    **name == *tp.topic.as_str() && topic_id == id
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milena_types::Offset;

    use super::*;
    use crate::fetch::limits::IsolationLevel;
    use crate::fetch::session::Ask;

    /// A topic that was made anew is another one of the same name, and what is forgotten of the old one is not of the new.
    #[test]
    fn partitions_stand_together_by_name_and_id() {
        let limits = Limits {
            isolation: IsolationLevel::ReadCommitted,
            rack: Some("east".into()),
            min_bytes: 1,
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 16,
            max_wait: Duration::from_millis(500),
            buffer_bytes: 1 << 24,
        };
        let [old, new] = [Some(Uuid::from_bytes([1; 16])), Some(Uuid::from_bytes([2; 16]))];
        let places = [("t", 0, old), ("t", 1, old), ("t", 2, new), ("u", 0, new)];
        let ask = places.map(|(topic, index, topic_id)| {
            let offset = Offset::ZERO;
            let ask = Ask { topic_id, offset, leader_epoch: None, bytes_max: 7 };
            (TopicPartition::new(topic, index), ask)
        });
        let forget = places.map(|(topic, index, id)| (TopicPartition::new(topic, index), id));
        let mut delta =
            Delta { session_id: 3, session_epoch: 4, ask: ask.into(), forget: forget.into() };
        let (request, version_max) = fetch(&delta, &limits, 99);
        let asked =
            request.topics.iter().map(|topic| (Some(topic.topic_id), topic.partitions.len()));
        assert_eq!(asked.collect::<Vec<_>>(), [(old, 2), (new, 1), (new, 1)]);
        let forgotten = &request.forgotten_topics_data;
        let forgotten =
            forgotten.iter().map(|topic| (Some(topic.topic_id), topic.partitions.len()));
        assert_eq!(forgotten.collect::<Vec<_>>(), [(old, 2), (new, 1), (new, 1)]);
        assert_eq!((request.max_bytes, request.max_wait_ms, request.isolation_level), (99, 500, 1));
        assert_eq!((request.session_id, request.session_epoch, &*request.rack_id), (3, 4, "east"));
        assert_eq!(version_max, i16::MAX);
        // One topic without an id, and all go by name.
        delta.forget[1].1 = None;
        assert_eq!(fetch(&delta, &limits, 99).1, VERSION_MAX_BY_NAME);
    }
}
