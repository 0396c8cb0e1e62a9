//! Huffman codes of limited length.

/// A code: its bits, first bit lowest, and their number, for each symbol; 0 bits for one that does not occur.
pub(super) struct Code<const N: usize> {
    pub(super) bits: [u16; N],
    pub(super) lengths: [u8; N],
}

impl<const N: usize> Code<N> {
    /// The shortest code for symbols that occur so often, of at most `length_max` bits each.
    ///
    /// It is complete: at least two symbols have a code, since some decoders refuse what is not.
    pub(super) fn of(counts: &[u32; N], length_max: usize) -> Self {
        let mut leaves = [(0, 0); N];
        let mut len = 0;
        let used = counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        for (place, (symbol, &count)) in leaves.iter_mut().zip(used) {
            *place = (count, symbol);
            len += 1;
        }
        // What does not occur fills up to two.
        let unused = counts.iter().enumerate().filter(|&(_, &count)| count == 0);
        for (place, (symbol, _)) in
            leaves.iter_mut().skip(len).zip(unused).take(2usize.saturating_sub(len))
        {
            *place = (0, symbol);
            len += 1;
        }
        let leaves = leaves.get_mut(..len).unwrap_or_default();
        leaves.sort_unstable();
        let numbers = lengths::<N>(leaves, length_max);
        // The rarest get the longest.
        let longest_first = numbers.iter().enumerate().rev();
        let each = longest_first
            .flat_map(|(length, &number)| std::iter::repeat_n(length, number as usize));
        let mut lengths = [0; N];
        for (&(_, symbol), length) in leaves.iter().zip(each) {
            if let Some(place) = lengths.get_mut(symbol) {
                *place = length as u8;
            }
        }
        Self::of_lengths(lengths)
    }

    /// The code that the format derives from its lengths.
    pub(super) fn of_lengths(lengths: [u8; N]) -> Self {
        let mut numbers = [0u16; LENGTH_MAX + 1];
        for &length in lengths.iter().filter(|&&length| length > 0) {
            if let Some(number) = numbers.get_mut(usize::from(length)) {
                *number += 1;
            }
        }
        // The first of each length follows the last of the length before.
        let mut next = 0;
        let firsts = numbers.map(|number| {
            let first = next;
            next = (next + number) << 1;
            first
        });
        let mut nexts = firsts;
        let mut bits = [0; N];
        for (bits, &length) in bits.iter_mut().zip(&lengths).filter(|(_, length)| **length > 0) {
            if let Some(next) = nexts.get_mut(usize::from(length)) {
                *bits = next.reverse_bits() >> (16 - u16::from(length));
                *next += 1;
            }
        }
        Self { bits, lengths }
    }
}

/// How many symbols get a code of each length; `leaves` are counts in order, two or more.
///
/// The tree grows in place (Moffat and Katajainen 1995). What lies too deep is moved up, and shallower leaves down for it.
fn lengths<const N: usize>(leaves: &[(u32, usize)], length_max: usize) -> [u32; LENGTH_MAX + 1] {
    let n = leaves.len();
    // By node in order of weight: its weight, then its parent, then its depth.
    let mut nodes = [0u32; N];
    let node = |nodes: &[u32; N], at: usize| nodes.get(at).copied().unwrap_or(u32::MAX);
    let (mut leaf, mut root) = (0, 0);
    for next in 0..n.saturating_sub(1) {
        let mut weight = 0u32;
        for _ in 0..2 {
            let of_leaf = leaves.get(leaf).map(|&(count, _)| count);
            match of_leaf {
                Some(of_leaf) if root >= next || of_leaf <= node(&nodes, root) => {
                    weight += of_leaf;
                    leaf += 1;
                }
                _ => {
                    weight += node(&nodes, root);
                    if let Some(place) = nodes.get_mut(root) {
                        *place = next as u32;
                    }
                    root += 1;
                }
            }
        }
        if let Some(place) = nodes.get_mut(next) {
            *place = weight;
        }
    }
    // The last node is the root; a parent comes behind its children.
    let mut numbers = [0u32; LENGTH_MAX + 1];
    let mut inner = [0u32; N];
    let depth_of = |depths: &[u32; N], at: usize| depths.get(at).copied().unwrap_or(0);
    let mut depths = [0u32; N];
    for at in (0..n.saturating_sub(1)).rev() {
        let depth = if at + 2 == n { 0 } else { depth_of(&depths, node(&nodes, at) as usize) + 1 };
        if let Some(place) = depths.get_mut(at) {
            *place = depth;
        }
        if let Some(number) = inner.get_mut(depth as usize) {
            *number += 1;
        }
    }
    // Of the places at a depth, those that are no inner nodes are leaves.
    let mut places = 1;
    for (depth, &inner) in inner.iter().enumerate() {
        if let Some(number) = numbers.get_mut(depth.min(length_max)) {
            *number += places - inner;
        }
        places = 2 * inner;
    }
    // Shares of the whole, in the smallest that there are, which moved leaves have made too many of.
    let whole = 1u32 << length_max;
    let shares = |(length, &number): (usize, &u32)| number << (length_max - length);
    let mut taken: u32 = numbers.iter().take(length_max + 1).enumerate().map(shares).sum();
    while taken > whole {
        // A leaf of the largest length goes beside one that is not as long, which thereby gets one longer.
        let Some(length) =
            (1..length_max).rev().find(|&at| numbers.get(at).is_some_and(|&n| n > 0))
        else {
            break;
        };
        for (at, change) in [(length_max, -1), (length, -1), (length + 1, 2)] {
            if let Some(number) = numbers.get_mut(at) {
                *number = number.saturating_add_signed(change);
            }
        }
        taken -= 1;
    }
    numbers
}

/// The longest code that the format has.
const LENGTH_MAX: usize = 15;
