//! One group of the classic protocol: its state and its members.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Generation};

use super::join::JoinAnswer;
use super::member::Member;
use super::sync::SyncAnswer;
use crate::group::CONSUMER;
use crate::group::offsets::Expiry;
use crate::release::Release;
use crate::state::java_hash;
use crate::ticket::Ticket;

/// A group of the classic protocol.
#[derive(Clone, Debug)]
pub(crate) struct ClassicGroup {
    /// Whose coordinator is played.
    pub(super) release: Release,
    pub(super) state: GroupState,
    pub(super) generation: Option<Generation>,
    /// What the members are, as `consumer` or `connect`.
    pub(super) protocol_type: Option<String>,
    /// The assignor chosen for this generation.
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Static members: instance id to member id.
    pub(super) statics: BTreeMap<String, String>,
    /// Member ids handed out by MEMBER_ID_REQUIRED, and until when they may be used.
    pub(super) pending: BTreeMap<String, Instant>,
    /// When the present phase of a rebalance goes on without those that are missing.
    pub(super) phase_deadline: Option<Instant>,
    /// Whether the rebalance is the first of an empty group, which waits for more members to come.
    pub(super) is_initial: bool,
    pub(super) joins: u64,
    /// Since when the last member is gone, where there ever was one.
    pub(super) empty_since: Option<Instant>,
    /// Answers that became due; the owner takes them after each call.
    pub(super) replies: Vec<Reply>,
}

/// Kafka's states of a classic group; there are no others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the classic protocol is frozen")]
pub enum GroupState {
    /// No members, perhaps committed offsets.
    Empty,
    /// Gathers the members of the next generation.
    PreparingRebalance,
    /// Waits for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

/// An answer to a request that waited.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) ticket: Ticket,
    pub(crate) answer: Answer,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Join(JoinAnswer),
    Sync(SyncAnswer),
}

impl GroupState {
    /// The name that DescribeGroups and ListGroups use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }

    /// Whether a group may go from here to `next`.
    pub(super) const fn may_become(self, next: Self) -> bool {
        use GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
        matches!(
            (self, next),
            (Empty | Stable | CompletingRebalance, PreparingRebalance)
                | (PreparingRebalance, CompletingRebalance | Empty)
                | (CompletingRebalance, Stable)
        )
    }
}

