//! Whether each record is read once: a count alone takes one that came twice for one that did not come.

/// Of whoever reads whole partitions from their start: offsets are 0, 1, 2 and so on in each.
pub struct InOrder {
    next: Vec<i64>,
    astray: u64,
}

impl InOrder {
    pub fn new(partitions: i32) -> InOrder {
        InOrder { next: vec![0; partitions as usize], astray: 0 }
    }
    #[inline]
    pub fn see(&mut self, partition: i32, offset: i64) {
        match self.next.get_mut(partition as usize) {
            Some(next) => {
                self.astray += u64::from(*next != offset);
                *next = offset + 1;
            }
            None => self.astray += 1,
        }
    }
    /// Records that came twice, too early, or from nowhere.
    pub fn errors(&self) -> u64 {
        self.astray
    }
}

/// Of a share group, whose records come in any order.
#[derive(Default)]
pub struct Seen {
    /// A bit for each offset of each partition.
    seen: Vec<Vec<u64>>,
    again: u64,
}

impl Seen {
    #[inline]
    pub fn see(&mut self, partition: i32, offset: i64) {
        let (partition, word) = (partition as usize, (offset / 64) as usize);
        if partition >= self.seen.len() {
            self.seen.resize_with(partition + 1, Vec::new);
        }
        let seen = &mut self.seen[partition];
        if word >= seen.len() {
            seen.resize(word + 1, 0);
        }
        let bit = 1 << (offset % 64);
        self.again += u64::from(seen[word] & bit != 0);
        seen[word] |= bit;
    }
    /// Records that came twice.
    pub fn errors(&self) -> u64 {
        self.again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order(offsets: &[(i32, i64)]) -> u64 {
        let mut order = InOrder::new(2);
        offsets.iter().for_each(|(partition, offset)| order.see(*partition, *offset));
        order.errors()
    }

    #[test]
    fn a_record_that_comes_twice_is_told() {
        assert_eq!(in_order(&[(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]), 0);
        assert_eq!(in_order(&[(0, 0), (0, 1), (0, 1), (0, 2)]), 1);
        assert_eq!(in_order(&[(0, 0), (0, 2)]), 1);
        assert_eq!(in_order(&[(2, 0)]), 1);
    }

    #[test]
    fn a_record_that_is_handed_out_twice_is_told() {
        let mut seen = Seen::default();
        for offset in [0, 64, 1, 63] {
            seen.see(3, offset);
        }
        seen.see(0, 64);
        assert_eq!(seen.errors(), 0);
        seen.see(3, 64);
        assert_eq!(seen.errors(), 1);
    }
}
