//! Many worlds, one after the other, on several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::scenario::{Cast, Scenario};
use crate::world;

/// Which world it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drawn {
    /// The seed that it is drawn from.
    pub seed: u64,
    /// Who else is in it.
    pub cast: Cast,
}

/// What came of the worlds so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many were run.
    pub worlds: u64,
    /// How long they lasted, in their own time.
    pub simulated: Duration,
    /// What happened in them: all that the network brought to anybody.
    pub events: u64,
    /// Those that failed, and how.
    pub failed: Vec<(Drawn, String)>,
}

impl Tally {
    /// The hours that the worlds lasted.
    pub fn hours(&self) -> f64 {
        self.simulated.as_secs_f64() / 3600.0
    }
}

/// Runs `worlds`, `jobs` at a time, until there is none left or `goes_on`, which is asked after each of them, says no.
///
/// What was begun is ended: the tally counts the first worlds without a gap.
pub fn run(
    worlds: impl Iterator<Item = Drawn> + Send,
    jobs: usize,
    goes_on: impl FnMut(&Tally) -> bool + Send,
) -> Tally {
    let shared = Mutex::new(Shared { worlds, goes_on, is_over: false, tally: Tally::default() });
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    // A statement of its own: as the loop's condition it would hold the lock through the loop.
                    let next = lock(&shared).next();
                    let Some(drawn) = next else { break };
                    let one = one(drawn);
                    lock(&shared).note(drawn, one);
                }
            });
        }
    });
    shared.into_inner().unwrap_or_else(|e| e.into_inner()).tally
}

struct Shared<W, G> {
    worlds: W,
    goes_on: G,
    is_over: bool,
    tally: Tally,
}

impl<W: Iterator<Item = Drawn>, G: FnMut(&Tally) -> bool> Shared<W, G> {
    fn next(&mut self) -> Option<Drawn> {
        if self.is_over { None } else { self.worlds.next() }
    }

    fn note(&mut self, drawn: Drawn, one: One) {
        self.tally.worlds += 1;
        self.tally.simulated += one.lasted;
        self.tally.events += one.events;
        self.tally.failed.extend(one.why.map(|why| (drawn, why)));
        self.is_over |= !(self.goes_on)(&self.tally);
    }
}

/// What came of one world.
#[derive(Default)]
struct One {
    lasted: Duration,
    events: u64,
    /// What was wrong with it.
    why: Option<String>,
}

fn one(drawn: Drawn) -> One {
    let scenario = Scenario::draw(drawn.seed, drawn.cast);
    // A panic is a failure like others: it must not hide which seed it was.
    let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| world::run(&scenario, false))) else {
        return One { why: Some("it panicked".to_owned()), ..One::default() };
    };
    let mut why = outcome.violations.first().map(ToString::to_string);
    if why.is_none()
        && drawn.seed.is_multiple_of(TWICE)
        && world::run(&scenario, false).trace_hash != outcome.trace_hash
    {
        why = Some("two runs of it differ".to_owned());
    }
    One { lasted: outcome.lasted, events: outcome.events, why }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(|e| e.into_inner())
}

/// One run in so many is done twice, and must be the same to the byte.
const TWICE: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Drawn {
        Drawn { seed, cast: Cast::Plain }
    }

    #[test]
    fn who_is_told_to_stop_has_run_the_first_worlds_without_a_gap() {
        let mut seen = Vec::new();
        let tally = run((0..100).map(drawn), 2, |tally| {
            seen.push(tally.worlds);
            tally.worlds < 3
        });
        // The other thread may be in the midst of one.
        assert!((3..=4).contains(&tally.worlds), "{} worlds", tally.worlds);
        assert_eq!(seen, (1..=tally.worlds).collect::<Vec<_>>());
        assert!(tally.simulated > Duration::ZERO && tally.events > 100, "{tally:?}");
        assert_eq!(tally.failed, []);
    }

    #[test]
    fn worlds_end_where_there_are_no_more() {
        assert_eq!(run((0..2).map(drawn), 2, |_| true).worlds, 2);
    }
}
