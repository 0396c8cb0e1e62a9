//! The files that git keeps, or would keep if they were added.

use crate::Result;
use crate::cargo::{output, root};

/// Every text file of the repository.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) files: Vec<Source>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl Sources {
    /// Asks git; files that are not UTF-8 are left out.
    pub(super) fn load() -> Result<Self> {
        let mut git = std::process::Command::new("git");
        git.args(["ls-files", "-co", "--exclude-standard", "-z"]).current_dir(root());
        let mut files = Vec::new();
        for path in output(&mut git)?.split_terminator('\0') {
            let at = root().join(path);
            // A deleted file is still listed until its deletion is staged.
            if let Ok(Ok(text)) = std::fs::read(&at).map(String::from_utf8) {
                files.push(Source { path: path.to_owned(), text });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(Self { files })
    }

    /// The Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|source| source.path.ends_with(".rs"))
    }

    /// The file at `path`.
    pub(super) fn at(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|source| source.path == path)
    }
}

impl Source {
    /// The folder in the root that it is in; empty for a file in the root.
    pub(super) fn top(&self) -> &str {
        self.path.split_once('/').map_or("", |(top, _)| top)
    }

    /// Whether a program wrote it; such files say so in their first lines.
    pub(super) fn is_generated(&self) -> bool {
        self.text.lines().take(5).any(|line| line.contains("@generated"))
    }

    /// Lines with their numbers from 1, without line comments.
    ///
    /// A `//` inside a string also ends the line here: the rules look for words that do not occur
    /// behind one.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = |line: &'_ str| -> usize { line.find("//").unwrap_or(line.len()) };
        self.text.lines().enumerate().map(move |(i, line)| (i + 1, &line[..code(line)]))
    }
}

#[cfg(test)]
impl Sources {
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self { files: files.iter().map(source).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_not_code() {
        let sources = Sources::of(&[("a.rs", "let a = 1; // Instant::now\n// b\nc")]);
        let code: Vec<_> = sources.files[0].code().collect();
        assert_eq!(code, [(1, "let a = 1; "), (2, ""), (3, "c")]);
    }

    #[test]
    fn this_repository_is_seen() {
        let sources = Sources::load().unwrap();
        assert!(sources.at("xtask/src/tidy/sources.rs").is_some());
        assert!(!sources.files.iter().any(|s| s.path.starts_with("target/")));
    }
}
