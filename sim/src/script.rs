//! Worlds on paper: what was drawn from a seed, written out, so that it is the same world whatever is drawn later.
//!
//! A script says who is in a world, what they mean to do and what strikes when, as JSON that can be edited by hand. A name
//! that nobody knows is an error: a script that lost half of its world proves nothing.

use milena_engine::producer::Acks;
use serde::{Deserialize, Serialize};
use serde_json::Error;

use crate::scenario::Scenario;

/// Writes a world down.
///
/// # Errors
/// None that a world is known to have.
pub fn write(scenario: &Scenario) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(scenario)?;
    text.push('\n');
    Ok(text)
}

/// Reads a world that was written down.
///
/// # Errors
/// Where the text is no world, as one of another version of these sources may be.
pub fn read(text: &str) -> Result<Scenario, Error> {
    serde_json::from_str(text)
}

/// How `acks` is written.
#[derive(Deserialize, Serialize)]
#[serde(remote = "Acks")]
pub(crate) enum OfAcks {
    None,
    Leader,
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Cast;
    use crate::world;

    const CASTS: [Cast; 4] = [Cast::Plain, Cast::Groups, Cast::Copies, Cast::Shares];

    /// What is lost on paper would be a smaller world that passes.
    #[test]
    fn a_world_is_read_as_it_was_written() {
        for seed in 0..100 {
            for cast in CASTS {
                let drawn = Scenario::draw(seed, cast);
                let script = write(&drawn).unwrap();
                let again = read(&script).unwrap();
                assert_eq!(format!("{again:?}"), format!("{drawn:?}"), "seed {seed} of {cast:?}");
                assert_eq!(write(&again).unwrap(), script);
            }
        }
    }

    #[test]
    fn a_world_from_a_script_runs_as_the_drawn_one() {
        let drawn = Scenario::draw(2, Cast::Groups);
        let again = read(&write(&drawn).unwrap()).unwrap();
        let hash = |world: &Scenario| world::run(world, false).trace_hash;
        assert_eq!(hash(&again), hash(&drawn));
    }

    #[test]
    fn a_script_with_a_name_that_nobody_knows_is_refused() {
        let script = write(&Scenario::draw(2, Cast::Groups)).unwrap();
        for name in ["nodes", "fetched_bytes", "latency", "at"] {
            let name = format!("\"{name}\":");
            assert!(script.contains(&name), "{name}");
            assert!(read(&script.replacen(&name, "\"knots\":", 1)).is_err(), "{name}");
        }
    }
}
