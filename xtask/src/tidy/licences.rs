//! Every dependency may be used under one of the licences we accept.

use super::Breach;
use super::sources::Sources;
use crate::cargo::Graph;

/// `deny.toml` allows the same ones.
const ACCEPTED: [&str; 11] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "CDLA-Permissive-2.0",
];

pub(super) fn check(graph: &Graph, sources: &Sources) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for package in graph.foreign() {
        let licence = package.license.as_deref().unwrap_or("none");
        if !is_accepted(licence) {
            let place = format!("{} {}", package.name, package.version);
            breaches.push(Breach::new(place, format!("has the licence {licence}")));
        }
    }
    let deny = sources.at("deny.toml").map_or("", |source| source.text.as_str());
    for licence in ACCEPTED.iter().filter(|licence| !deny.contains(&format!("\"{licence}\""))) {
        breaches.push(Breach::new("deny.toml", format!("does not allow {licence}")));
    }
    breaches
}

/// Whether an SPDX expression can be met: `OR` needs one side, `AND` both, parentheses group.
///
/// Old manifests write `/` for `OR`.
fn is_accepted(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut met = all_of(rest);
    while let Some((&"OR", after)) = rest.split_first() {
        *rest = after;
        // Not `||`: the right side has to be read in any case.
        met |= all_of(rest);
    }
    met
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut met = one(rest);
    while let Some((&"AND", after)) = rest.split_first() {
        *rest = after;
        met &= one(rest);
    }
    met
}

fn one(rest: &mut &[&str]) -> bool {
    let Some((&word, after)) = rest.split_first() else { return false };
    *rest = after;
    if word == "(" {
        let met = any_of(rest);
        let closed = rest.split_first().is_some_and(|(&word, _)| word == ")");
        *rest = rest.get(1..).unwrap_or_default();
        return met && closed;
    }
    if let [with @ "WITH", exception, after @ ..] = *rest {
        *rest = after;
        return ACCEPTED.contains(&format!("{word} {with} {exception}").as_str());
    }
    ACCEPTED.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "Unlicense/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(is_accepted(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "none", "", "(MIT", "MPL-2.0", "MIT Apache-2.0"] {
            assert!(!is_accepted(bad), "{bad}");
        }
    }
}
