//! The search for matches: bytes that occurred in the 32 KiB before.
//!
//! Two tables, by the hash of five and of eight bytes, hold the last positions that began with them. The longer hash goes
//! first: where text repeats, it finds the match that a chain of all positions with the same beginning would lead to last.
//! Nothing is chained, so that a search costs two or three looks into memory.

use super::deflate::Effort;
use super::tokens::{DISTANCE_MAX, LENGTH_MAX, Tokens};

/// The tables, kept to be used again by the next buffer.
#[derive(Default)]
pub(super) struct MatchFinder {
    /// By hash of five bytes: the last position, counted from `base`.
    short: Vec<u32>,
    /// By hash of eight bytes: the last position and the one before it.
    long: Vec<[u32; 2]>,
    /// Moves on by each buffer, so that what older ones left in the tables lies below it and needs no clearing.
    base: u32,
}

impl MatchFinder {
    /// Begins a buffer of so many bytes.
    pub(super) fn start(&mut self, bytes: usize) {
        let fits = u32::try_from(bytes).ok().and_then(|bytes| self.base.checked_add(bytes));
        if self.base == 0 || fits.is_none() {
            self.short.clear();
            self.long.clear();
            // So that nothing in the tables is a position.
            self.base = 1;
        }
        self.short.resize(SHORT_SLOTS, 0);
        self.long.resize(LONG_SLOTS, [0; 2]);
    }

    /// Ends it.
    pub(super) fn finish(&mut self, bytes: usize) {
        // A buffer of 4 GiB leaves nothing to go on with.
        let next = u32::try_from(bytes).ok().and_then(|bytes| self.base.checked_add(bytes));
        self.base = next.unwrap_or(0);
    }

    #[cfg(test)]
    pub(super) fn move_base(&mut self, base: u32) {
        self.base = base;
    }

    /// Adds literals and matches from `start` on until there are enough for a block; returns where they end.
    pub(super) fn search(
        &mut self,
        effort: Effort,
        input: &[u8],
        start: usize,
        tokens: &mut Tokens,
    ) -> usize {
        let base = self.base;
        let (Some(short), Some(long)) = (self.short.first_chunk_mut(), self.long.first_chunk_mut())
        else {
            return input.len();
        };
        let tables = Tables { short, long, base };
        match effort {
            Effort::Fast => search_by::<false, 1, 4>(tables, input, start, tokens),
            Effort::Usual => search_by::<true, 1, 3>(tables, input, start, tokens),
            Effort::Thorough => search_by::<true, 2, 1>(tables, input, start, tokens),
        }
    }
}

struct Tables<'a> {
    short: &'a mut [u32; SHORT_SLOTS],
    long: &'a mut [[u32; 2]; LONG_SLOTS],
    base: u32,
}

/// A match: so many bytes, equal to those so far back. Length 0 stands for none.
#[derive(Clone, Copy, Default)]
struct Match {
    length: usize,
    distance: usize,
}

impl Tables<'_> {
    /// The position as the tables hold it. Past 4 GiB it is one of before, which costs a look and does no harm.
    #[inline]
    fn stamp(&self, position: usize) -> u32 {
        self.base.wrapping_add(position as u32)
    }

    /// How far back a candidate is: 0 or more than the window if it is none.
    #[inline]
    fn distance(&self, candidate: u32, position: usize) -> usize {
        self.stamp(position).wrapping_sub(candidate) as usize
    }

    /// Enters a position under its longer hash; returns those that were there.
    #[inline]
    fn enter_long(&mut self, word: u64, position: usize) -> [u32; 2] {
        let stamp = self.stamp(position);
        let Some(place) = self.long.get_mut(long_hash(word)) else { return [0; 2] };
        let before = *place;
        *place = [stamp, before[0]];
        before
    }

    /// Enters a position under its shorter hash; returns the one that was there.
    #[inline]
    fn enter_short(&mut self, word: u64, position: usize) -> u32 {
        let stamp = self.stamp(position);
        let Some(place) = self.short.get_mut(short_hash(word)) else { return 0 };
        std::mem::replace(place, stamp)
    }

    /// The match at `position`, whose first eight bytes are `word`, with a candidate.
    #[inline]
    fn match_of(&self, input: &[u8], position: usize, word: u64, candidate: u32) -> Match {
        let distance = self.distance(candidate, position);
        if distance.wrapping_sub(1) >= position.min(DISTANCE_MAX) {
            return Match::default();
        }
        let difference = word_at(input, position - distance) ^ word;
        if difference as u32 != 0 {
            return Match::default();
        }
        let length = match difference {
            0 => equal(input, position - distance, position, 8),
            _ => difference.trailing_zeros() as usize / 8,
        };
        Match { length, distance }
    }

    /// The longest match with the first `WAYS` of the candidates.
    #[inline]
    fn longest<const WAYS: usize>(
        &self,
        input: &[u8],
        position: usize,
        word: u64,
        candidates: [u32; 2],
    ) -> Match {
        let mut best = Match::default();
        for candidate in candidates.into_iter().take(WAYS) {
            let found = self.match_of(input, position, word, candidate);
            if found.length > best.length {
                best = found;
            }
        }
        best
    }
}

