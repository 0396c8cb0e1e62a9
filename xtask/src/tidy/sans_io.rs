//! No clock, socket, task or global randomness where a seed must decide everything.

use super::Breach;
use super::sources::Sources;

/// Folders that must replay from a seed.
const SANS_IO: [&str; 5] = [
    "crates/types/src/",
    "crates/wire/src/",
    "crates/records/src/",
    "crates/engine/src/",
    "crates/broker/src/",
];

/// Where the broker meets the world: its shells drive the machine on tokio.
const SHELLS: [&str; 2] = ["crates/broker/src/shell/", "crates/broker/src/shell.rs"];

/// Simulation has its own clock; its program reads and writes files.
const SIMULATED: &str = "sim/src/";

/// The origin of virtual time: an `Instant` can only be had from the machine's clock.
const ORIGIN: &str = "sim/src/clock.rs";

const CLOCKS: [&str; 7] = [
    "Instant::now",
    "SystemTime::now",
    "SystemTime::UNIX_EPOCH.elapsed",
    "thread::sleep",
    "fastrand::Rng::new",
    "rand::rng",
    "thread_rng",
];

const WORLD: [&str; 5] = ["tokio", "async_std", "std::net", "std::fs", "std::process"];

pub(super) fn check(sources: &Sources) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources.rust() {
        let path = source.path.as_str();
        let sans_io = SANS_IO.iter().any(|folder| path.starts_with(folder))
            && !SHELLS.iter().any(|shell| path.starts_with(shell));
        // Tests have to begin somewhere in time, and may read golden files.
        if source.is_test() || path == ORIGIN {
            continue;
        }
        let clockless = sans_io || path.starts_with(SIMULATED);
        for (line, code) in source.shipped_code() {
            let place = || format!("{path}:{line}");
            if let Some(word) = CLOCKS.iter().find(|word| clockless && code.contains(*word)) {
                breaches.push(Breach::new(place(), format!("{word}: take it as an argument")));
            }
            if let Some(word) = WORLD.iter().find(|w| sans_io && names(code, w)) {
                breaches.push(Breach::new(place(), format!("{word} in a crate without IO")));
            }
        }
    }
    breaches
}

/// Whether the code names the path `word`, not merely a longer word that contains it.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].trim_start();
        !before.is_some_and(part) && (after.starts_with("::") || after.starts_with(';'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(path: &str, text: &str) -> usize {
        check(&Sources::of(&[(path, text)])).len()
    }

    #[test]
    fn a_clock_is_found_in_engine_broker_and_sim() {
        for path in ["crates/engine/src/a.rs", "crates/broker/src/a.rs", "sim/src/world.rs"] {
            assert_eq!(places(path, "let t = Instant::now();"), 1, "{path}");
        }
        assert_eq!(places("crates/client/src/a.rs", "let t = Instant::now();"), 0);
        assert_eq!(places("crates/engine/src/a.rs", "// never Instant::now()"), 0);
        let tested = "fn a() {}\n#[cfg(test)]\nmod tests { Instant::now() }";
        assert_eq!(places("crates/engine/src/a.rs", tested), 0);
    }

    #[test]
    fn tokio_is_found_in_engine_and_allowed_in_a_shell() {
        assert_eq!(places("crates/engine/src/a.rs", "use tokio::sync::Notify;"), 1);
        assert_eq!(places("crates/broker/src/cluster.rs", "tokio::spawn(x);"), 1);
        assert_eq!(places("crates/broker/src/shell/tcp.rs", "use tokio::net::TcpListener;"), 0);
        assert_eq!(places("sim/src/shipped.rs", "use tokio::task;"), 0);
    }
}
