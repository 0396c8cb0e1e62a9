//! The file map of `ARCHITECTURE.md` is the repository's, folder by folder.

use std::collections::BTreeSet;

use super::Breach;
use super::sources::{Source, Sources};

const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## File map";

pub(super) fn check(sources: &Sources) -> Vec<Breach> {
    let Some(page) = sources.at(PAGE) else {
        return vec![Breach::new(PAGE, "is missing")];
    };
    let mapped = mapped(page);
    let folders = folders(sources);
    let mut breaches = Vec::new();
    for folder in folders.difference(&mapped) {
        breaches.push(Breach::new(PAGE, format!("the file map lacks `{folder}/`")));
    }
    let is_there = |folder: &&String| {
        let inside = format!("{folder}/");
        sources.files.iter().any(|source| source.path.starts_with(&inside))
    };
    for folder in mapped.iter().filter(|folder| !is_there(folder)) {
        breaches.push(Breach::new(PAGE, format!("the file map names `{folder}/`, which is gone")));
    }
    breaches
}

/// Folders in the first column of the map's table: the lines that begin with ``| `folder/` ``.
fn mapped(page: &Source) -> BTreeSet<String> {
    let section = page.text.lines().skip_while(|line| *line != HEADING).skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    let folder = |line: &str| {
        let (folder, _) = line.strip_prefix("| `")?.split_once("/`")?;
        Some(folder.to_owned())
    };
    section.filter_map(folder).collect()
}

/// Folders that hold Rust, two levels below a crate's `src` at most, and each folder on top.
fn folders(sources: &Sources) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for source in &sources.files {
        if let Some((top, _)) = source.path.split_once('/')
            && top != "crates"
        {
            folders.insert(top.to_owned());
        }
    }
    for source in sources.rust() {
        if let Some((folder, _)) = source.path.rsplit_once('/')
            && let Some((_, inner)) = folder.split_once("/src")
            && inner.matches('/').count() <= 1
            // The line of the top folder speaks for its sources too.
            && folder != format!("{}/src", source.top())
            && !folder.ends_with("/tests")
            && !is_made_of_tests(sources, folder)
        {
            folders.insert(folder.to_owned());
        }
    }
    folders
}

/// Whether the folder has nothing but the tests of the file of its name.
fn is_made_of_tests(sources: &Sources, folder: &str) -> bool {
    let prefix = format!("{folder}/");
    sources.rust().filter_map(|s| s.path.strip_prefix(&prefix)).all(|name| name == "tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# A\n\n## File map\n\n| folder | what |\n| --- | --- |\n\
        | `crates/a/src/` | all |\n| `docs/` | pages |\n\n## Next\n| `no/` | x |\n";

    #[test]
    fn a_true_map_holds() {
        let files = [("ARCHITECTURE.md", MAP), ("crates/a/src/lib.rs", ""), ("docs/x.md", "")];
        assert_eq!(check(&Sources::of(&files)), []);
    }

    #[test]
    fn a_new_folder_and_a_gone_one_are_found() {
        let files =
            [("ARCHITECTURE.md", MAP), ("crates/a/src/lib.rs", ""), ("sim/src/world/b.rs", "")];
        let what: Vec<_> = check(&Sources::of(&files)).into_iter().map(|b| b.what).collect();
        assert_eq!(
            what,
            [
                "the file map lacks `sim/`",
                "the file map lacks `sim/src/world/`",
                "the file map names `docs/`, which is gone"
            ]
        );
    }

    #[test]
    fn a_folder_of_tests_needs_no_line() {
        let files = [
            ("ARCHITECTURE.md", MAP),
            ("crates/a/src/log/tests.rs", ""),
            ("crates/a/src/lib.rs", ""),
            ("docs/x.md", ""),
        ];
        assert_eq!(check(&Sources::of(&files)), []);
    }

    #[test]
    fn a_missing_page_is_found() {
        assert_eq!(check(&Sources::default()).len(), 1);
    }
}
