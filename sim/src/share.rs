//! What the members of a share group are set to do, and what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use milena_broker::Acknowledgement;
use milena_types::{Offset, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::group::Act;
use crate::history::Value;

/// The one share group of a world.
pub const SHARE_GROUP: &str = "workers";

/// A share group before its world begins.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SharePlan {
    /// `group.share.session.timeout.ms`
    pub session: Duration,
    /// `group.share.record.lock.duration.ms`
    pub lock: Duration,
    /// `group.share.delivery.count.limit`
    pub deliveries_max: i16,
    /// `max.poll.interval.ms`
    pub max_poll_interval: Duration,
    /// Its members; the first one always comes back and stays.
    pub members: Vec<SharerPlan>,
}

/// What one member of a share group does, and how it is set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SharerPlan {
    /// Whether the user says of each record what became of it.
    pub explicit: bool,
    /// Whether `max.poll.records` is strict (KIP-1206).
    pub record_limit: bool,
    /// `max.poll.records`
    pub max_poll_records: usize,
    /// `default.api.timeout.ms`
    pub api_timeout: Duration,
    /// The longest that its user takes over what a poll handed out, in one of eight polls.
    pub slow: Duration,
    /// One word in so many is another than Accept; 0 for none.
    pub doubts: u32,
    /// One poll in so many comes after a commit; 0 for none.
    pub commits: u32,
    /// What its user does besides, by time.
    pub acts: Vec<(Duration, Act)>,
}

impl SharePlan {
    /// A share group whose members act during `during`.
    pub fn draw(rng: &mut Rng, during: Duration) -> Self {
        let session = ms(*pick(rng, &[2_000, 6_000, 10_000]));
        let max_poll_interval = session + ms(*pick(rng, &[0, 5_000]));
        let lock = ms(*pick(rng, &[1_000, 3_000, 10_000]));
        let is_storm = rng.u32(0..6) == 0;
        let members = (0..rng.usize(1..=4))
            .map(|n| member(rng, n, during, (max_poll_interval, lock), is_storm))
            .collect();
        Self { session, lock, deliveries_max: *pick(rng, &[2, 5]), max_poll_interval, members }
    }

    /// When the last member has done what it means to do.
    pub fn busy_until(&self) -> Duration {
        let acts = self.members.iter().flat_map(|member| &member.acts);
        acts.map(|(at, act)| *at + act.lasts()).max().unwrap_or_default()
    }

    /// How long the group may take, once left alone, to be done with everything: each record may be lost to a lock as
    /// often as it is delivered, and comes alone in the end.
    pub fn settles(&self, records: u32, round_trip: Duration) -> Duration {
        let slow = self.members.iter().map(|member| member.slow).max().unwrap_or_default();
        let api = self.members.iter().map(|member| member.api_timeout).max().unwrap_or_default();
        let deliveries = u32::from(self.deliveries_max.unsigned_abs());
        let each = round_trip * 4 + slow / 8 + ms(600);
        2 * (self.session + self.max_poll_interval + api)
            + (self.lock + slow) * 2 * deliveries
            + each * records * deliveries
    }
}

/// A record in the hand of a member's user.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The member's id.
    pub member: String,
    /// Where from.
    pub from: TopicPartition,
    /// At which offset.
    pub offset: Offset,
    /// What was read.
    pub value: Value,
    /// How often it was delivered, as its user was told.
    pub delivery_count: i16,
    /// When.
    pub at: Duration,
    /// When its lock runs out, as its user was told.
    pub locked_until: Duration,
}

/// What a user said of a record.
#[derive(Clone, Debug)]
pub struct Word {
    /// The member's id.
    pub member: String,
    /// Where the record is from.
    pub of: TopicPartition,
    /// At which offset.
    pub offset: Offset,
    /// What.
    pub said: Acknowledgement,
    /// When.
    pub at: Duration,
}

/// What a user was told became of his word.
#[derive(Clone, Debug)]
pub struct Told {
    /// The member's id.
    pub member: String,
    /// Where the record is from.
    pub of: TopicPartition,
    /// At which offset.
    pub offset: Offset,
    /// When.
    pub at: Duration,
    /// Whether brokers took it.
    pub is_taken: bool,
}

/// What brokers did with a record, in the order in which they did it.
#[derive(Clone, Debug)]
pub struct ShareEvent {
    /// When.
    pub at: Duration,
    /// The member.
    pub member: String,
    /// Where the record is from.
    pub of: TopicPartition,
    /// At which offset.
    pub offset: Offset,
    /// What.
    pub what: Done,
}

/// What a broker did with a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Done {
    /// Locked it for the member: its delivery of this number.
    Acquired(i16),
    /// Took the member's word.
    Took(Acknowledgement),
}

/// All that happened to a share group.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    /// Records as they were handed out.
    pub handed: Vec<Handed>,
    /// What users said.
    pub words: Vec<Word>,
    /// What they were told of that.
    pub told: Vec<Told>,
    /// What brokers did.
    pub events: Vec<ShareEvent>,
    /// How often a record may be delivered.
    pub deliveries_max: i16,
    /// How far the group was in the end, and how far it had to go.
    pub ends: BTreeMap<TopicPartition, (Option<Offset>, Offset)>,
}

fn member(
    rng: &mut Rng,
    n: usize,
    during: Duration,
    (max_poll_interval, lock): (Duration, Duration),
    is_storm: bool,
) -> SharerPlan {
    let during_ms = u64::try_from(during.as_millis()).unwrap_or(u64::MAX).max(2);
    let mut acts = Vec::new();
    let mut at = if n == 0 { Duration::ZERO } else { ms(rng.u64(0..during_ms / 2)) };
    acts.push((at, Act::Join));
    let turns = if is_storm { rng.usize(3..10) } else { *pick(rng, &[0, 0, 1, 2]) };
    for _ in 0..turns {
        at += if is_storm { ms(rng.u64(50..500)) } else { ms(rng.u64(1..during_ms)) };
        let act = match rng.u32(0..6) {
            0 | 1 => Act::Close,
            2 => Act::Abandon,
            // Around the limits: some come back just in time.
            3 => Act::Dawdle(lock.mul_f64(*pick(rng, &[0.9, 1.0, 1.5]))),
            _ => Act::Dawdle(max_poll_interval.mul_f64(*pick(rng, &[0.5, 1.0, 1.5]))),
        };
        acts.push((at, act));
        at += act.lasts();
        if matches!(act, Act::Close | Act::Abandon) {
            if n > 0 && rng.u32(0..4) == 0 {
                break;
            }
            at += if is_storm { ms(rng.u64(50..500)) } else { ms(rng.u64(0..8_000)) };
            acts.push((at, Act::Join));
        }
    }
    SharerPlan {
        explicit: rng.bool(),
        record_limit: rng.u32(0..3) == 0,
        max_poll_records: *pick(rng, &[1, 10, 500]),
        api_timeout: ms(*pick(rng, &[2_000, 10_000, 20_000])),
        slow: ms(*pick(rng, &[1, 300, 1_500])),
        doubts: *pick(rng, &[0, 4, 20]),
        commits: *pick(rng, &[0, 1, 4]),
        acts,
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    #[expect(clippy::indexing_slicing, reason = "drawn within the slice, which is not empty")]
    &of[rng.usize(0..of.len())]
}
