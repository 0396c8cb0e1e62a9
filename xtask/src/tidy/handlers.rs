//! Each API of the embedded broker says which versions it answers and how.

use super::Breach;
use super::sources::{Source, Sources};

/// One file per API key lives here.
const FOLDER: &str = "crates/broker/src/api/";

pub(super) fn check(sources: &Sources) -> Vec<Breach> {
    let handlers = sources.rust().filter(|source| {
        source.path.strip_prefix(FOLDER).is_some_and(|name| !name.contains('/') && name != "mod.rs")
    });
    let missing = handlers.filter(|source| !has_header(source)).map(|source| {
        let what =
            "needs a header: `//! Produce (key 0), versions 3-13.`, then behaviour and notes";
        Breach::new(&source.path, what)
    });
    missing.collect()
}

/// The key and the versions in the first line, behaviour and notes after it.
fn has_header(source: &Source) -> bool {
    let header: Vec<_> = source.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let first = header.first().copied().unwrap_or_default();
    let behaviour = header.iter().skip(1).any(|line| !line.trim().is_empty());
    first.contains("key ") && first.contains("version") && behaviour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_without_its_header_is_found() {
        let good = "//! Produce (key 0), versions 3-13.\n//!\n//! Appends.\n\nfn f() {}";
        let bare = "//! Appends.\n//!\n//! And more.\n";
        let short = "//! Fetch (key 1), versions 4-18.\n\nfn f() {}";
        let sources = Sources::of(&[
            ("crates/broker/src/api/produce.rs", good),
            ("crates/broker/src/api/heartbeat.rs", bare),
            ("crates/broker/src/api/fetch.rs", short),
            ("crates/broker/src/api/mod.rs", ""),
            ("crates/broker/src/log.rs", ""),
        ]);
        let places: Vec<_> = check(&sources).into_iter().map(|b| b.place).collect();
        assert_eq!(
            places,
            ["crates/broker/src/api/heartbeat.rs", "crates/broker/src/api/fetch.rs"]
        );
    }
}
