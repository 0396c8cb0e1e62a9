//! The project's own rules, held against the sources and the dependency graph.
//!
//! One module a rule. Each rule is a function from what it looks at to [`Breach`]es, and each has
//! a test that plants a breach, so that a rule that went blind is noticed.

mod c_free;
mod file_map;
mod file_size;
mod handlers;
mod layers;
mod licences;
mod named_tests;
mod sans_io;
mod sources;
mod todos;

use std::fmt;

use self::sources::Sources;
use crate::Result;
use crate::cargo::Graph;

/// A place where a rule does not hold.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Breach {
    /// The file, with a line where there is one, or the crate.
    place: String,
    /// What is wrong, and what to do about it.
    what: String,
}

impl Breach {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Prints every breach of every rule.
///
/// # Errors
/// When there is a breach, how many.
pub(crate) fn run() -> Result {
    let sources = Sources::load()?;
    let graph = Graph::load()?;
    let mut breaches = Vec::new();
    breaches.extend(file_size::check(&sources));
    breaches.extend(todos::check(&sources));
    breaches.extend(sans_io::check(&sources));
    breaches.extend(handlers::check(&sources));
    breaches.extend(file_map::check(&sources));
    breaches.extend(named_tests::check(&sources));
    breaches.extend(layers::check(&graph));
    breaches.extend(c_free::check(&graph, &sources));
    breaches.extend(licences::check(&graph, &sources));
    breaches.sort();
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => Ok(()),
        n => Err(format!("tidy: {n} breaches").into()),
    }
}
