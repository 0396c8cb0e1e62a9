//! What the members of a group are set to do, drawn from a world's seed.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::history::Value;

/// The one group of a world.
pub const GROUP: &str = "readers";

/// A group before its world begins.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPlan {
    /// `session.timeout.ms`
    pub session: Duration,
    /// `heartbeat.interval.ms`
    pub heartbeat: Duration,
    /// `max.poll.interval.ms`; never below the session: else a coordinator may give a member's partitions away before
    /// the member can know.
    pub max_poll_interval: Duration,
    /// `metadata.max.age.ms`: how soon partitions that are added are noticed.
    pub metadata_max_age: Duration,
    /// `fetch.max.wait.ms`
    pub fetch_max_wait: Duration,
    /// How its partitions are shared out.
    pub strategy: Strategy,
    /// How its members commit.
    pub commits: Commits,
    /// Its members; the first one always comes back and stays.
    pub members: Vec<MemberPlan>,
}

/// How the partitions of a group are shared out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Strategy {
    /// Everything is given up before each rebalance, and neighbouring partitions go to the same member.
    Range,
    /// The same, and partitions go to members in turn.
    RoundRobin,
    /// The same, and partitions stay where they were as far as they can (KIP-54).
    Sticky,
    /// What stays is read on while the group rebalances (KIP-429).
    Cooperative,
    /// By the coordinator (KIP-848).
    Consumer,
}

impl Strategy {
    /// Whether members give everything up before each rebalance.
    pub fn gives_all_up(self) -> bool {
        matches!(self, Self::Range | Self::RoundRobin | Self::Sticky)
    }
}

/// How members commit.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Commits {
    /// By themselves, this often.
    Auto(Duration),
    /// After each poll, and before partitions are given up, waiting for the end.
    Sync,
    /// After each poll, without waiting.
    Async,
    /// What is marked as done some time after it was handed out.
    Marked,
    /// In transactions, with copies of some of what was handed out (F66).
    Copies(CopyPlan),
}

/// How the producer of a member is set that copies.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CopyPlan {
    /// `delivery.timeout.ms`
    pub delivery_timeout: Duration,
    /// `transaction.timeout.ms`
    pub timeout: Duration,
}

impl CopyPlan {
    /// With little time, or enough of it.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            delivery_timeout: ms(*pick(rng, &[2_000, 10_000])),
            timeout: ms(*pick(rng, &[2_000, 10_000, 20_000])),
        }
    }
}

/// Whether a member that copies does so with this one: with one record in three, and no copy.
pub fn is_copied(value: Value) -> bool {
    value.0 >> 63 == 0 && value.0.is_multiple_of(3)
}

/// What one member does, and how it is set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemberPlan {
    /// `group.instance.id`
    pub instance: Option<String>,
    /// `max.poll.records`
    pub max_poll_records: usize,
    /// `max.partition.fetch.bytes`
    pub partition_bytes: i32,
    /// `default.api.timeout.ms`
    pub api_timeout: Duration,
    /// The longest that its user takes over what a poll handed out, in one of eight polls.
    pub slow: Duration,
    /// What its user does besides, by time.
    pub acts: Vec<(Duration, Act)>,
}

/// What the user of a member does besides polling and committing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Act {
    /// Subscribes; with a new consumer where there is none.
    Join,
    /// Unsubscribes and keeps the consumer.
    Unsubscribe,
    /// Closes the consumer.
    Close,
    /// Drops the consumer with records in hand.
    Abandon,
    /// Does not poll for this long (F51).
    Dawdle(Duration),
    /// Pauses a partition for this long, unless it is taken away meanwhile (R12).
    Pause(Duration),
    /// Has the group share its partitions out anew (KIP-568).
    Rebalance,
}

impl GroupPlan {
    /// A group whose members act during `during`.
    pub fn draw(rng: &mut Rng, during: Duration) -> Self {
        let session = ms(*pick(rng, &[2_000, 6_000, 10_000]));
        let max_poll_interval = session + ms(*pick(rng, &[0, 5_000]));
        let strategy = *pick(rng, &[Strategy::Range, Strategy::Cooperative, Strategy::Consumer]);
        let commits = match rng.u32(0..5) {
            0 | 1 => Commits::Auto(ms(*pick(rng, &[50, 1_000, 5_000]))),
            2 => Commits::Sync,
            3 => Commits::Async,
            _ => Commits::Marked,
        };
        // Some groups have no rest at all (F52).
        let is_storm = rng.u32(0..6) == 0;
        let is_static = rng.u32(0..4) == 0;
        let mut members: Vec<_> = (0..rng.usize(1..=4))
            .map(|n| member(rng, n, during, max_poll_interval, is_storm))
            .collect();
        for (n, member) in members.iter_mut().enumerate().filter(|_| is_static) {
            member.instance = Some(format!("i{n}"));
        }
        Self {
            session,
            heartbeat: session / 3,
            max_poll_interval,
            metadata_max_age: ms(*pick(rng, &[5_000, 300_000])),
            fetch_max_wait: ms(500),
            strategy,
            commits,
            members,
        }
    }