impl ClassicGroup {
    /// A group without members.
    pub(crate) fn new(release: Release) -> Self {
        Self {
            release,
            state: GroupState::Empty,
            generation: None,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            phase_deadline: None,
            is_initial: false,
            joins: 0,
            empty_since: None,
            replies: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    pub(crate) fn generation(&self) -> Option<Generation> {
        self.generation
    }

    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(crate) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    pub(crate) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// The members, ordered by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// From when on the group's commits grow old; by themselves where it is nothing but a place to keep them, and not at all
    /// while members come and go (`ClassicGroup.offsetExpirationCondition`).
    pub(crate) fn expiry(&self) -> Expiry {
        match self.state {
            _ if self.protocol_type.is_none() => Expiry::SinceCommit,
            GroupState::Empty => self.empty_since.map_or(Expiry::SinceCommit, Expiry::Since),
            // Before 2.4 nobody looked at what members read, and all was kept while there were some.
            GroupState::Stable if self.release < Release::of(2, 4) => Expiry::Never,
            GroupState::Stable if self.protocol_type.as_deref() == Some(CONSUMER) => {
                Expiry::SinceCommit
            }
            GroupState::Stable
            | GroupState::PreparingRebalance
            | GroupState::CompletingRebalance => Expiry::Never,
        }
    }

    /// What its members are or were, and since when there are none; nothing where nobody ever joined. It outlives the process.
    pub(crate) fn standing(&self) -> Option<(&str, Option<Instant>)> {
        let empty_since = self.empty_since.filter(|_| self.state == GroupState::Empty);
        Some((self.protocol_type.as_deref()?, empty_since))
    }

    /// Puts that back.
    pub(crate) fn restore_standing(&mut self, protocol_type: String, empty_since: Option<Instant>) {
        (self.protocol_type, self.empty_since) = (Some(protocol_type), empty_since);
    }

    /// All is told: members that there were have gone with the process.
    pub(crate) fn restored(&mut self, now: Instant) {
        if self.protocol_type.is_some() {
            self.empty_since.get_or_insert(now);
        }
    }

    /// Whether an id was handed out to somebody who has not joined with it.
    pub(crate) fn is_expected(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether nothing of it is left to remember.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.state == GroupState::Empty && self.pending.is_empty() && self.generation.is_none()
    }

    /// The answers that became due since the last call.
    pub(crate) fn take_replies(&mut self) -> Vec<Reply> {
        std::mem::take(&mut self.replies)
    }

    /// When [`Group::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.members.values().filter_map(Member::deadline);
        sessions.chain(self.pending.values().copied()).chain(self.phase_deadline).min()
    }

    /// Gives up members and member ids that were not heard of, and ends a phase of a rebalance that took too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.pending.retain(|_, deadline| *deadline > now);
        let is_expired = |member: &&Member| member.deadline().is_some_and(|at| at <= now);
        let expired: Vec<_> =
            self.members.values().filter(is_expired).map(|m| m.id.clone()).collect();
        for id in expired {
            self.remove(now, &id, ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if self.phase_deadline.is_some_and(|deadline| deadline <= now) {
            self.phase_deadline = None;
            self.end_phase(now);
        }
        self.try_complete_join(now);
    }

    /// Forgets who waits for answers, as a coordinator does that moves to another node: they are told to look for it.
    pub(crate) fn handle_coordinator_move(&mut self, now: Instant) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.refuse_waiting(&id, ErrorCode::NOT_COORDINATOR);
        }
        for member in self.members.values_mut() {
            member.is_new = false;
            member.touch(now);
        }
    }

    pub(super) fn become_state(&mut self, next: GroupState) {
        debug_assert!(self.state.may_become(next), "{:?} to {next:?}", self.state);
        self.state = next;
    }

    /// Whether the member exists and is the holder of its instance id.
    pub(super) fn check_member(
        &self,
        id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.statics.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(holder) if holder != id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Answers whatever the member waits for with `code`.
    pub(super) fn refuse_waiting(&mut self, id: &str, code: ErrorCode) {
        let Some(member) = self.members.get_mut(id) else { return };
        let join = member.join.take().map(|ticket| Reply {
            ticket,
            answer: Answer::Join(JoinAnswer::error(code, &member.id)),
        });
        let sync = member
            .sync
            .take()
            .map(|ticket| Reply { ticket, answer: Answer::Sync(SyncAnswer::error(code)) });
        self.replies.extend(join.into_iter().chain(sync));
    }

    /// The longest time any member may take to rejoin.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// The assignors that every member speaks.
    pub(super) fn common_protocols(&self) -> BTreeSet<&str> {
        let mut members = self.members.values();
        let names = |member: &'_ Member| -> BTreeSet<String> {
            member.protocols.iter().map(|(name, _)| name.clone()).collect()
        };
        let Some(first) = members.next() else { return BTreeSet::new() };
        let rest: Vec<_> = members.map(names).collect();
        let spoken = first.protocols.iter().map(|(name, _)| name.as_str());
        spoken.filter(|name| rest.iter().all(|names| names.contains(*name))).collect()
    }

    /// The assignor with the most votes; each member votes for its favourite of those that all speak.
    pub(super) fn elect_protocol(&self) -> Option<String> {
        let candidates = self.common_protocols();
        let mut votes = BTreeMap::<&str, usize>::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|(name, _)| name.as_str());
            if let Some(favourite) = names.find(|name| candidates.contains(name)) {
                *votes.entry(favourite).or_default() += 1;
            }
        }
        let order = match self.release.has_first_coordinator() {
            true => in_scalas_order(votes.keys().copied().collect(), 0),
            false => in_javas_order(votes.keys().copied().collect()),
        };
        let place = |name: &str| order.iter().position(|other| *other == name);
        let rank = |(name, count): &(&str, usize)| (*count, Reverse(place(name)));
        votes.into_iter().max_by_key(rank).map(|(name, _)| name.to_owned())
    }
}

