//! What belongs to partitions, put under their topics, as requests have it.

use milena_types::TopicPartition;
use milena_wire::ByteString;

/// Each topic with what belongs to its partitions. Only neighbours come together: partitions of a map or a set do.
pub(crate) fn by_topic<'a, P>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, P)>,
) -> Vec<(ByteString, Vec<P>)> {
    let mut topics: Vec<(ByteString, Vec<P>)> = Vec::new();
    for (tp, what) in partitions {
        match topics.last_mut() {
            Some((topic, whats)) if **topic == *tp.topic.as_str() => whats.push(what),
            Some(_) | None => topics.push((ByteString::from(tp.topic.as_str()), vec![what])),
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_a_topic_come_together() {
        let [a0, a7, b0] = [("a", 0), ("a", 7), ("b", 0)].map(|(t, p)| TopicPartition::new(t, p));
        let told = by_topic([(&a0, 10), (&a7, 17), (&b0, 20), (&a0, 30)]);
        let told: Vec<_> = told.iter().map(|(topic, whats)| (&**topic, &**whats)).collect();
        assert_eq!(told, [("a", &[10, 17][..]), ("b", &[20]), ("a", &[30])]);
    }
}
