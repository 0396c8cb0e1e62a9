//! Runs worlds: many seeds, or one of them again with a timed trace.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Parser, Subcommand};
use milena_sim::group::Strategy;
use milena_sim::history::{self, Send};
use milena_sim::scenario::{Cast, Scenario};
use milena_sim::shrink::shrink;
use milena_sim::{day, world};

/// Seeds that failed once; they run every time.
const REGRESSIONS: &str = include_str!("../regressions");
/// One run in so many is done twice, and must be the same to the byte.
const TWICE: u64 = 20;
/// Runs that a failing world may cost while it is made small.
const SHRINK_RUNS: usize = 400;

#[derive(Parser)]
#[command(name = "milena-sim", about = "Simulated worlds of clients, network and brokers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run seeds in a row, after those that failed once.
    Seeds {
        /// The first one.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 5_000)]
        count: u64,
        /// Worlds at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// How many may fail before the rest is left: a few are enough to see a pattern.
        #[arg(long, default_value_t = 5)]
        failures: usize,
        /// Leave out those that failed once.
        #[arg(long)]
        fresh: bool,
        #[command(flatten)]
        with: With,
    },
    /// Run one seed, and print what happened when.
    Replay {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// First make the world as small as it still fails.
        #[arg(long)]
        shrink: bool,
        /// Only the verdict.
        #[arg(long)]
        quiet: bool,
        #[command(flatten)]
        with: With,
    },
    /// Run a day of a group whose members come and go: one group of each kind.
    Day {
        /// Where its chances come from.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

/// Who else is in the worlds.
#[derive(clap::Args, Clone, Copy)]
struct With {
    /// Also draw groups, and the faults that came with them.
    #[arg(long)]
    with_groups: bool,
    /// Draw a share group for each world, and its faults.
    #[arg(long, conflicts_with = "with_groups")]
    with_shares: bool,
}

impl With {
    fn cast(self) -> Cast {
        match self {
            Self { with_shares: true, .. } => Cast::Shares,
            Self { with_groups: true, .. } => Cast::Groups,
            Self { .. } => Cast::Plain,
        }
    }
}

fn main() -> ExitCode {
    let is_good = match Cli::parse().command {
        Command::Seeds { from, count, jobs, failures, fresh, with } => {
            let known = REGRESSIONS.lines().filter(|_| !fresh).filter_map(known_world);
            let drawn = (from..from.saturating_add(count)).map(|seed| (seed, with.cast()));
            run_all(&known.chain(drawn).collect::<Vec<_>>(), jobs.max(1), failures)
        }
        Command::Replay { seed, shrink, quiet, with } => replay(seed, shrink, quiet, with.cast()),
        Command::Day { seed } => days(seed),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A line of the regressions: the seed, who else its world has, and what it was.
fn known_world(line: &str) -> Option<(u64, Cast)> {
    let (seed, rest) = line.split_once(' ')?;
    let cast = match rest.split_once(' ').map(|(first, _)| first) {
        Some("with-groups") => Cast::Groups,
        Some("with-shares") => Cast::Shares,
        _ => Cast::Plain,
    };
    Some((seed.parse().ok()?, cast))
}

fn run_all(all: &[(u64, Cast)], jobs: usize, failures: usize) -> bool {
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let simulated = Mutex::new(Duration::ZERO);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(world) = usize::try_from(n).ok().and_then(|n| all.get(n)) else {
                        break;
                    };
                    let outcome = one(world.0, world.1);
                    let mut failed = failed.lock().unwrap_or_else(|e| e.into_inner());
                    *simulated.lock().unwrap_or_else(|e| e.into_inner()) += outcome.0;
                    if let Some(why) = outcome.1 {
                        failed.push((*world, why));
                        is_over.store(failed.len() >= failures, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    let simulated = simulated.into_inner().unwrap_or_default();
    for ((seed, cast), why) in &failed {
        println!("seed {seed}: {why}");
        println!(
            "  replay: cargo run --profile sim -p milena-sim -- replay --shrink --seed {seed}{}",
            match cast {
                Cast::Plain => "",
                Cast::Groups => " --with-groups",
                Cast::Shares => " --with-shares",
            }
        );
    }
    let runs = next.into_inner().min(all.len() as u64);
    println!("{runs} worlds, {:.1} simulated hours", simulated.as_secs_f64() / 3600.0);
    println!("{} passed, {} failed", runs - failed.len() as u64, failed.len());
    failed.is_empty()
}

/// How long the world lasted, and what was wrong with it.
fn one(seed: u64, cast: Cast) -> (Duration, Option<String>) {
    let scenario = Scenario::draw(seed, cast);
    // A panic is a failure like others: it must not hide which seed it was.
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| world::run(&scenario, false))) else {
        return (Duration::ZERO, Some("it panicked".into()));
    };
    if let Some(violation) = outcome.violations.first() {
        return (outcome.lasted, Some(violation.to_string()));
    }
    if seed.is_multiple_of(TWICE) && world::run(&scenario, false).trace_hash != outcome.trace_hash {
        return (outcome.lasted, Some("two runs of it differ".into()));
    }
    (outcome.lasted, None)
}

/// A day of each kind of group, with members that have names of their own and without.
fn days(seed: u64) -> bool {
    let strategies = [Strategy::Range, Strategy::Cooperative, Strategy::Consumer];
    let all = strategies.map(|strategy| {
        thread::spawn(move || [false, true].map(|is_static| one_day(seed, strategy, is_static)))
    });
    // Who panicked has said why.
    all.map(|days| days.join().is_ok_and(|days| days == [true, true])) == [true; 3]
}

fn one_day(seed: u64, strategy: Strategy, is_static: bool) -> bool {
    let scenario = day::day(seed, strategy, is_static);
    let outcome = world::run(&scenario, false);
    let history = &outcome.history;
    let is_done = |send: &&Send| {
        send.returned.iter().any(|(_, outcome)| matches!(outcome, history::Outcome::Done(_)))
    };
    let acknowledged = history.sends.iter().filter(is_done).count();
    println!(
        "{strategy:?}{}: {:.1} hours, {} faults, {} stays of a partition with a member, {acknowledged} records \
         acknowledged, {} handed out, {}",
        if is_static { ", static" } else { "" },
        outcome.lasted.as_secs_f64() / 3600.0,
        scenario.faults.len(),
        history.stays.len(),
        history.reads.len(),
        if outcome.violations.is_empty() { "all in order" } else { "FAILED" },
    );
    for violation in &outcome.violations {
        println!("  {violation}");
    }
    outcome.violations.is_empty() && acknowledged > 0
}

fn replay(seed: u64, is_shrunk: bool, is_quiet: bool, cast: Cast) -> bool {
    let mut scenario = Scenario::draw(seed, cast);
    if is_shrunk && let Some(found) = world::run(&scenario, false).violations.first() {
        scenario = shrink(&scenario, found.property, SHRINK_RUNS);
    }
    println!("{scenario}");
    let outcome = world::run(&scenario, !is_quiet);
    if !is_quiet {
        for read in &outcome.history.reads {
            let at = read.at.as_secs_f64();
            println!(
                "{at:>12.6}s consumer {} reading {} got {}@{} {:?}",
                read.consumer, read.assignment, read.from, read.offset, read.value
            );
        }
        for (at, error) in &outcome.history.surfaced {
            println!("{:>12.6}s told {error}", at.as_secs_f64());
        }
    }
    let (sends, reads) = (outcome.history.sends.len(), outcome.history.reads.len());
    let logs: Vec<String> =
        outcome.history.logs().map(|(tp, log)| format!("{tp}: {}", log.len())).collect();
    println!("{sends} sends, {reads} reads, records in {}", logs.join(", "));
    println!("lasted {:?}, trace {:016x}", outcome.lasted, outcome.trace_hash);
    for violation in &outcome.violations {
        println!("{violation}");
    }
    outcome.violations.is_empty()
}