/// The names as Java's hash map of votes lists them: where votes are equal, Kafka takes the first one in it.
fn in_javas_order(mut names: Vec<&str>) -> Vec<&str> {
    let bucket = |name: &str| {
        let hash = java_hash(name).cast_unsigned();
        (hash ^ (hash >> 16)) % BUCKETS
    };
    names.sort_by_key(|name| bucket(name));
    names
}

/// Of a hash map with up to twelve entries.
const BUCKETS: u32 = 16;

/// The same for the immutable map of Scala 2.13, in which the first coordinator counted: a tree by five bits of the hash
/// each, of which a node lists its own entries before those below it.
fn in_scalas_order(names: Vec<&str>, shift: u32) -> Vec<&str> {
    let mut slots = BTreeMap::<u32, Vec<&str>>::new();
    for name in names {
        slots.entry((scala_hash(name) >> shift) % SCALA_SLOTS).or_default().push(name);
    }
    let is_own = |names: &Vec<&str>| names.len() == 1 || shift >= u32::BITS - SCALA_BITS;
    let (own, below): (Vec<_>, Vec<_>) = slots.into_values().partition(is_own);
    let below = below.into_iter().flat_map(|names| in_scalas_order(names, shift + SCALA_BITS));
    own.into_iter().flatten().chain(below).collect()
}

fn scala_hash(name: &str) -> u32 {
    let hash = java_hash(name).cast_unsigned();
    let hash = hash.wrapping_add(!(hash << 9));
    let hash = hash ^ (hash >> 14);
    let hash = hash.wrapping_add(hash << 4);
    hash ^ (hash >> 10)
}

const SCALA_BITS: u32 = 5;
const SCALA_SLOTS: u32 = 1 << SCALA_BITS;

#[cfg(test)]
mod tests {
    use super::{GroupState as S, *};

    /// The order in which a Java program lists the keys of a hash map with these four.
    #[test]
    fn assignors_are_ranked_as_javas_hash_map_lists_them() {
        let names = in_javas_order(vec!["cooperative-sticky", "range", "roundrobin", "sticky"]);
        assert_eq!(names, ["sticky", "range", "roundrobin", "cooperative-sticky"]);
    }

    /// Kafka 3.9 takes `range` before `sticky`, whose hashes begin with the same five bits.
    #[test]
    fn the_first_coordinator_ranks_assignors_as_scala_lists_them() {
        let names = vec!["cooperative-sticky", "range", "roundrobin", "sticky"];
        let ranked = ["cooperative-sticky", "roundrobin", "range", "sticky"];
        assert_eq!(in_scalas_order(names, 0), ranked);
    }

    /// Every pair, written out: rows are from, columns to. Kafka has the state Dead besides, of a group that is being
    /// forgotten; here it is gone at once.
    #[test]
    fn only_kafkas_transitions_are_allowed() {
        let states = [S::Empty, S::PreparingRebalance, S::CompletingRebalance, S::Stable];
        let table = [
            (S::Empty, [false, true, false, false]),
            (S::PreparingRebalance, [true, false, true, false]),
            (S::CompletingRebalance, [false, true, false, true]),
            (S::Stable, [false, true, false, false]),
        ];
        for (from, allowed) in table {
            assert_eq!(states.map(|to| from.may_become(to)), allowed, "{from:?}");
        }
        assert_eq!(table.map(|(from, _)| from), states);
    }

    /// As 2.1.1 has it (`GroupMetadata.removeExpiredOffsets`); since 2.4 what members read is looked at.
    #[test]
    fn before_2_4_no_commit_expires_while_there_are_members() {
        for (release, expiry) in [("2.3", Expiry::Never), ("2.4", Expiry::SinceCommit)] {
            let mut group = ClassicGroup::new(release.parse().expect("a release"));
            group.protocol_type = Some(CONSUMER.to_owned());
            group.state = GroupState::Stable;
            assert_eq!(group.expiry(), expiry, "{release}");
        }
    }
}