    /// Draws what came to groups later, on other chances: two more assignors, and two members of one name (F55), whom the
    /// first member is never one of.
    pub fn draw_late(&mut self, rng: &mut Rng) {
        if self.strategy == Strategy::Range {
            self.strategy = *pick(rng, &[Strategy::Range, Strategy::RoundRobin, Strategy::Sticky]);
        }
        if rng.u32(0..4) == 0
            && let [_, one, other, ..] = self.members.as_mut_slice()
        {
            other.instance = Some(one.instance.get_or_insert_with(|| "twin".to_owned()).clone());
        }
    }

    /// A group whose members copy what they read.
    pub fn draw_copies(rng: &mut Rng, during: Duration) -> Self {
        let mut group = Self::draw(rng, during);
        group.commits = Commits::Copies(CopyPlan::draw(rng));
        for member in &mut group.members {
            // Who begins anew as a copy failed would leave to nobody what he gave up (KIP-345, KIP-814).
            member.instance = None;
            // Each poll is a transaction.
            member.max_poll_records = member.max_poll_records.max(5);
            member.partition_bytes = member.partition_bytes.max(1_000);
        }
        group
    }

    /// How its members copy, if they do.
    pub fn copies(&self) -> Option<CopyPlan> {
        if let Commits::Copies(plan) = self.commits { Some(plan) } else { None }
    }

    /// When the last member has done what it means to do.
    pub fn busy_until(&self) -> Duration {
        let acts = self.members.iter().flat_map(|member| &member.acts);
        acts.map(|(at, act)| *at + act.lasts()).max().unwrap_or_default()
    }

    /// Whether members of a classic group come back under their names, so that nobody joins anew.
    pub fn keeps_places(&self) -> bool {
        self.strategy != Strategy::Consumer
            && self.members.iter().any(|member| member.instance.is_some())
    }

    /// How long the group may take, once left alone, to become stable and to read on.
    pub fn settles(&self) -> Duration {
        let api = self.members.iter().map(|member| member.api_timeout).max();
        // A dead member's session, a rebalance that waits for one who does not come, and once more for what came late;
        // a user who waits for a commit before he looks after anything else.
        2 * self.session + 2 * self.max_poll_interval + 2 * api.unwrap_or_default()
    }
}

impl Act {
    pub(crate) fn lasts(self) -> Duration {
        match self {
            Self::Dawdle(lasts) | Self::Pause(lasts) => lasts,
            Self::Join | Self::Unsubscribe | Self::Close | Self::Abandon | Self::Rebalance => {
                Duration::ZERO
            }
        }
    }
}

fn member(
    rng: &mut Rng,
    n: usize,
    during: Duration,
    max_poll_interval: Duration,
    is_storm: bool,
) -> MemberPlan {
    let during_ms = u64::try_from(during.as_millis()).unwrap_or(u64::MAX).max(2);
    let mut acts = Vec::new();
    let mut at = if n == 0 { Duration::ZERO } else { ms(rng.u64(0..during_ms / 2)) };
    acts.push((at, Act::Join));
    let turns = if is_storm { rng.usize(3..10) } else { *pick(rng, &[0, 0, 1, 2]) };
    for _ in 0..turns {
        at += if is_storm { ms(rng.u64(50..500)) } else { ms(rng.u64(1..during_ms)) };
        let act = match rng.u32(0..8) {
            0 => Act::Close,
            1..=2 => Act::Abandon,
            3 => Act::Unsubscribe,
            4 | 5 => Act::Pause(ms(rng.u64(1..5_000))),
            // Around the limit: some come back just in time.
            _ => Act::Dawdle(max_poll_interval.mul_f64(*pick(rng, &[0.5, 1.0, 1.5]))),
        };
        acts.push((at, act));
        at += act.lasts();
        if matches!(act, Act::Close | Act::Abandon | Act::Unsubscribe) {
            if n > 0 && rng.u32(0..4) == 0 {
                break;
            }
            at += if is_storm { ms(rng.u64(50..500)) } else { ms(rng.u64(0..8_000)) };
            acts.push((at, Act::Join));
        }
    }
    MemberPlan {
        instance: None,
        max_poll_records: *pick(rng, &[1, 10, 500]),
        partition_bytes: *pick(rng, &[1, 1_000, 1 << 20]),
        api_timeout: ms(*pick(rng, &[2_000, 10_000, 20_000])),
        slow: ms(*pick(rng, &[1, 300, 1_500])),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A member that dies is not to be the last reader of a partition.
    #[test]
    fn the_first_member_stays() {
        for seed in 0..200 {
            let plan = GroupPlan::draw(&mut Rng::with_seed(seed), Duration::from_secs(20));
            let is_there =
                plan.members[0].acts.iter().fold(false, |is_there, (_, act)| match act {
                    Act::Join => true,
                    Act::Close | Act::Abandon | Act::Unsubscribe => false,
                    Act::Dawdle(_) | Act::Pause(_) | Act::Rebalance => is_there,
                });
            assert!(is_there, "seed {seed}: {:?}", plan.members[0].acts);
            let times: Vec<_> = plan.members[0].acts.iter().map(|(at, _)| *at).collect();
            assert!(times.is_sorted(), "seed {seed}: {times:?}");
        }
    }
}
