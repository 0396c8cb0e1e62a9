//! Runs scenarios on a target and tells how they went.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::Result;
use crate::target::Target;

/// One claim about a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// `module::claim`.
    pub(crate) name: &'static str,
    /// Whether a target can hold it.
    pub(crate) fits: fn(&Target) -> bool,
    /// Scenarios that break brokers or start JVMs run alone.
    pub(crate) alone: bool,
    /// The longest that it may take.
    pub(crate) limit: Duration,
    /// The claim itself.
    pub(crate) run: fn(Arc<Target>) -> Run,
}

/// A scenario under way.
pub(crate) type Run = Pin<Box<dyn Future<Output = Result> + Send>>;

/// Most scenarios end within a second; a broker that has just started may take a few.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Enough to keep a broker on two cores busy.
const AT_ONCE: usize = 4;

/// How many scenarios held and did not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]

pub(crate) struct Tally {
    /// Held.
    pub(crate) passed: usize,
    /// Did not hold.
    pub(crate) failed: usize,
}

impl Tally {
    /// Adds another target's.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Prints the scenarios that fit the target and whose name contains `filter`.
pub(crate) fn list(target: &Target, scenarios: &[Scenario], filter: &str) {
    let chosen = scenarios.iter().filter(|s| s.name.contains(filter) && (s.fits)(target));
    let names: Vec<&str> = chosen.map(|scenario| scenario.name).collect();
    names.iter().for_each(|name| println!("{name}"));
    println!("{} on {}", names.len(), target.choice());
}

/// Runs the scenarios that fit the target and whose name contains `filter`, and prints a line each.
pub(crate) async fn run(target: &Arc<Target>, scenarios: &[Scenario], filter: &str) -> Tally {
    let chosen = scenarios.iter().filter(|s| s.name.contains(filter) && (s.fits)(target));
    let (alone, together): (Vec<Scenario>, Vec<Scenario>) = chosen.partition(|s| s.alone);
    let mut tally = Tally::default();
    let mut running = JoinSet::new();
    for scenario in together {
        if running.len() == AT_ONCE {
            tally.add(next(&mut running).await);
        }
        running.spawn(one(Arc::clone(target), scenario));
    }
    while !running.is_empty() {
        tally.add(next(&mut running).await);
    }
    for scenario in alone {
        running.spawn(one(Arc::clone(target), scenario));
        tally.add(next(&mut running).await);
    }
    tally
}

async fn next(running: &mut JoinSet<bool>) -> Tally {
    match running.join_next().await {
        Some(Ok(true)) => Tally { passed: 1, failed: 0 },
        _ => Tally { passed: 0, failed: 1 },
    }
}

async fn one(target: Arc<Target>, scenario: Scenario) -> bool {
    let started = Instant::now();
    let choice = target.choice().to_string();
    // A task of its own, so that a panic fails this scenario only. Its message is printed by the
    // panic hook.
    let task = tokio::spawn(timeout(scenario.limit, (scenario.run)(target)));
    let outcome = match task.await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(e))) => Err(e.to_string()),
        Ok(Err(_)) => Err(format!("took longer than {:?}", scenario.limit)),
        Err(_) => Err("panicked".to_owned()),
    };
    let seconds = started.elapsed().as_secs_f64();
    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("{choice:<11} {verdict:<6} {seconds:>6.2} s  {}", scenario.name);
    if let Err(why) = &outcome {
        println!("            {} on {choice}: {why}", scenario.name);
    }
    outcome.is_ok()
}
