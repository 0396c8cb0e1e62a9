//! A share group: members with epochs and what is assigned to them (KIP-932; the share half of `GroupMetadataManager`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Uuid};

use super::assignor::{Assignment, assign};
use super::config::ShareConfig;

/// A group whose members share partitions.
#[derive(Clone, Debug)]
pub(crate) struct ShareGroup {
    /// A new group has 1, and its first member makes it 2.
    epoch: i32,
    assignment_epoch: i32,
    /// When the last assignment was made; `None` lets the next one be made at once.
    assigned_at: Option<Instant>,
    members: BTreeMap<String, ShareMember>,
    target: BTreeMap<String, Assignment>,
    /// The topics that the last epoch was made for.
    seen: BTreeMap<String, SeenTopic>,
    /// The partitions that the group keeps an offset of; only these are assigned.
    initialized: BTreeMap<Uuid, BTreeSet<i32>>,
}

impl Default for ShareGroup {
    fn default() -> Self {
        Self {
            epoch: 1,
            assignment_epoch: 0,
            assigned_at: None,
            members: BTreeMap::new(),
            target: BTreeMap::new(),
            seen: BTreeMap::new(),
            initialized: BTreeMap::new(),
        }
    }
}

/// A member of a share group.
#[derive(Clone, Debug)]
pub(crate) struct ShareMember {
    pub(crate) epoch: i32,
    previous_epoch: i32,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) subscribed: BTreeSet<String>,
    pub(crate) assigned: Assignment,
    session_until: Instant,
}

/// A topic as a group has seen it last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SeenTopic {
    pub(crate) id: Uuid,
    pub(crate) partitions: i32,
}

/// A heartbeat that does not leave.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) member: String,
    pub(crate) epoch: i32,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) subscribed: Option<BTreeSet<String>>,
}

/// What a member is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Beaten {
    pub(crate) epoch: i32,
    /// `None` where it did not change.
    pub(crate) assignment: Option<Assignment>,
}

/// Why a heartbeat is refused, with Kafka's words.
pub(crate) type Fenced = (ErrorCode, String);

impl ShareGroup {
    /// Takes a heartbeat. `topics` finds a topic by its name.
    pub(crate) fn beat(
        &mut self,
        now: Instant,
        config: &ShareConfig,
        group: &str,
        beat: Beat,
        topics: impl Fn(&str) -> Option<SeenTopic>,
    ) -> Result<Beaten, Fenced> {
        let is_new = self.check_epoch(group, &beat)?;
        let member = self.members.entry(beat.member.clone());
        let member = member.or_insert_with(|| ShareMember::new(now));
        let before = member.clone();
        let is_full = beat.subscribed.is_some();
        let mut must_bump = beat.subscribed.as_ref().is_some_and(|new| *new != before.subscribed);
        member.update(now, config.session_timeout, &beat);
        if self.assignment_epoch >= self.epoch {
            must_bump |= self.has_news(&beat.member, &before);
        }
        let seen = self.look(&topics);
        must_bump |= seen != self.seen;
        if must_bump {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.seen = seen;
        self.assign(now, config.assignment_interval);
        let target = self.target.get(&beat.member).cloned().unwrap_or_default();
        let wanted: BTreeSet<Uuid> = self.seen_of(&beat.member).map(|topic| topic.id).collect();
        let Some(member) = self.members.get_mut(&beat.member) else {
            return Err(unknown(group, &beat.member));
        };
        member.reconcile(self.assignment_epoch, target, &wanted, must_bump);
        let is_changed = member.assigned != before.assigned;
        let must_tell = beat.epoch == 0 || is_full || is_new || is_changed;
        let told =
            Beaten { epoch: member.epoch, assignment: must_tell.then(|| member.assigned.clone()) };
        Ok(told)
    }

    /// The partitions of subscribed topics that the group keeps no offset of yet, and whether it knew their topics.
    pub(crate) fn initialize(&mut self) -> Vec<(Uuid, i32, bool)> {
        let mut new = Vec::new();
        for topic in self.seen.values() {
            let is_known = self.initialized.contains_key(&topic.id);
            let partitions = self.initialized.entry(topic.id).or_default();
            let added = (0..topic.partitions).filter(|partition| partitions.insert(*partition));
            new.extend(added.map(|partition| (topic.id, partition, is_known)));
        }
        new
    }

    /// Notes that the group keeps an offset of this partition.
    pub(crate) fn note_offset(&mut self, topic: Uuid, partition: i32) {
        self.initialized.entry(topic).or_default().insert(partition);
    }

    /// The partitions that the group keeps an offset of.
    pub(crate) fn initialized(&self) -> &BTreeMap<Uuid, BTreeSet<i32>> {
        &self.initialized
    }

    /// Forgets the offsets of a topic; the partitions of which there were any.
    pub(crate) fn forget_topic(&mut self, topic: Uuid) -> Option<BTreeSet<i32>> {
        self.initialized.remove(&topic)
    }

    /// A member leaves or is given up.
    pub(crate) fn remove(&mut self, group: &str, member: &str) -> Result<(), Fenced> {
        if self.members.remove(member).is_none() {
            return Err(unknown(group, member));
        }
        self.target.remove(member);
        self.epoch = self.epoch.saturating_add(1);
        let left: BTreeSet<&String> = self.members.values().flat_map(|m| &m.subscribed).collect();
        self.seen.retain(|topic, _| left.contains(topic));
        if self.members.is_empty() {
            self.assignment_epoch = self.epoch;
            self.assigned_at = None;
        }
        Ok(())
    }

    /// When [`ShareGroup::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.members.values().map(|member| member.session_until).min()
    }

