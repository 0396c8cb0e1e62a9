//! A day in the life of a group: members come and go all day long, and every few minutes something fails.

use std::time::Duration;

use fastrand::Rng;
use milena_engine::producer::Acks;

use crate::fault::{Api, Fault, OF_MEMBERS, Timed};
use crate::group::{Act, Commits, GroupPlan, MemberPlan, Strategy};
use crate::network::Weather;
use crate::scenario::{ProducerPlan, Scenario};

/// Members that the day begins with; the first one is there at its end.
const MEMBERS: usize = 5;
const PRODUCERS: usize = 2;
const NODES: i32 = 3;
const PARTITIONS: i32 = 12;
/// What each producer sends over the day.
const RECORDS: usize = 3_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The day of a seed, for a group of this kind; its members have names of their own (`group.instance.id`) or not.
pub fn day(seed: u64, strategy: Strategy, is_static: bool) -> Scenario {
    let mut rng = Rng::with_seed(seed);
    let session = Duration::from_secs(30);
    let max_poll_interval = Duration::from_secs(60);
    let mut members: Vec<_> =
        (0..MEMBERS).map(|n| member(&mut rng, n, max_poll_interval)).collect();
    for (n, member) in members.iter_mut().enumerate().filter(|_| is_static) {
        member.instance = Some(format!("i{n}"));
    }
    let commits = match strategy {
        Strategy::Range | Strategy::RoundRobin | Strategy::Sticky => {
            Commits::Auto(Duration::from_secs(5))
        }
        Strategy::Cooperative => Commits::Sync,
        Strategy::Consumer => Commits::Marked,
    };
    let group = GroupPlan {
        session,
        heartbeat: session / 3,
        max_poll_interval,
        metadata_max_age: Duration::from_secs(300),
        // An idle day is long: who asks twice a second does nothing else.
        fetch_max_wait: Duration::from_secs(20),
        strategy,
        commits,
        members,
    };
    let mut scenario = Scenario {
        seed,
        nodes: NODES,
        partitions: PARTITIONS,
        idempotent: true,
        first_sequence: 0,
        acks: Acks::All,
        message_bytes_max: None,
        transaction_version: 2,
        read_committed: false,
        producers: vec![producer(); PRODUCERS],
        consumers: Vec::new(),
        group: Some(group),
        share: None,
        metadata_max_age: None,
        fetched_bytes: None,
        shuffles_aborted: false,
        weather: Weather {
            latency: (Duration::from_micros(50), Duration::from_millis(5)),
            segment_bytes: 1_400,
        },
        faults: faults(&mut rng),
    };
    scenario.settle_what_static_members_leave();
    scenario
}

fn producer() -> ProducerPlan {
    ProducerPlan {
        records: RECORDS,
        over: DAY,
        value_bytes_max: 100,
        flush_every: 50,
        linger: Duration::from_millis(5),
        batch_bytes: 16_384,
        buffer_bytes: 1 << 20,
        request_timeout: Duration::from_secs(30),
        delivery_timeout: Duration::from_secs(120),
        max_block: Duration::from_secs(60),
        in_flight: 5,
        idle: Duration::ZERO,
        transaction: None,
        compressed: false,
    }
}

fn member(rng: &mut Rng, n: usize, max_poll_interval: Duration) -> MemberPlan {
    let mut at = if n == 0 { Duration::ZERO } else { seconds(rng, 1..600) };
    let mut acts = vec![(at, Act::Join)];
    while at < DAY {
        at += seconds(rng, 30..3_000);
        let act = match rng.u32(0..10) {
            0..=2 => Act::Close,
            3 | 4 => Act::Abandon,
            5 => Act::Unsubscribe,
            6 => Act::Rebalance,
            7 => Act::Pause(seconds(rng, 1..60)),
            _ => Act::Dawdle(
                max_poll_interval.mul_f64(*rng.choice(&[0.5, 1.0, 1.5]).unwrap_or(&1.0)),
            ),
        };
        acts.push((at, act));
        at += act.lasts();
        if matches!(act, Act::Close | Act::Abandon | Act::Unsubscribe) {
            at += seconds(rng, 1..600);
            acts.push((at, Act::Join));
        }
    }
    MemberPlan {
        instance: None,
        max_poll_records: 500,
        partition_bytes: 1 << 20,
        api_timeout: Duration::from_secs(20),
        slow: Duration::from_millis(1_500),
        acts,
    }
}

/// Only what excuses the world from nothing.
fn faults(rng: &mut Rng) -> Vec<Timed> {
    let mut all = Vec::new();
    let mut at = seconds(rng, 60..1_800);
    while at < DAY {
        let node = rng.i32(1..=NODES);
        let client = PRODUCERS + rng.usize(0..MEMBERS);
        let lasts = seconds(rng, 1..90);
        let api = *rng.choice(&OF_MEMBERS).unwrap_or(&Api::JoinGroup);
        let fault = match rng.u32(0..10) {
            0 => Fault::MoveGroups,
            1 => Fault::MoveLeader { partition: rng.i32(0..PARTITIONS) },
            2 => Fault::Reset { node },
            3 => Fault::Die { client, lasts },
            4 => Fault::Freeze { client, lasts },
            5 => Fault::Crash { node, lasts },
            6 => Fault::Silence { client, node, from_broker: rng.bool(), lasts },
            7 => Fault::ApplyThenDrop { api, count: 1 },
            8 => Fault::Hang { api, count: 1 },
            _ => Fault::Reap { node },
        };
        all.push(Timed { at, fault });
        at += seconds(rng, 60..1_800);
    }
    all
}

fn seconds(rng: &mut Rng, of: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(of.start * 1_000..of.end * 1_000))
}
