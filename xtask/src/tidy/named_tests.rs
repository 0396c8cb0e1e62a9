//! A page that says which test holds a promise names tests that exist.

use std::collections::BTreeSet;

use super::Breach;
use super::sources::Sources;

/// The pages that name tests.
const PAGES: [&str; 2] = ["docs/reliability.md", "docs/testing.md"];

pub(super) fn check(sources: &Sources) -> Vec<Breach> {
    let functions: BTreeSet<&str> =
        sources.rust().flat_map(|source| source.text.lines().filter_map(declared)).collect();
    let mut breaches = Vec::new();
    for page in PAGES.iter().filter_map(|page| sources.at(page)) {
        for (i, line) in page.text.lines().enumerate() {
            for name in names(line).filter(|name| !functions.contains(name)) {
                let what = format!("there is no test {name}: was it renamed?");
                breaches.push(Breach::new(format!("{}:{}", page.path, i + 1), what));
            }
        }
    }
    breaches
}

/// The name of the function that a line declares, or that a macro makes of it: `name: what it does;`.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim();
    let Some((before, after)) = line.split_once("fn ") else {
        let (name, _) = line.strip_suffix(';')?.split_once(": ")?;
        return name.chars().all(is_part).then_some(name);
    };
    let is_declaration = before
        .split_whitespace()
        .all(|word| matches!(word, "async" | "const" | "unsafe") || word.starts_with("pub"));
    let end = after.find(|c: char| !is_part(c)).unwrap_or(after.len());
    is_declaration.then(|| &after[..end])
}

/// What a line names that can only be a test: words in code font, joined by three underscores or more.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split('`').skip(1).step_by(2);
    let code = code.map(|name| name.rsplit("::").next().unwrap_or(name));
    code.filter(|name| name.chars().all(is_part) && name.matches('_').count() >= 3)
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_named_has_to_exist() {
        let page = "`a_leader_that_moves` holds it and `a_chain_of_groups`, `gone_with_a_rename` and `fetch::a_seek_is_kept` do not, nor `a_name`";
        let code = "#[test]\n    pub(crate) async fn a_leader_that_moves<T>() {\n    a_chain_of_groups: Chain::new();\n// fn gone_with_a_rename()\n";
        let breaches = check(&Sources::of(&[("docs/testing.md", page), ("src/a.rs", code)]));
        let what: Vec<_> = breaches.iter().map(|breach| breach.what.as_str()).collect();
        assert_eq!(what.len(), 2, "{what:?}");
        assert!(what[0].contains("gone_with_a_rename") && what[1].contains("a_seek_is_kept"));
    }
}