/// `LAZY`: looks for longer matches than the one found. `WAYS`: candidates of a hash, 1 or 2. `STEP`: of the bytes of a
/// match, one in so many is entered into the table of shorter hashes.
#[inline(never)]
fn search_by<const LAZY: bool, const WAYS: usize, const STEP: usize>(
    mut tables: Tables<'_>,
    input: &[u8],
    start: usize,
    tokens: &mut Tokens,
) -> usize {
    let starts_end = input.len().saturating_sub(MARGIN);
    let (mut anchor, mut position) = (start, start);
    while position < starts_end {
        if tokens.room() < position - anchor + ROOM_MIN {
            tokens.push_literals(input.get(anchor..position).unwrap_or_default());
            return position;
        }
        let word = word_at(input, position);
        let candidates = tables.enter_long(word, position);
        let candidate = tables.enter_short(word, position);
        let mut found = tables.longest::<WAYS>(input, position, word, candidates);
        if found.length == 0 {
            found = tables.match_of(input, position, word, candidate);
        }
        if found.length == 0 || found.length == 4 && found.distance > SHORT_DISTANCE_MAX {
            // Where nothing repeats, fewer and fewer positions are tried.
            position += 1 + ((position - anchor) >> 7).min(STEP_MAX - 1);
            continue;
        }
        let mut entered = position + 1;
        if LAZY {
            while found.length < LAZY_LENGTH_MAX && position + 1 < starts_end {
                let word = word_at(input, position + 1);
                let candidates = tables.enter_long(word, position + 1);
                tables.enter_short(word, position + 1);
                entered = position + 2;
                let next = tables.longest::<WAYS>(input, position + 1, word, candidates);
                if next.length <= found.length {
                    break;
                }
                found = next;
                position += 1;
            }
            if found.length < END_LENGTH_MAX && position + found.length < starts_end {
                longer_by_its_end(&tables, input, &mut position, &mut found);
            }
        }
        // Bytes before the match may belong to it too.
        while position > anchor
            && position > found.distance
            && found.length < LENGTH_MAX
            && input.get(position - 1) == input.get(position - 1 - found.distance)
        {
            position -= 1;
            found.length += 1;
        }
        tokens.push_literals(input.get(anchor..position).unwrap_or_default());
        tokens.push_match(found.length, found.distance);
        let end = position + found.length;
        let enter_end = end.min(starts_end);
        while entered < enter_end {
            let word = word_at(input, entered);
            tables.enter_long(word, entered);
            tables.enter_short(word, entered);
            if STEP > 1 && entered + 1 < enter_end {
                tables.enter_long(word_at(input, entered + 1), entered + 1);
            }
            entered += STEP;
        }
        position = end;
        anchor = end;
    }
    tokens.push_literals(input.get(anchor..).unwrap_or_default());
    input.len()
}

/// What follows a match has occurred before too, perhaps behind a longer one. Its first two bytes need not match.
#[inline]
fn longer_by_its_end(tables: &Tables<'_>, input: &[u8], position: &mut usize, found: &mut Match) {
    let end = *position + found.length;
    let candidates = tables.long.get(long_hash(word_at(input, end)));
    let distance = candidates.map_or(0, |candidates| tables.distance(candidates[0], end));
    if distance.wrapping_sub(1) >= (*position).min(DISTANCE_MAX) || distance == found.distance {
        return;
    }
    let from = *position + 2;
    let length = equal(input, from - distance, from, 0);
    if length > found.length {
        *position = from;
        *found = Match { length, distance };
    }
}

/// How many bytes from `at` on are equal to those from `before` on, at most [`LENGTH_MAX`]; so many of them are known.
#[inline]
fn equal(input: &[u8], before: usize, at: usize, known: usize) -> usize {
    let a = input.get(before..).unwrap_or_default();
    let b = input.get(at..input.len().min(at + LENGTH_MAX)).unwrap_or_default();
    let mut equal = known;
    while equal + 8 <= b.len() {
        let difference = word_at(a, equal) ^ word_at(b, equal);
        if difference != 0 {
            return equal + difference.trailing_zeros() as usize / 8;
        }
        equal += 8;
    }
    while equal < b.len() && a.get(equal) == b.get(equal) {
        equal += 1;
    }
    equal
}

/// Eight bytes; 0 past the end.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |word| u64::from_le_bytes(*word))
}

/// Of five bytes.
#[inline]
fn short_hash(word: u64) -> usize {
    ((word << 24).wrapping_mul(HASH_MULTIPLIER) >> (64 - SHORT_SLOTS.ilog2())) as usize
}

/// Of eight.
#[inline]
fn long_hash(word: u64) -> usize {
    (word.wrapping_mul(HASH_MULTIPLIER) >> (64 - LONG_SLOTS.ilog2())) as usize
}

/// No match starts in the last bytes, so that eight can be read at the position and at the next one.
const MARGIN: usize = 9;

/// A match of four bytes from farther away takes more than its literals.
const SHORT_DISTANCE_MAX: usize = 4096;

/// A match of this length is taken without a look at the next position, and one of the other without a look at its end.
const LAZY_LENGTH_MAX: usize = 24;
const END_LENGTH_MAX: usize = 64;

/// Tokens that the search may add before it looks at the room again: a step, or a match behind some more literals, and the
/// last bytes of the buffer.
const ROOM_MIN: usize = 128;

/// The longest step where nothing repeats.
const STEP_MAX: usize = 32;

const SHORT_SLOTS: usize = 1 << 15;
const LONG_SLOTS: usize = 1 << 16;

/// An odd number of random bits.
const HASH_MULTIPLIER: u64 = 0xcf1b_bcdc_b7a5_6463;
