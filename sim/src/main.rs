//! Runs worlds: many seeds, or one of them again with a timed trace.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Duration;
use std::{fs, io, thread};

use clap::{Args, Parser, Subcommand};
use milena_sim::group::Strategy;
use milena_sim::history::{self, Send};
use milena_sim::ledger::{Ledger, Soak};
use milena_sim::scenario::{Cast, Scenario};
use milena_sim::shrink::shrink;
use milena_sim::worlds::{self, Drawn, Tally};
use milena_sim::{Stopwatch, day, script, world};

/// Seeds that failed once; they run every time.
const REGRESSIONS: &str = include_str!("../regressions");
/// How often a long run says how far it came.
const SAYS_EVERY: Duration = Duration::from_secs(30);
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
    /// Run seeds that were never run, with groups, for a time or up to a number, and add a row to the ledger.
    Soak(SoakArgs),
    /// Run one world, of a seed or of a script, and print what happened when.
    Replay(ReplayArgs),
    /// Run a day of a group whose members come and go: one group of each kind.
    Day {
        /// Where its chances come from.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

/// Who else is in the worlds.
#[derive(Args, Clone, Copy)]
struct With {
    /// Also draw groups, and the faults that came with them.
    #[arg(long)]
    with_groups: bool,
    /// Draw a share group for each world, and its faults.
    #[arg(long, conflicts_with = "with_groups")]
    with_shares: bool,
    /// Draw a group for each world whose members copy what they read in transactions, and its faults.
    #[arg(long, conflicts_with_all = ["with_groups", "with_shares"])]
    with_copies: bool,
}

impl With {
    fn cast(self) -> Cast {
        match self {
            Self { with_copies: true, .. } => Cast::Copies,
            Self { with_shares: true, .. } => Cast::Shares,
            Self { with_groups: true, .. } => Cast::Groups,
            Self { .. } => Cast::Plain,
        }
    }
}

#[derive(Args)]
struct ReplayArgs {
    /// The seed.
    #[arg(long, required_unless_present = "script")]
    seed: Option<u64>,
    /// A world on paper, as `--save` writes it.
    #[arg(long, conflicts_with_all = ["seed", "with_groups", "with_shares", "with_copies"])]
    script: Option<PathBuf>,
    /// First make the world as small as it still fails.
    #[arg(long)]
    shrink: bool,
    /// Write the world into this file, when it is as small as it is to be.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Only the verdict.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    with: With,
}

impl ReplayArgs {
    /// The world to run.
    fn scenario(&self) -> io::Result<Scenario> {
        match &self.script {
            Some(path) => Ok(script::read(&fs::read_to_string(path)?)?),
            None => Ok(Scenario::draw(self.seed.unwrap_or_default(), self.with.cast())),
        }
    }
}

#[derive(Args)]
struct SoakArgs {
    /// For how long.
    #[arg(long, required_unless_present = "count")]
    minutes: Option<u64>,
    /// How many.
    #[arg(long)]
    count: Option<u64>,
    /// Worlds at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Which sources these are; what git says of the folder, unless it is given.
    #[arg(long)]
    commit: Option<String>,
    /// The page that the row is added to.
    #[arg(long, default_value = "docs/soak-ledger.md")]
    ledger: PathBuf,
}

fn main() -> ExitCode {
    let is_good = match Cli::parse().command {
        Command::Seeds { from, count, jobs, failures, fresh, with } => {
            let known = REGRESSIONS.lines().filter(|_| !fresh).filter_map(known_world);
            let cast = with.cast();
            let drawn = (from..from.saturating_add(count)).map(|seed| Drawn { seed, cast });
            seeds(&known.chain(drawn).collect::<Vec<_>>(), jobs, failures)
        }
        Command::Soak(args) => soak(&args).unwrap_or_else(|error| {
            eprintln!("{}: {error}", args.ledger.display());
            false
        }),
        Command::Replay(args) => replay(&args).unwrap_or_else(|error| {
            eprintln!("{error}");
            false
        }),
        Command::Day { seed } => days(seed),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A line of the regressions: the seed, who else its world has, and what it was.
fn known_world(line: &str) -> Option<Drawn> {
    let (seed, rest) = line.split_once(' ')?;
    let cast = match rest.split_once(' ').map(|(first, _)| first) {
        Some("with-groups") => Cast::Groups,
        Some("with-copies") => Cast::Copies,
        Some("with-shares") => Cast::Shares,
        _ => Cast::Plain,
    };
    Some(Drawn { seed: seed.parse().ok()?, cast })
}

fn seeds(all: &[Drawn], jobs: usize, failures: usize) -> bool {
    let mut progress = Progress::of(Some(all.len() as u64));
    let tally = worlds::run(all.iter().copied(), jobs, |tally| {
        progress.note(tally);
        tally.failed.len() < failures
    });
    conclude(&tally)
}

/// Runs worlds that nobody ran, and writes the row again whenever it says how far it came: who is killed leaves it.
fn soak(args: &SoakArgs) -> io::Result<bool> {
    let ledger = match fs::read_to_string(&args.ledger) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ledger::new(""),
        text => Ledger::new(&text?),
    };
    let from = ledger.next_seed();
    let commit = args.commit.clone().unwrap_or_else(commit);
    let write = |tally: &Tally| {
        fs::write(&args.ledger, ledger.with(&Soak { commit: &commit, from, tally }))
    };
    let watch = Stopwatch::start();
    let limit = args.minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let mut progress = Progress::of(args.count);
    let mut written = Ok(());
    let to = args.count.map_or(u64::MAX, |count| from.saturating_add(count));
    let drawn = (from..to).map(|seed| Drawn { seed, cast: Cast::Groups });
    let tally = worlds::run(drawn, args.jobs, |tally| {
        if progress.note(tally) {
            written = write(tally);
        }
        written.is_ok() && limit.is_none_or(|limit| watch.elapsed() < limit)
    });
    written?;
    write(&tally)?;
    let all = ledger.worlds() + tally.worlds;
    println!("{} has {all} worlds", args.ledger.display());
    Ok(conclude(&tally))
}

/// What git calls the sources in the folder that this runs in.
fn commit() -> String {
    let mut git = process::Command::new("git");
    let said = git.args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]).output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// Says how far a run came, and at once what failed.
struct Progress {
    watch: Stopwatch,
    said: Duration,
    failed: usize,
    of: Option<u64>,
}

impl Progress {
    fn of(of: Option<u64>) -> Self {
        Self { watch: Stopwatch::start(), said: Duration::ZERO, failed: 0, of }
    }

    /// Whether it said something.
    fn note(&mut self, tally: &Tally) -> bool {
        let failed = tally.failed.get(self.failed..).unwrap_or_default();
        for (drawn, why) in failed {
            println!("seed {}: {why}", drawn.seed);
            println!(
                "  replay: cargo run --profile sim -p milena-sim -- replay --shrink --seed {}{}",
                drawn.seed,
                match drawn.cast {
                    Cast::Plain => "",
                    Cast::Groups => " --with-groups",
                    Cast::Copies => " --with-copies",
                    Cast::Shares => " --with-shares",
                }
            );
        }
        self.failed += failed.len();
        let elapsed = self.watch.elapsed();
        let is_due = elapsed - self.said >= SAYS_EVERY;
        if is_due {
            self.said = elapsed;
            let of = self.of.map(|of| format!(" of {of}")).unwrap_or_default();
            eprintln!("{}{of} worlds, {} failed", tally.worlds, tally.failed.len());
        }
        is_due || !failed.is_empty()
    }
}

fn conclude(tally: &Tally) -> bool {
    let failed = tally.failed.len() as u64;
    println!("{} worlds, {:.1} simulated hours", tally.worlds, tally.hours());
    println!("{} passed, {failed} failed", tally.worlds - failed);
    failed == 0
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

fn replay(args: &ReplayArgs) -> io::Result<bool> {
    let is_quiet = args.quiet;
    let mut scenario = args.scenario()?;
    if args.shrink
        && let Some(found) = world::run(&scenario, false).violations.first()
    {
        scenario = shrink(&scenario, found.property, SHRINK_RUNS);
    }
    if let Some(path) = &args.save {
        fs::write(path, script::write(&scenario)?)?;
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
    Ok(outcome.violations.is_empty())
}
