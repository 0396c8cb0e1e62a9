//! The shipped client, tasks and all, on tokio's paused clock: worlds drawn from a seed, judged as the others are.
//!
//! Writers and members of a group, each with a client of its own, in one thread; pipes that tear, delay and cut; brokers
//! that crash, stand still, refuse and lose. `SHIPPED_SEEDS=1000..2000` runs others than the usual ones.

mod network;
mod plan;
mod reader;
mod world;
mod writer;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use milena_sim::checker::check;
use milena_sim::history::{Outcome, Send};

/// Each is its own runtime: as many at a time as there are cores.
#[test]
fn worlds_of_the_shipped_client_hold_what_is_promised() {
    let seeds = seeds();
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.lock().unwrap().len() >= FAILURES_MAX {
                        break;
                    }
                    let why = match catch_unwind(AssertUnwindSafe(|| world::run(seed))) {
                        Ok(run) => {
                            check(&run.history, &run.promises).first().map(|v| v.to_string())
                        }
                        Err(_) => Some("it panicked".to_owned()),
                    };
                    failed.lock().unwrap().extend(why.map(|why| format!("seed {seed}: {why}")));
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "SHIPPED_SEEDS=n..n+1 repeats one:\n{}", failed.join("\n"));
}

/// What is drawn must happen: a harness in which nothing goes wrong proves nothing.
#[test]
fn worlds_of_the_shipped_client_are_the_same_each_time_and_have_faults() {
    let (mut reads, mut late, mut moves, mut commits) = (0, 0, 0, 0);
    for seed in 0..20 {
        let (first, second) = (world::run(seed), world::run(seed));
        assert_eq!(first.hash, second.hash, "two runs of seed {seed} differ");
        reads += first.history.reads.len();
        late += first.history.sends.iter().filter(|send| is_late(send)).count();
        moves += first.history.stays.len();
        commits += first.history.stored.len();
    }
    let seen = (reads, late, moves, commits);
    assert!(reads > 1_000 && late > 8 && moves > 60 && commits > 100, "{seen:?}");
}

/// Stored, and not at the first try.
fn is_late(send: &Send) -> bool {
    matches!(send.returned[..], [(at, Outcome::Done(_))] if at > send.invoked + LATE)
}

/// Longer than a batch lingers and a slow network takes.
const LATE: Duration = Duration::from_millis(500);

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("SHIPPED_SEEDS") else { return 0..1000 };
    let (from, to) = text.split_once("..").expect("from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// A few are enough to see a pattern.
const FAILURES_MAX: usize = 5;