    /// Gives up members that were not heard of.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let late = self.members.iter().filter(|(_, member)| member.session_until <= now);
        let late: Vec<_> = late.map(|(id, _)| id.clone()).collect();
        for member in late {
            // The only error is that there is no such member.
            _ = self.remove("", &member);
        }
    }

    /// The coordinator moved: members have a whole session to find it.
    pub(crate) fn handle_coordinator_move(&mut self, now: Instant, session: Duration) {
        for member in self.members.values_mut() {
            member.session_until = now.checked_add(session).unwrap_or(now);
        }
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// The members by id.
    pub(crate) fn members(&self) -> &BTreeMap<String, ShareMember> {
        &self.members
    }

    /// The name that ListGroups and ShareGroupDescribe use.
    pub(crate) fn state(&self) -> &'static str {
        if self.members.is_empty() { "Empty" } else { "Stable" }
    }

    /// Whether the member may beat with this epoch, and whether it is new.
    fn check_epoch(&self, group: &str, beat: &Beat) -> Result<bool, Fenced> {
        let Some(member) = self.members.get(&beat.member) else {
            return if beat.epoch == 0 { Ok(true) } else { Err(unknown(group, &beat.member)) };
        };
        let (told, known) = (beat.epoch, member.epoch);
        if told == 0 || told == known || (told < known && told == member.previous_epoch) {
            return Ok(false);
        }
        let message = if told > known {
            format!(
                "The share group member has a greater member epoch ({told}) than the one known by the group \
                 coordinator ({known}). The member must abandon all its partitions and rejoin."
            )
        } else {
            format!(
                "The share group member has a smaller member epoch ({told}) than the one known by the group \
                 coordinator ({known}), and it does not match the previous member epoch ({}). The member must \
                 abandon all its partitions and rejoin.",
                member.previous_epoch
            )
        };
        Err((ErrorCode::FENCED_MEMBER_EPOCH, message))
    }

    /// Whether partitions of subscribed topics could be assigned that are not, or the other way round. What the member
    /// subscribed to with this very heartbeat does not count yet.
    fn has_news(&self, beating: &str, before: &ShareMember) -> bool {
        let subscribed = |topic: &str| {
            self.members.iter().any(|(id, member)| {
                let member = if id == beating { before } else { member };
                member.subscribed.contains(topic)
            })
        };
        let mut assigned: BTreeMap<Uuid, BTreeSet<i32>> = BTreeMap::new();
        for (topic, partitions) in self.target.values().flatten() {
            assigned.entry(*topic).or_default().extend(partitions);
        }
        let name = |id: &Uuid| self.seen.iter().find(|(_, topic)| topic.id == *id);
        self.initialized.iter().any(|(id, partitions)| {
            let is_subscribed = name(id).is_some_and(|(name, _)| subscribed(name));
            is_subscribed && assigned.get(id) != Some(partitions)
        })
    }

    /// The subscribed topics that there are.
    fn look(&self, topics: impl Fn(&str) -> Option<SeenTopic>) -> BTreeMap<String, SeenTopic> {
        let names: BTreeSet<&String> = self.members.values().flat_map(|m| &m.subscribed).collect();
        names.into_iter().filter_map(|name| Some((name.clone(), topics(name)?))).collect()
    }

    fn seen_of(&self, member: &str) -> impl Iterator<Item = SeenTopic> {
        let subscribed = self.members.get(member).map(|member| &member.subscribed);
        subscribed.into_iter().flatten().filter_map(|name| self.seen.get(name).copied())
    }

    /// Makes the assignment of the present epoch, unless the last one is too young.
    fn assign(&mut self, now: Instant, interval: Duration) {
        let may_be_made = self.assigned_at.is_none_or(|at| now.duration_since(at) >= interval);
        if self.assignment_epoch >= self.epoch || !may_be_made {
            return;
        }
        let subscribed = |id: &String| {
            let topics: BTreeSet<Uuid> = self.seen_of(id).map(|topic| topic.id).collect();
            (id.clone(), topics)
        };
        let members = self.members.keys().map(subscribed).collect();
        self.target = assign(&members, &self.initialized, &self.target);
        self.assignment_epoch = self.epoch;
        self.assigned_at = Some(now);
    }
}

impl ShareMember {
    fn new(now: Instant) -> Self {
        Self {
            epoch: 0,
            previous_epoch: -1,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            subscribed: BTreeSet::new(),
            assigned: Assignment::new(),
            session_until: now,
        }
    }

    fn update(&mut self, now: Instant, session: Duration, beat: &Beat) {
        self.session_until = now.checked_add(session).unwrap_or(now);
        self.client_id.clone_from(&beat.client_id);
        self.client_host.clone_from(&beat.client_host);
        if beat.rack_id.is_some() {
            self.rack_id.clone_from(&beat.rack_id);
        }
        if let Some(subscribed) = &beat.subscribed {
            self.subscribed.clone_from(subscribed);
        }
    }

    fn reconcile(
        &mut self,
        epoch: i32,
        target: Assignment,
        wanted: &BTreeSet<Uuid>,
        must_look: bool,
    ) {
        if epoch == self.epoch && !must_look {
            return;
        }
        self.assigned = target;
        self.assigned.retain(|topic, _| wanted.contains(topic));
        if epoch != self.epoch {
            self.previous_epoch = self.epoch;
            self.epoch = epoch;
        }
    }
}

fn unknown(group: &str, member: &str) -> Fenced {
    let message = format!("Member {member} is not a member of group {group}.");
    (ErrorCode::UNKNOWN_MEMBER_ID, message)
}
