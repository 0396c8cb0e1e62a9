//! Input: two bytes for the seed of a world and one for who is in it, then four for each strike: what, when, and two that
//! all else about it is drawn from.

use milena_sim::fault::Strike;
use milena_sim::scenario::{Cast, Scenario};
use milena_sim::world;

/// Whatever strikes and when, a simulated world of brokers and clients keeps what simulation holds all worlds to.
pub(crate) fn run(data: &[u8]) {
    let Some(([high, low, who], script)) = data.split_first_chunk() else { return };
    let seed = u64::from(u16::from_be_bytes([*high, *low]));
    let cast = if who % 2 == 0 { Cast::Plain } else { Cast::Groups };
    let strikes = script.chunks_exact(STRIKE_BYTES).take(STRIKES_MAX);
    let strikes = strikes.filter_map(|bytes| {
        let [kind, at, parts @ ..] = bytes.first_chunk::<STRIKE_BYTES>()?;
        Some(Strike { kind: *kind, at: *at, parts: u16::from_be_bytes(*parts) })
    });
    let strikes: Vec<Strike> = strikes.collect();
    let scenario = Scenario::scripted(seed, cast, &strikes);
    let outcome = world::run(&scenario, false);
    if let Some(violation) = outcome.violations.first() {
        panic!("{violation}\n{scenario}");
    }
    if *who >= TWICE {
        let again = world::run(&scenario, false);
        assert_eq!(again.trace_hash, outcome.trace_hash, "two runs differ\n{scenario}");
    }
}

const STRIKE_BYTES: usize = 4;

/// As many as a world draws.
const STRIKES_MAX: usize = 12;

/// From here on a world is run twice, and must be the same to the byte.
const TWICE: u8 = 0xf0;
