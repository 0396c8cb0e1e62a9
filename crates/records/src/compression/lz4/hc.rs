//! High compression: LZ4 blocks by searched matches, where lz4_flex takes the first that it meets.
//!
//! Positions with the same four bytes are chained; a level says how many of a chain are tried. Levels up to 9 decide
//! lazily, one position ahead; those above choose the cheapest sequence of the whole block. What liblz4 does at a level
//! is matched in effort and closely in size, not byte by byte.

/// The chains of one block, kept to be reused by the next.
#[derive(Default)]
pub(super) struct MatchFinder {
    /// By hash of four bytes: the last position that had it, counted from `base`.
    heads: Vec<u32>,
    /// By position: how far back the one before it in its chain is; 0 ends the chain.
    chain: Vec<u16>,
    /// Moves on by each block, so that what older blocks left in `heads` lies below it and needs no clearing.
    base: u32,
    /// Positions below this are in their chains.
    entered: usize,
    /// By position: the longest match, later the chosen one.
    matches: Vec<Match>,
    /// By position: what the rest of the block takes at least.
    costs: Vec<u32>,
}

/// A match: so many bytes, equal to those so far back. Length 0 stands for none.
#[derive(Clone, Copy, Default)]
struct Match {
    length: u16,
    distance: u16,
}

/// What the rest of a block takes, if it starts with a run of so many literals.
#[derive(Clone, Copy, Default)]
struct Cost {
    bytes: u32,
    run: u32,
}

impl MatchFinder {
    /// Compresses `block`, of at most 64 KiB, into `place`, which has room for the worst case; returns how much it took.
    pub(super) fn compress(&mut self, level: i32, block: &[u8], place: &mut [u8]) -> usize {
        debug_assert!(block.len() <= BLOCK_BYTES_MAX);
        self.prepare();
        let mut out = Sequences { place, len: 0 };
        let effort = Effort::of(level);
        let anchor = if block.len() < BLOCK_BYTES_MIN {
            0
        } else if effort.cheapest {
            self.cheapest(block, &effort, &mut out)
        } else {
            self.lazy(block, &effort, &mut out)
        };
        out.last(block.get(anchor..).unwrap_or_default());
        out.len
    }

    fn prepare(&mut self) {
        self.heads.resize(1 << HASH_BITS, 0);
        self.chain.resize(BLOCK_BYTES_MAX, 0);
        self.entered = 0;
        // Twice a block, so that neither this one's positions overflow.
        self.base = match self.base.checked_add(2 * BLOCK_BYTES_MAX as u32) {
            Some(_) => self.base + BLOCK_BYTES_MAX as u32,
            None => {
                self.heads.fill(0);
                BLOCK_BYTES_MAX as u32
            }
        };
    }

    /// Takes the longest match at a position unless the next position has a longer one; returns where the last
    /// literals start.
    fn lazy(&mut self, block: &[u8], effort: &Effort, out: &mut Sequences<'_>) -> usize {
        let starts_end = block.len() - MATCH_START_MARGIN;
        let (mut anchor, mut position) = (0, 0);
        while position < starts_end {
            let mut best = self.find(block, position, effort.attempts, MATCH_MIN - 1);
            if best.length == 0 {
                position += 1;
                continue;
            }
            while position + 1 < starts_end && usize::from(best.length) < effort.enough {
                let shorter = usize::from(best.length);
                let next = self.find(block, position + 1, effort.attempts, shorter);
                if next.length == 0 {
                    break;
                }
                best = next;
                position += 1;
            }
            // Bytes before the match may belong to it too.
            let distance = usize::from(best.distance);
            while position > anchor
                && position > distance
                && block.get(position - 1) == block.get(position - 1 - distance)
            {
                position -= 1;
                best.length += 1;
            }
            out.push(block.get(anchor..position).unwrap_or_default(), best);
            let end = position + usize::from(best.length);
            self.enter_to(block, end.min(starts_end));
            position = end;
            anchor = end;
        }
        anchor
    }

