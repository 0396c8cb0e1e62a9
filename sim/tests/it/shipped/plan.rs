//! What a world is set up to do, drawn from its seed.

use std::time::Duration;

use fastrand::Rng;
use milena_broker::{FaultRule, on};
use milena_types::{ApiKey, ErrorCode, NodeId};

use super::network::Weather;

/// A world before it begins.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nodes: i32,
    pub(super) partitions: i32,
    pub(super) writers: Vec<WriterPlan>,
    pub(super) readers: Vec<ReaderPlan>,
    /// What the members of the group are set to.
    pub(super) group: Vec<(&'static str, String)>,
    pub(super) weather: Weather,
    /// What goes wrong, by time.
    pub(super) troubles: Vec<(Duration, Trouble)>,
}

#[derive(Debug)]
pub(super) struct WriterPlan {
    pub(super) records: usize,
    /// Between two records, at most.
    pub(super) pause_ms: u64,
    pub(super) flush_every: usize,
    pub(super) delivery_timeout: Duration,
    pub(super) settings: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(super) struct ReaderPlan {
    /// How long it is there, and away, each time until it stays.
    pub(super) stays: Vec<(Duration, Leave, Duration)>,
    pub(super) max_poll_records: u32,
    /// What it does with a batch, at most.
    pub(super) works_ms: u64,
}

/// How a member goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    Close,
    Drop,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Crash(NodeId, Duration),
    Pause(NodeId, Duration),
    Move(i32, NodeId),
    Rule(FaultRule),
}

/// Until when something goes wrong.
pub(super) const ROUGH: Duration = Duration::from_secs(15);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
pub(super) const MAX_BLOCK: Duration = Duration::from_secs(20);
pub(super) const BUFFER_BYTES: u64 = 40_000;

impl Plan {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let nodes = rng.i32(1..=3);
        let partitions = rng.i32(1..=4);
        let auto_commit = rng.bool();
        let mut group = vec![
            ("session.timeout.ms", "6000".to_owned()),
            ("heartbeat.interval.ms", "1000".to_owned()),
            ("enable.auto.commit", auto_commit.to_string()),
            ("auto.commit.interval.ms", rng.u32(200..3_000).to_string()),
        ];
        match rng.u8(0..3) {
            0 => group.push(("partition.assignment.strategy", "range".to_owned())),
            1 => group.push(("partition.assignment.strategy", "cooperative-sticky".to_owned())),
            _ => {
                group.drain(..2);
                group.push(("group.protocol", "consumer".to_owned()));
            }
        }
        let latency_ms = if rng.u8(0..4) == 0 { 1..30 } else { 0..rng.u64(1..4) };
        let piece_bytes = *rng.choice(&[4_096, 4_096, 700, 90]).unwrap();
        let breaks_after = rng.usize(2_000..20_000);
        Self {
            nodes,
            partitions,
            writers: (0..rng.usize(1..=2)).map(|_| writer(rng)).collect(),
            readers: (0..rng.usize(1..=3)).map(|_| reader(rng)).collect(),
            group,
            weather: Weather { latency_ms, piece_bytes, breaks_after },
            troubles: troubles(rng, nodes, partitions),
        }
    }
}

