//! Where two answers differ, and which of that is allowed.

use std::collections::BTreeSet;

use super::fields::Field;

/// One exchange of the script, as one side answered it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The request: `Metadata v12 of an unknown topic`.
    pub(crate) request: String,
    /// The answer's leaves.
    pub(crate) fields: Vec<Field>,
}

/// A difference that is meant, with the reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// Start of the request, as `Metadata v1`; empty for any.
    pub(crate) request: &'static str,
    /// The path, with `[*]` for any item; a trailing `*` takes all below.
    pub(crate) path: &'static str,
    /// Why the two sides may differ here.
    pub(crate) reason: &'static str,
}

/// A field that differs and must not.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Difference {
    pub(crate) request: String,
    pub(crate) path: String,
    pub(crate) ours: Option<String>,
    pub(crate) theirs: Option<String>,
}

/// A record set is longer than anyone reads.
const SHOWN_MAX: usize = 200;

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { request, path, ours, theirs } = self;
        let shown = |value: &Option<String>| -> String {
            value.as_deref().unwrap_or("-").chars().take(SHOWN_MAX).collect()
        };
        write!(f, "{request}: {path}: ours {}, theirs {}", shown(ours), shown(theirs))
    }
}

/// Every difference that is not allowed; and allowances that nothing needed.
pub(crate) fn differences(
    ours: &[Exchange],
    theirs: &[Exchange],
    allowed: &[&'static Allowed],
) -> (Vec<Difference>, Vec<&'static Allowed>) {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.request, theirs.request, "the script is the same for both");
        let paths: BTreeSet<_> =
            ours.fields.iter().chain(&theirs.fields).map(|field| &field.path).collect();
        for path in paths {
            let value = |side: &Exchange| {
                side.fields.iter().find(|f| f.path == *path).map(|f| f.value.clone())
            };
            let (ours_value, theirs_value) = (value(ours), value(theirs));
            if ours_value == theirs_value {
                continue;
            }
            if let Some(at) = allowed.iter().position(|a| a.takes(&ours.request, path)) {
                used.insert(at);
                continue;
            }
            found.push(Difference {
                request: ours.request.clone(),
                path: path.clone(),
                ours: ours_value,
                theirs: theirs_value,
            });
        }
    }
    assert_eq!(ours.len(), theirs.len(), "both sides came to the end of the script");
    let unused = allowed.iter().enumerate().filter(|(at, _)| !used.contains(at));
    (found, unused.map(|(_, allowed)| *allowed).collect())
}

impl Allowed {
    fn takes(&self, request: &str, path: &str) -> bool {
        request.starts_with(self.request) && fits(self.path, path)
    }
}

/// Whether a path is of a pattern: `[*]` stands for any item, a `*` at the end for all below.
fn fits(pattern: &str, path: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if let (Some(pattern), Some(path)) = (pattern.strip_prefix("[*]"), path.strip_prefix('[')) {
        return path.split_once(']').is_some_and(|(_, path)| fits(pattern, path));
    }
    let mut rest = (pattern.chars(), path.chars());
    match (rest.0.next(), rest.1.next()) {
        (None, None) => true,
        (Some(a), Some(b)) if a == b => fits(rest.0.as_str(), rest.1.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(request: &str, fields: &[(&str, &str)]) -> Exchange {
        let field = |(path, value): &(&str, &str)| Field {
            path: (*path).to_owned(),
            value: (*value).to_owned(),
        };
        Exchange { request: request.into(), fields: fields.iter().map(field).collect() }
    }

    #[test]
    fn what_differs_is_found_and_what_is_allowed_is_not() {
        const ALLOWED: &[Allowed] = &[
            Allowed { request: "Metadata", path: "topics[*].id", reason: "random" },
            Allowed { request: "Fetch", path: "session", reason: "random" },
        ];
        let ours = [exchange("Metadata v1", &[("topics[0].id", "1"), ("topics[0].n", "2")])];
        let theirs = [exchange("Metadata v1", &[("topics[0].id", "9"), ("more", "x")])];
        let (found, unused) = differences(&ours, &theirs, &ALLOWED.iter().collect::<Vec<_>>());
        let found: Vec<_> = found.iter().map(Difference::to_string).collect();
        assert_eq!(
            found,
            ["Metadata v1: more: ours -, theirs x", "Metadata v1: topics[0].n: ours 2, theirs -"]
        );
        assert_eq!(unused[0].request, "Fetch");
    }

    #[test]
    fn a_star_at_the_end_takes_all_below() {
        let all = Allowed { request: "", path: "topics[*].configs*", reason: "" };
        assert!(all.takes("X", "topics[3].configs[1].name"));
        assert!(!all.takes("X", "topics[3].name"));
        let items = Allowed { request: "", path: "ids[*]", reason: "" };
        assert!(items.takes("X", "ids[2]") && !items.takes("X", "ids[2].x"));
        let named = Allowed { request: "", path: "r[*].configs[a.b].value", reason: "" };
        assert!(named.takes("X", "r[0].configs[a.b].value"));
        assert!(!named.takes("X", "r[0].configs[a.c].value"));
    }
}
