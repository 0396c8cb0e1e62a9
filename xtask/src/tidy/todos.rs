//! What is left for later has an issue, or it is forgotten.

use super::Breach;
use super::sources::Sources;

pub(super) fn check(sources: &Sources) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources.rust().filter(|source| !source.is_generated()) {
        // This file has to spell the words that it looks for.
        if source.path.ends_with("tidy/todos.rs") {
            continue;
        }
        for (i, line) in source.text.lines().enumerate() {
            if let Some(word) = WORDS.iter().find(|word| has_bare(line, word)) {
                let what = format!("{word} without an issue: write {word}(#12)");
                breaches.push(Breach::new(format!("{}:{}", source.path, i + 1), what));
            }
        }
    }
    breaches
}

const WORDS: [&str; 4] = ["TODO", "FIXME", "XXX", "todo!"];

/// Whether `word` stands in the line as a word and without an issue number.
fn has_bare(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + word.len()..];
        let is_word = !before.is_some_and(is_part) && !after.chars().next().is_some_and(is_part);
        let issue = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
        let numbered = issue.is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        is_word && !numbered
    })
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_todo_needs_an_issue() {
        let text =
            "// TODO: later\n// TODO(#12): later\n// FIXME\ntodo!()\nlet TODOS = 1; // XXXL\n";
        let places: Vec<_> =
            check(&Sources::of(&[("a.rs", text)])).into_iter().map(|b| b.place).collect();
        assert_eq!(places, ["a.rs:1", "a.rs:3", "a.rs:4"]);
    }
}
