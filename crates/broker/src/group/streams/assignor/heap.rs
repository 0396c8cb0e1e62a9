//! A priority queue that ties as Java's does. Kafka puts its processes in by the hash of their ids, this broker by the ids
//! themselves: equal loads are filled in the same order where those agree.

/// A binary heap of indexes, the least first by whatever order its caller has.
#[derive(Debug, Default)]
pub(super) struct Heap {
    items: Vec<usize>,
}

impl Heap {
    /// All of these, one after the other.
    pub(super) fn of(
        items: impl IntoIterator<Item = usize>,
        is_less: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let mut heap = Self::default();
        for item in items {
            heap.push(item, &is_less);
        }
        heap
    }

    /// Puts one in: up, as long as it is less than what is above it.
    pub(super) fn push(&mut self, item: usize, is_less: impl Fn(usize, usize) -> bool) {
        let mut at = self.items.len();
        self.items.push(item);
        while at > 0 {
            let above = (at - 1) / 2;
            match self.items.get(above) {
                Some(parent) if is_less(item, *parent) => self.items.swap(at, above),
                _ => break,
            }
            at = above;
        }
    }

    /// Takes the least out: the last takes its place and goes down, as long as something below is less.
    pub(super) fn pop(&mut self, is_less: impl Fn(usize, usize) -> bool) -> Option<usize> {
        let last = self.items.pop()?;
        let Some(first) = self.items.first_mut() else { return Some(last) };
        let least = std::mem::replace(first, last);
        let mut at = 0;
        while let Some(left) = self.items.get(2 * at + 1).copied() {
            let right = self.items.get(2 * at + 2).copied().filter(|right| is_less(*right, left));
            let (below, child) = match right {
                Some(right) => (2 * at + 2, right),
                None => (2 * at + 1, left),
            };
            if !is_less(child, last) {
                break;
            }
            self.items.swap(at, below);
            at = below;
        }
        Some(least)
    }
}