fn writer(rng: &mut Rng) -> WriterPlan {
    let delivery_timeout = Duration::from_secs(*rng.choice(&[4, 30, 120]).unwrap());
    let settings = vec![
        ("batch.size", (*rng.choice(&[1, 100, 1_000, 16_384]).unwrap()).to_string()),
        ("linger.ms", (*rng.choice(&[0, 5, 50]).unwrap()).to_string()),
        ("buffer.memory", BUFFER_BYTES.to_string()),
        ("max.block.ms", MAX_BLOCK.as_millis().to_string()),
        ("request.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string()),
        ("delivery.timeout.ms", delivery_timeout.as_millis().to_string()),
        ("compression.type", (*rng.choice(&["none", "lz4", "zstd"]).unwrap()).to_owned()),
        (
            "max.in.flight.requests.per.connection",
            (*rng.choice(&[5, 5, 2, 1]).unwrap()).to_string(),
        ),
    ];
    WriterPlan {
        records: rng.usize(20..100),
        pause_ms: *rng.choice(&[20, 120, 300]).unwrap(),
        flush_every: *rng.choice(&[0, 7, 30]).unwrap(),
        delivery_timeout,
        settings,
    }
}

fn reader(rng: &mut Rng) -> ReaderPlan {
    let stays = (0..rng.usize(0..=3)).map(|_| {
        let leave = if rng.bool() { Leave::Close } else { Leave::Drop };
        (millis(rng, 500..8_000), leave, millis(rng, 0..2_000))
    });
    ReaderPlan {
        stays: stays.collect(),
        max_poll_records: *rng.choice(&[1, 5, 500]).unwrap(),
        works_ms: *rng.choice(&[1, 20, 300]).unwrap(),
    }
}

fn troubles(rng: &mut Rng, nodes: i32, partitions: i32) -> Vec<(Duration, Trouble)> {
    let mut all: Vec<_> = (0..rng.usize(0..=8))
        .map(|_| {
            let node = NodeId::new(rng.i32(1..=nodes));
            let trouble = match rng.u8(0..7) {
                0 => Trouble::Crash(node, millis(rng, 100..4_000)),
                1 => Trouble::Pause(node, millis(rng, 100..4_000)),
                2 => Trouble::Move(rng.i32(0..partitions), node),
                _ => Trouble::Rule(rule(rng)),
            };
            (millis(rng, 0..12_000), trouble)
        })
        .collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

fn rule(rng: &mut Rng) -> FaultRule {
    let count = rng.u64(1..=3);
    if rng.bool() {
        let (api, code) = *rng.choice(&ERRORS).unwrap();
        return on(api).first(count).error(code);
    }
    let of = on(*rng.choice(&APIS).unwrap()).first(count);
    match rng.u8(0..9) {
        0 | 1 => of.apply_then_drop(),
        2 => of.drop_request(),
        3 => of.hang(),
        4 => of.apply_then_hang(),
        5 => of.delay_answer(millis(rng, 10..5_000)),
        6 => of.truncate(),
        7 => of.wrong_correlation(),
        _ => of.throttle(millis(rng, 10..2_000)),
    }
}

fn millis(rng: &mut Rng, of: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(of))
}

const APIS: [ApiKey; 12] = [
    ApiKey::PRODUCE,
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::METADATA,
    ApiKey::INIT_PRODUCER_ID,
    ApiKey::FIND_COORDINATOR,
    ApiKey::JOIN_GROUP,
    ApiKey::SYNC_GROUP,
    ApiKey::HEARTBEAT,
    ApiKey::OFFSET_COMMIT,
    ApiKey::OFFSET_FETCH,
    ApiKey::CONSUMER_GROUP_HEARTBEAT,
];

const ERRORS: [(ApiKey, ErrorCode); 12] = [
    (ApiKey::PRODUCE, ErrorCode::NOT_LEADER_OR_FOLLOWER),
    (ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS),
    (ApiKey::PRODUCE, ErrorCode::REQUEST_TIMED_OUT),
    (ApiKey::FETCH, ErrorCode::NOT_LEADER_OR_FOLLOWER),
    (ApiKey::FETCH, ErrorCode::FETCH_SESSION_ID_NOT_FOUND),
    (ApiKey::FIND_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE),
    (ApiKey::JOIN_GROUP, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
    (ApiKey::SYNC_GROUP, ErrorCode::REBALANCE_IN_PROGRESS),
    (ApiKey::HEARTBEAT, ErrorCode::UNKNOWN_MEMBER_ID),
    (ApiKey::CONSUMER_GROUP_HEARTBEAT, ErrorCode::NOT_COORDINATOR),
    (ApiKey::OFFSET_COMMIT, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
    (ApiKey::OFFSET_FETCH, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
];