    /// Chooses, among literals and the longest match at each position, what takes the fewest bytes from there to the
    /// end; returns where the last literals start.
    ///
    /// An offset costs the same however far it reaches, so that only the longest match is of interest. What follows costs
    /// the less the later it starts, so that of the lengths of a match only the full one is, and the largest that its
    /// token can hold by itself.
    fn cheapest(&mut self, block: &[u8], effort: &Effort, out: &mut Sequences<'_>) -> usize {
        self.find_all(block, effort);
        let mut rest = Cost::default();
        self.costs.clear();
        self.costs.resize(block.len() + 1, 0);
        for position in (0..block.len()).rev() {
            let run = rest.run + 1;
            let literal = rest.bytes + 1 + extra_byte(run);
            rest = Cost { bytes: literal, run };
            let Some(found) = self.matches.get_mut(position) else { continue };
            let mut chosen = 0;
            for length in [found.length, found.length.min(TOKEN_LENGTH_MAX)] {
                let after = self.costs.get(position + usize::from(length));
                let Some(&after) = after.filter(|_| length != 0) else { continue };
                let bytes = after + match_cost(length.into());
                if bytes < rest.bytes {
                    rest = Cost { bytes, run: 0 };
                    chosen = length;
                }
            }
            found.length = chosen;
            if let Some(cost) = self.costs.get_mut(position) {
                *cost = rest.bytes;
            }
        }
        let (mut anchor, mut position) = (0, 0);
        while let Some(&chosen) = self.matches.get(position) {
            if chosen.length == 0 {
                position += 1;
                continue;
            }
            out.push(block.get(anchor..position).unwrap_or_default(), chosen);
            position += usize::from(chosen.length);
            anchor = position;
        }
        anchor
    }

    /// Finds the longest match at each position.
    fn find_all(&mut self, block: &[u8], effort: &Effort) {
        let starts_end = block.len() - MATCH_START_MARGIN;
        self.matches.clear();
        self.matches.resize(block.len(), Match::default());
        let (mut position, mut found) = (0, Match::default());
        while position < starts_end {
            // The match before, less its first byte, is one here: only a longer one is of interest.
            let rest = Match { length: found.length.saturating_sub(1), ..found };
            let shorter = usize::from(rest.length).max(MATCH_MIN - 1);
            found = match self.find(block, position, effort.attempts, shorter) {
                Match { length: 0, .. } if usize::from(rest.length) >= MATCH_MIN => rest,
                longer => longer,
            };
            if let Some(place) = self.matches.get_mut(position) {
                *place = found;
            }
            if usize::from(found.length) >= effort.enough {
                // A match this long is taken; what starts inside of it is only entered.
                position += usize::from(found.length);
                self.enter_to(block, position.min(starts_end));
                found = Match::default();
            } else {
                position += 1;
            }
        }
    }

    /// The longest match at `position` of more than `shorter` bytes, or length 0; enters the positions up to it.
    #[inline]
    fn find(&mut self, block: &[u8], position: usize, attempts: u32, shorter: usize) -> Match {
        self.enter_to(block, position + 1);
        let (mut longest, mut distance) = (shorter, 0);
        let ends = block.len() - MATCH_END_MARGIN;
        let Some(target) = block.get(position..ends) else { return Match::default() };
        // The last bytes that a longer match needs are those most likely to differ.
        let mut last = shorter + 1 - MATCH_MIN;
        let mut wanted = word(target, last);
        let mut candidate = position;
        for _ in 0..attempts {
            let back = usize::from(self.chain.get(candidate).copied().unwrap_or(0));
            if back == 0 || back > candidate {
                break;
            }
            candidate -= back;
            if word(block, candidate + last) != wanted {
                continue;
            }
            let length = common_prefix(block.get(candidate..).unwrap_or_default(), target);
            if length > longest {
                (longest, distance) = (length, position - candidate);
                if length == target.len() {
                    break;
                }
                last = length + 1 - MATCH_MIN;
                wanted = word(target, last);
            }
        }
        if distance == 0 {
            return Match::default();
        }
        // Both are shorter than a block, which is 64 KiB at most.
        Match { length: longest as u16, distance: distance as u16 }
    }

