//! The ledger of soaks: which seeds were run at which commit, and what came of them.
//!
//! A page whose last thing is a table; a soak adds a row to it. Its seeds go on behind those of the rows before, so that
//! no world is run a second time.

use crate::worlds::Tally;

/// A ledger as it was before the soak.
#[derive(Clone, Debug)]
pub struct Ledger {
    text: String,
}

/// What a soak ran, as its row says it.
#[derive(Clone, Copy, Debug)]
pub struct Soak<'a> {
    /// Which sources were run.
    pub commit: &'a str,
    /// The first seed; the others follow it.
    pub from: u64,
    /// What came of them.
    pub tally: &'a Tally,
}

impl Ledger {
    /// Reads a ledger; an empty text begins one.
    pub fn new(text: &str) -> Self {
        let text = if text.trim().is_empty() { HEAD } else { text.trim_end() };
        Self { text: format!("{text}\n") }
    }

    /// The seed behind all that were run.
    pub fn next_seed(&self) -> u64 {
        self.rows().map(|row| row.to.saturating_add(1)).max().unwrap_or(FIRST).max(FIRST)
    }

    /// How many worlds were run in all.
    pub fn worlds(&self) -> u64 {
        self.rows().map(|row| row.to.saturating_sub(row.from) + 1).sum()
    }

    /// The page with a row more, if the soak ran anything.
    pub fn with(&self, soak: &Soak<'_>) -> String {
        let Soak { commit, from, tally } = soak;
        let Some(last) = tally.worlds.checked_sub(1) else { return self.text.clone() };
        let to = from + last;
        let found: Vec<String> =
            tally.failed.iter().map(|(drawn, why)| format!("{}: {why}", drawn.seed)).collect();
        // A bar would end the cell.
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join("; ") };
        let found = found.replace('|', "/").replace('\n', " ");
        format!(
            "{}| `{commit}` | {from} | {to} | {:.1} | {} | {found} |\n",
            self.text,
            tally.hours(),
            tally.events
        )
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.text.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ").skip(1);
            Some(Row { from: cells.next()?.parse().ok()?, to: cells.next()?.parse().ok()? })
        })
    }
}

struct Row {
    from: u64,
    to: u64,
}

/// Beyond every seed that a commit's hash chooses, so that a soak repeats none of those either.
const FIRST: u64 = 1_000_000_000_000_000;

const HEAD: &str = "# Soak ledger

| commit | from seed | to seed | simulated hours | events | found |
| --- | --- | --- | --- | --- | --- |";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Cast;
    use crate::worlds::Drawn;

    fn tally(worlds: u64) -> Tally {
        Tally { worlds, simulated: Duration::from_secs(90 * 60), events: 12, failed: Vec::new() }
    }

    #[test]
    fn each_soak_goes_on_behind_the_last() {
        let empty = Ledger::new("");
        assert_eq!((empty.next_seed(), empty.worlds()), (FIRST, 0));
        let first = empty.with(&Soak { commit: "abc", from: FIRST, tally: &tally(10) });
        let row = format!("| `abc` | {FIRST} | {} | 1.5 | 12 | nothing |", FIRST + 9);
        assert_eq!(first.lines().last(), Some(&*row));
        let ledger = Ledger::new(&first);
        assert_eq!((ledger.next_seed(), ledger.worlds()), (FIRST + 10, 10));
        let second = ledger.with(&Soak { commit: "d", from: FIRST + 10, tally: &tally(5) });
        assert!(second.starts_with(&first), "nothing of what was there is changed");
        assert_eq!(Ledger::new(&second).worlds(), 15);
    }

    #[test]
    fn what_was_found_stays_in_its_cell() {
        let mut tally = tally(2);
        let drawn = Drawn { seed: 7, cast: Cast::Groups };
        tally.failed.push((drawn, "P1: a | b\nlost".to_owned()));
        let page = Ledger::new("").with(&Soak { commit: "abc", from: FIRST, tally: &tally });
        assert!(page.ends_with("| 12 | 7: P1: a / b lost |\n"), "{page}");
        assert_eq!(Ledger::new(&page).worlds(), 2);
    }

    #[test]
    fn a_soak_of_nothing_leaves_no_row() {
        let page = Ledger::new("").with(&Soak { commit: "abc", from: FIRST, tally: &tally(0) });
        assert_eq!(Ledger::new(&page).worlds(), 0);
    }
}
