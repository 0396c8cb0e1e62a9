//! What a sticky strategy says to itself through the coordinator.

use bytes::Bytes;
use milena_types::{Generation, Topic, TopicPartition};
use milena_wire::{Reader, Writer};

use crate::group::assignor::{AssignmentStrategy, Member, java_map};

/// What a member had, as far as it tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct UserData {
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) generation: Option<i32>,
}

impl UserData {
    /// What a member of this strategy writes that got `partitions` in `generation`; `None` where it writes nothing.
    pub(crate) fn encode(
        strategy: AssignmentStrategy,
        partitions: &[TopicPartition],
        generation: Option<Generation>,
    ) -> Option<Bytes> {
        let generation_id = generation.map_or(NO_GENERATION, Generation::get);
        let mut writer = Writer::new();
        match strategy {
            AssignmentStrategy::Range | AssignmentStrategy::RoundRobin => return None,
            AssignmentStrategy::Sticky => {
                // Nothing was ever assigned: nothing to stick to.
                generation?;
                let mut topics: Vec<(&Topic, Vec<i32>)> = Vec::new();
                for tp in partitions {
                    match topics.last_mut() {
                        Some((topic, numbers)) if **topic == tp.topic => numbers.push(tp.partition),
                        Some(_) | None => topics.push((&tp.topic, vec![tp.partition])),
                    }
                }
                writer.i32(i32::try_from(topics.len()).ok()?);
                // In the order in which Java's map of topics gives them out, so that the bytes are the same.
                let order = java_map::order(topics.iter().map(|(topic, _)| topic.as_str()));
                for (topic, numbers) in order.into_iter().filter_map(|place| topics.get(place)) {
                    writer.string(topic.as_str(), false).ok()?;
                    writer.i32(i32::try_from(numbers.len()).ok()?);
                    numbers.iter().for_each(|number| writer.i32(*number));
                }
            }
            AssignmentStrategy::CooperativeSticky => {}
        }
        writer.i32(generation_id);
        Some(writer.into_bytes())
    }

    /// What `member` had by its own words. Bytes that make no sense are as good as none (trap 37).
    pub(super) fn of(strategy: AssignmentStrategy, member: &Member) -> Self {
        if !strategy.is_cooperative() {
            // An eager member holds nothing while it joins: what it had stands in the user data alone.
            let Some(bytes) = member.user_data.as_ref().filter(|bytes| !bytes.is_empty()) else {
                return Self::default();
            };
            let unreadable = || Self { generation: Some(NO_GENERATION), ..Self::default() };
            return decode(bytes).unwrap_or_else(unreadable);
        }
        let partitions = member.owned.clone();
        if let Some(generation) = member.generation {
            return Self { partitions, generation: Some(generation.get()) };
        }
        let generation = member
            .user_data
            .as_ref()
            .map(|bytes| Reader::new(bytes.clone()).i32().unwrap_or(NO_GENERATION));
        Self { partitions, generation }
    }
}

/// Java's `STICKY_ASSIGNOR_USER_DATA_V1`, or version 0, which ends before the generation.
fn decode(bytes: &Bytes) -> Option<UserData> {
    let mut reader = Reader::new(bytes.clone());
    let topics = reader
        .array(false, |reader| {
            let topic = Topic::from(&*reader.string(false)?);
            let numbers = reader.array(false, Reader::i32)?;
            Ok(numbers.into_iter().map(move |number| TopicPartition::new(&topic, number)))
        })
        .ok()?;
    let partitions = topics.into_iter().flatten().collect();
    Some(UserData { partitions, generation: reader.i32().ok() })
}

/// As Java writes that there is none.
const NO_GENERATION: i32 = -1;