    /// Enters positions into their chains up to, not including, `end`.
    #[inline]
    fn enter_to(&mut self, block: &[u8], end: usize) {
        while self.entered < end {
            let position = self.entered;
            self.entered += 1;
            let Some(bytes) = block.get(position..).and_then(|bytes| bytes.first_chunk()) else {
                return;
            };
            let hash = u32::from_le_bytes(*bytes).wrapping_mul(HASH_MULTIPLIER) >> (32 - HASH_BITS);
            let Some(head) = self.heads.get_mut(hash as usize) else { return };
            let Some(link) = self.chain.get_mut(position) else { return };
            // A head below the base is of an older block. Within one block every distance fits into 16 bits.
            *link = match head.checked_sub(self.base) {
                Some(before) => (position - before as usize) as u16,
                None => 0,
            };
            *head = self.base + position as u32;
        }
    }
}

/// How hard a level tries.
struct Effort {
    /// Candidates of a chain.
    attempts: u32,
    /// A match of this length is taken without looking further.
    enough: usize,
    /// The cheapest sequence of the block instead of lazy decisions.
    cheapest: bool,
}

impl Effort {
    /// The effort of liblz4 at the same level, which Java's client hands on; levels above 12 are 12.
    fn of(level: i32) -> Self {
        let (attempts, enough, cheapest) = match level {
            ..=2 => (2, 16, false),
            3..=9 => (1 << (level - 1), BLOCK_BYTES_MAX, false),
            10 => (96, 64, true),
            11 => (512, 128, true),
            // liblz4 tries sixteen times as many at 12; the sizes measured are the same to the byte, the time is half.
            12.. => (1024, 1024, true),
        };
        Self { attempts, enough, cheapest }
    }
}

/// A block as it is written: literals and a match, and so on.
struct Sequences<'a> {
    place: &'a mut [u8],
    len: usize,
}

impl Sequences<'_> {
    fn push(&mut self, literals: &[u8], found: Match) {
        let length = usize::from(found.length) - MATCH_MIN;
        self.byte((literals.len().min(15) << 4 | length.min(15)) as u8);
        self.length(literals.len());
        self.bytes(literals);
        self.bytes(&found.distance.to_le_bytes());
        self.length(length);
    }

    fn last(&mut self, literals: &[u8]) {
        self.byte((literals.len().min(15) << 4) as u8);
        self.length(literals.len());
        self.bytes(literals);
    }

    /// What of a length its four bits in the token could not hold.
    fn length(&mut self, length: usize) {
        let Some(mut rest) = length.checked_sub(15) else { return };
        while rest >= 255 {
            self.byte(255);
            rest -= 255;
        }
        self.byte(rest as u8);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.place.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.place.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
        }
        self.len = end;
    }
}

/// Four bytes to be compared at once; 0 past the end, where the comparison of all decides.
#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |word| u32::from_le_bytes(*word))
}

/// How many bytes at the front of both are equal; `b` is the shorter.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words_a, _) = a.as_chunks::<8>();
    let (words_b, _) = b.as_chunks::<8>();
    let mut equal = 0;
    for (a, b) in words_a.iter().zip(words_b) {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return equal + difference.trailing_zeros() as usize / 8;
        }
        equal += 8;
    }
    let tail = a.get(equal..).unwrap_or_default().iter().zip(b.get(equal..).unwrap_or_default());
    equal + tail.take_while(|(a, b)| a == b).count()
}

/// Bytes of a match with its token.
#[inline]
fn match_cost(length: usize) -> u32 {
    3 + match (length - MATCH_MIN).checked_sub(15) {
        Some(rest) => 1 + rest as u32 / 255,
        None => 0,
    }
}

/// Whether the literal that makes a run this long adds a byte to the run's length.
#[inline]
fn extra_byte(run: u32) -> u32 {
    u32::from(run >= 15 && (run - 15).is_multiple_of(255))
}

const MATCH_MIN: usize = 4;

/// The longest match whose length needs no byte beside the token.
const TOKEN_LENGTH_MAX: u16 = 18;

/// The format's rules for ends: no match starts in the last 12 bytes, and the last 5 are literals.
const MATCH_START_MARGIN: usize = 12;
const MATCH_END_MARGIN: usize = 5;
const BLOCK_BYTES_MIN: usize = MATCH_START_MARGIN + 1;

/// Distances are 16 bits wide, and so are links.
const BLOCK_BYTES_MAX: usize = 64 << 10;

const HASH_BITS: u32 = 15;

/// Knuth's, as liblz4 has it.
const HASH_MULTIPLIER: u32 = 2_654_435_761;
