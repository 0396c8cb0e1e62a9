//! Groups with members that change their protocol, from the classic to the consumer protocol and back (KIP-848).

use std::time::Instant;

use milena_types::{ErrorCode, Generation, MemberEpoch, TopicPartition};

use super::CONSUMER;
use super::classic::{ClassicGroup, Member as ClassicMember};
use super::consumer::{ClassicSide, ConsumerGroup, Downgrade, Member, Partitions};
use super::entry::Surroundings;
use super::protocol::{Assignment, Subscription};
use crate::state::Refused;
use crate::topic::TopicImage;

/// The same group by the consumer protocol; its members keep what they have, and their generation is their epoch.
pub(super) fn upgrade(
    id: &str,
    group: &ClassicGroup,
    now: Instant,
    around: &Surroundings<'_>,
) -> Result<ConsumerGroup, Refused> {
    let refuse = |why: &str| {
        let message = format!("Cannot upgrade classic group {id} to consumer group because {why}.");
        Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message)
    };
    if !around.settings.migration_policy.may_upgrade() {
        return Err(refuse("online upgrade is disabled"));
    }
    if group.protocol_type() != Some(CONSUMER) {
        return Err(refuse("the group does not use the consumer embedded protocol"));
    }
    if group.members().count() > around.settings.size_max {
        return Err(refuse("the group size exceeds the consumer group maximum size"));
    }
    // Kafka fails over a group in its first rebalance, which has chosen no assignor yet.
    let unknown = || Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR);
    let protocol = group.protocol().ok_or_else(unknown)?;
    let epoch = group.generation().map(Generation::get).and_then(MemberEpoch::from_wire);
    let mut upgraded = ConsumerGroup::at_epoch(id, epoch.ok_or_else(unknown)?);
    for member in group.members() {
        let malformed = || refuse("the embedded consumer protocol is malformed");
        let assignment = Assignment::decode(&member.assignment).ok_or_else(malformed)?;
        if assignment.has_user_data {
            return Err(refuse(
                "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
                 assignor before re-attempting the upgrade",
            ));
        }
        let subscription =
            Subscription::decode(&member.metadata(protocol)).ok_or_else(malformed)?;
        let mut upgraded_member = Member::new(&member.id);
        upgraded_member.instance_id.clone_from(&member.instance_id);
        upgraded_member.rack_id = subscription.rack_id;
        upgraded_member.client_id.clone_from(&member.client_id);
        upgraded_member.client_host.clone_from(&member.client_host);
        upgraded_member.rebalance_timeout = member.rebalance_timeout;
        upgraded_member.topics = subscription.topics.into_iter().collect();
        upgraded_member.classic = Some(ClassicSide {
            session_timeout: member.session_timeout,
            protocols: member.protocols.clone(),
        });
        let target = by_id(&assignment.partitions, &around.image);
        if !upgraded.adopt(now, upgraded_member, target) {
            // The leader has given one partition to two members.
            return Err(unknown());
        }
    }
    upgraded.refresh_metadata(&around.image);
    Ok(upgraded)
}

/// The same group by the classic protocol, without the members that leave; `None` where a member's subscription cannot
/// be read.
pub(super) fn downgrade(
    group: &ConsumerGroup,
    leaving: &[String],
    how: Downgrade,
    now: Instant,
    image: &TopicImage<'_>,
) -> Option<ClassicGroup> {
    let stay = group.members().filter(|member| !leaving.contains(&member.id));
    let generation = Generation::from_wire(group.epoch().get());
    let mut downgraded = ClassicGroup::at_generation(generation, CONSUMER);
    for member in stay {
        let classic = member.classic.as_ref()?;
        downgraded.adopt(ClassicMember::adopted(now, member, classic));
    }
    downgraded.settle_protocol();
    let protocol = downgraded.protocol()?.to_owned();
    let mut assignments = Vec::new();
    for member in downgraded.members() {
        let subscription = Subscription::decode(&member.metadata(&protocol))?;
        let partitions = by_name(group.target(&member.id), image);
        let assignment = Assignment { partitions, has_user_data: false };
        assignments.push((member.id.clone(), assignment.encode(subscription.version)));
    }
    downgraded.set_assignments(assignments);
    if how.needs_rebalance {
        downgraded.rebalance_now(now);
    }
    Some(downgraded)
}

fn by_id(partitions: &[TopicPartition], image: &TopicImage<'_>) -> Partitions {
    let mut by_id = Partitions::new();
    for tp in partitions {
        if let Some(topic) = image.id(tp.topic.as_str()) {
            by_id.entry(topic).or_default().insert(tp.partition);
        }
    }
    by_id
}

fn by_name(partitions: Option<&Partitions>, image: &TopicImage<'_>) -> Vec<TopicPartition> {
    let topics = partitions.into_iter().flatten();
    let named = topics.filter_map(|(topic, indexes)| Some((image.name(*topic)?, indexes)));
    named
        .flat_map(|(name, indexes)| indexes.iter().map(move |i| TopicPartition::new(name, *i)))
        .collect()
}
