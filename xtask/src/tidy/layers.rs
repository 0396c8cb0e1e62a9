//! Crates depend downwards only.

use super::Breach;
use crate::cargo::Graph;

/// Which of our crates may name which.
///
/// `milena-broker` must not see the engine or the client: two independent readings of the protocol
/// face each other in every test, and share only the codec.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("milena-types", &[]),
    ("milena-wire", &["milena-types"]),
    ("milena-records", &["milena-types"]),
    ("milena-engine", &["milena-types", "milena-wire", "milena-records"]),
    ("milena-broker", &["milena-types", "milena-wire", "milena-records"]),
    ("milena", &["milena-types", "milena-wire", "milena-records", "milena-engine"]),
    (
        "milena-cli",
        &[
            "milena-types",
            "milena-wire",
            "milena-records",
            "milena-engine",
            "milena-broker",
            "milena",
        ],
    ),
];

/// What a crate may name beyond that in its tests and examples; itself, where they want a feature of it.
const ALLOWED_IN_TESTS: [(&str, &[&str]); 1] = [("milena", &["milena", "milena-broker"])];

/// Look at all the others; nobody looks at them, with one exception.
const ON_TOP: [&str; 4] = ["milena-sim", "milena-fuzz", "protocol-tests", "xtask"];

/// Bytes are scripts of simulated worlds too.
const LOOKS_AT_ONE_ON_TOP: (&str, &str) = ("milena-fuzz", "milena-sim");

pub(super) fn check(graph: &Graph) -> Vec<Breach> {
    let members = graph.members();
    let mut breaches = Vec::new();
    for (name, package) in &members {
        let ours = package.dependencies.iter().filter(|d| members.contains_key(d.name.as_str()));
        for dependency in ours {
            let below = dependency.name.as_str();
            let in_tests = dependency.kind.as_deref() == Some("dev");
            if (*name, below) == LOOKS_AT_ONE_ON_TOP {
                // As said there.
            } else if ON_TOP.contains(&below) {
                breaches.push(Breach::new(*name, format!("depends on {below}, which is on top")));
            } else if ON_TOP.contains(name) {
                // May name any crate.
            } else if let Some(allowed) = allowed(&ALLOWED, name) {
                let extra = allowed_in_tests(name, in_tests);
                if !allowed.contains(&below) && !extra.contains(&below) {
                    let what = format!("depends on {below}, which is not below it");
                    breaches.push(Breach::new(*name, what));
                }
            } else {
                breaches.push(Breach::new(*name, "has no place among the layers yet: give it one"));
            }
        }
    }
    breaches
}

fn allowed(
    table: &'static [(&'static str, &'static [&'static str])],
    name: &str,
) -> Option<&'static [&'static str]> {
    table.iter().find(|(n, _)| *n == name).map(|(_, below)| *below)
}

fn allowed_in_tests(name: &str, in_tests: bool) -> &'static [&'static str] {
    if in_tests { allowed(&ALLOWED_IN_TESTS, name).unwrap_or_default() } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::{Dependency, Package};

    fn graph(edges: &[(&str, &str, Option<&str>)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to, kind) in edges {
            for name in [from, to] {
                if !graph.packages.iter().any(|p| p.name == **name) {
                    let (id, name) = ((*name).to_owned(), (*name).to_owned());
                    graph.workspace_members.insert(id.clone());
                    graph.packages.push(Package { id, name, ..Package::default() });
                }
            }
            let dependency = Dependency { name: (*to).into(), kind: kind.map(str::to_owned) };
            let package = graph.packages.iter_mut().find(|p| p.name == **from).unwrap();
            package.dependencies.push(dependency);
        }
        graph
    }

    #[test]
    fn an_upward_edge_is_found() {
        assert_eq!(check(&graph(&[("milena-types", "milena-wire", None)])).len(), 1);
        assert_eq!(check(&graph(&[("milena-wire", "milena-engine", Some("dev"))])).len(), 1);
        assert_eq!(check(&graph(&[("milena", "milena-sim", Some("dev"))])).len(), 1);
        assert_eq!(check(&graph(&[("milena-engine", "milena-wire", None)])), []);
    }

    #[test]
    fn the_broker_never_sees_the_engine_or_the_client() {
        for above in ["milena-engine", "milena"] {
            for kind in [None, Some("dev"), Some("build")] {
                assert_eq!(check(&graph(&[("milena-broker", above, kind)])).len(), 1);
            }
        }
    }

    #[test]
    fn the_client_sees_the_broker_in_its_tests_only() {
        assert_eq!(check(&graph(&[("milena", "milena-broker", Some("dev"))])), []);
        assert_eq!(check(&graph(&[("milena", "milena-broker", None)])).len(), 1);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        assert_eq!(check(&graph(&[("milena-new", "milena-types", None)])).len(), 1);
    }
}
