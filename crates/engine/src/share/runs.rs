//! Offsets with a state each, kept as runs: what is acquired may span gaps of any size.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Runs of equal state, none of which overlap or touch another of the same state.
#[derive(Clone, Debug)]
pub(super) struct Runs<S>(BTreeMap<i64, (i64, S)>);

impl<S: Copy + Eq> Runs<S> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Gives the offsets of `range` this state, whatever they had, even none.
    pub(super) fn insert(&mut self, range: RangeInclusive<i64>, state: S) {
        self.remove(range.clone());
        self.place(*range.start(), *range.end(), state);
    }

    /// Forgets the offsets of `range`.
    pub(super) fn remove(&mut self, range: RangeInclusive<i64>) {
        let (first, last) = range.into_inner();
        for (start, end, state) in self.within(first, last) {
            self.0.remove(&start);
            if start < first {
                self.0.insert(start, (first - 1, state));
            }
            if end > last {
                self.0.insert(last + 1, (end, state));
            }
        }
    }

    /// Changes the state of each offset of `range` that has one; `None` leaves it as it is. True if any changed.
    pub(super) fn change(
        &mut self,
        range: RangeInclusive<i64>,
        mut change: impl FnMut(S) -> Option<S>,
    ) -> bool {
        let (first, last) = range.into_inner();
        let mut changed = false;
        for (start, end, state) in self.within(first, last) {
            if let Some(next) = change(state) {
                self.insert(start.max(first)..=end.min(last), next);
                changed = true;
            }
        }
        changed
    }

    /// The state of one offset.
    pub(super) fn get(&self, offset: i64) -> Option<S> {
        let (_, &(last, state)) = self.0.range(..=offset).next_back()?;
        (offset <= last).then_some(state)
    }

    /// The runs, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RangeInclusive<i64>, S)> {
        self.0.iter().map(|(&first, &(last, state))| (first..=last, state))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The runs that have a part between `first` and `last`.
    fn within(&self, first: i64, last: i64) -> Vec<(i64, i64, S)> {
        if first > last {
            return Vec::new();
        }
        let before = self.0.range(..first).next_back().filter(|(_, (end, _))| *end >= first);
        let inside = self.0.range(first..=last);
        before
            .into_iter()
            .chain(inside)
            .map(|(&start, &(end, state))| (start, end, state))
            .collect()
    }

    /// Puts a run where there is none, and joins it with equal neighbours.
    fn place(&mut self, mut first: i64, mut last: i64, state: S) {
        if first > last {
            return;
        }
        if let Some((&start, &(end, before))) = self.0.range(..first).next_back()
            && before == state
            && end.checked_add(1) == Some(first)
        {
            self.0.remove(&start);
            first = start;
        }
        if let Some(next) = last.checked_add(1)
            && let Some(&(end, after)) = self.0.get(&next)
            && after == state
        {
            self.0.remove(&next);
            last = end;
        }
        self.0.insert(first, (last, state));
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn runs(runs: &Runs<char>) -> Vec<(i64, i64, char)> {
        runs.iter().map(|(range, state)| (*range.start(), *range.end(), state)).collect()
    }

    #[test]
    fn one_offset_splits_a_run_and_the_same_state_joins_it_again() {
        let mut all = Runs::new();
        all.insert(0..=9, 'a');
        assert!(all.change(4..=4, |_| Some('b')));
        assert_eq!(runs(&all), [(0, 3, 'a'), (4, 4, 'b'), (5, 9, 'a')]);
        assert!(all.change(4..=4, |_| Some('a')));
        assert_eq!(runs(&all), [(0, 9, 'a')]);
    }

    #[test]
    fn what_has_no_state_is_not_changed() {
        let mut all = Runs::new();
        all.insert(5..=6, 'a');
        assert!(!all.change(0..=4, |_| Some('b')));
        assert!(all.change(0..=100, |_| Some('b')));
        assert_eq!(runs(&all), [(5, 6, 'b')]);
        assert_eq!((all.get(4), all.get(5), all.get(7)), (None, Some('b'), None));
    }

    #[test]
    fn the_last_offset_there_is_overflows_nothing() {
        let mut all = Runs::new();
        all.insert(0..=i64::MAX, 'a');
        all.change(i64::MAX..=i64::MAX, |_| Some('b'));
        assert_eq!(all.get(i64::MAX), Some('b'));
        all.remove(0..=i64::MAX);
        assert!(all.is_empty());
    }

    /// Against a plain table of offsets.
    #[test]
    fn any_order_of_changes_leaves_what_a_table_would() {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let (mut all, mut table) = (Runs::new(), [None; 40]);
            for _ in 0..60 {
                let first = rng.usize(0..40);
                let last = rng.usize(first..40);
                let range = i64::try_from(first).unwrap()..=i64::try_from(last).unwrap();
                let state = rng.char('a'..='c');
                match rng.u8(0..3) {
                    0 => {
                        all.insert(range, state);
                        table[first..=last].fill(Some(state));
                    }
                    1 => {
                        all.remove(range);
                        table[first..=last].fill(None);
                    }
                    _ => {
                        let rule = |old| (old == 'a').then_some(state);
                        all.change(range, rule);
                        for place in &mut table[first..=last] {
                            *place = place.map(|old| rule(old).unwrap_or(old));
                        }
                    }
                }
                for (offset, state) in table.iter().enumerate() {
                    assert_eq!(all.get(i64::try_from(offset).unwrap()), *state, "seed {seed}");
                }
                let whole = runs(&all);
                let touch = |pair: &[(i64, i64, char)]| {
                    pair[0].1 + 1 == pair[1].0 && pair[0].2 == pair[1].2
                };
                assert!(!whole.windows(2).any(touch), "seed {seed}: {whole:?}");
            }
        }
    }
}
