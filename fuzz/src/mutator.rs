//! Makes new inputs out of old ones.

use fastrand::Rng;
use milena_types::ApiKey;

use crate::corpus::Seed;

/// Changes inputs, the same way for the same seed.
#[derive(Debug)]
pub struct Mutator {
    rng: Rng,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// A mutator that repeats itself for the same `seed` and [`words`](crate::dictionary::words).
    pub fn new(seed: u64, words: Vec<Vec<u8>>) -> Self {
        Self { rng: Rng::with_seed(seed), words }
    }

    /// One of `seeds`, changed in one to eight places; nothing where there are none.
    pub fn next(&mut self, seeds: &[Seed]) -> Vec<u8> {
        let Some(seed) = self.rng.choice(seeds) else { return Vec::new() };
        let mut data = seed.data.clone();
        // Few changes get deep, many get far.
        let changes = 1 << self.rng.u32(0..=3);
        for _ in 0..self.rng.u32(1..=changes) {
            self.change(&mut data, seeds);
        }
        data.truncate(INPUT_BYTES_MAX);
        data
    }

    fn change(&mut self, data: &mut Vec<u8>, seeds: &[Seed]) {
        match self.rng.u8(0..12) {
            0 | 1 => self.flip(data),
            2 => self.set(data),
            3 | 4 => self.put_number(data),
            5 => data.truncate(self.rng.usize(0..=data.len())),
            6 => self.remove(data),
            7 => self.repeat(data),
            8 => self.insert(data),
            9 => self.crowd(data),
            10 => self.say(data),
            _ => self.splice(data, seeds),
        }
    }

    /// One bit.
    fn flip(&mut self, data: &mut [u8]) {
        let bit = 1 << self.rng.u8(0..8);
        if let Some(byte) = self.any(data) {
            *byte ^= bit;
        }
    }

    /// One byte.
    fn set(&mut self, data: &mut [u8]) {
        let value = self.rng.u8(..);
        if let Some(byte) = self.any(data) {
            *byte = value;
        }
    }

    /// A number that is the first or last of something, of one to eight bytes, as lengths and counts are written.
    fn put_number(&mut self, data: &mut [u8]) {
        let near = i64::try_from(data.len()).unwrap_or(0);
        let number = match self.rng.u8(0..8) {
            0 | 1 => near + self.rng.i64(-4..=4),
            // What answers are read by.
            2 => self.rng.choice(ApiKey::ALL).map_or(0, |key| i64::from(key.get())),
            3 => i64::from(self.rng.i16(-1..=ERROR_CODE_MAX)),
            _ => self.rng.choice(NUMBERS).copied().unwrap_or(0),
        };
        let mut bytes = number.to_be_bytes();
        let width = 1 << self.rng.u32(0..=3);
        if self.rng.u8(0..4) == 0 {
            bytes.reverse();
            // The low bytes last again.
            bytes.rotate_left(width % LONGEST);
        }
        let from = LONGEST - width;
        let at = self.rng.usize(0..=data.len());
        let places = data.iter_mut().skip(at);
        places.zip(bytes.into_iter().skip(from)).for_each(|(place, byte)| *place = byte);
    }

    /// A piece is taken out.
    fn remove(&mut self, data: &mut Vec<u8>) {
        let (start, end) = self.piece(data);
        data.drain(start..end);
    }

    /// A piece stands there several times.
    fn repeat(&mut self, data: &mut Vec<u8>) {
        let (start, end) = self.piece(data);
        let times = 1 << self.rng.u32(0..=6);
        let piece = data.get(start..end).unwrap_or_default().repeat(times);
        if data.len() + piece.len() <= INPUT_BYTES_MAX {
            data.splice(end..end, piece);
        }
    }

    /// A few bytes more.
    fn insert(&mut self, data: &mut Vec<u8>) {
        let at = self.rng.usize(0..=data.len());
        let bytes: Vec<u8> = (0..self.rng.usize(1..=9)).map(|_| self.rng.u8(..)).collect();
        data.splice(at..at, bytes);
    }

    /// A word of the target's own, before what is there or in its place.
    fn say(&mut self, data: &mut Vec<u8>) {
        let Self { rng, words } = self;
        let Some(word) = rng.choice(&*words) else { return };
        let at = rng.usize(0..=data.len());
        let end = if rng.bool() { data.len().min(at + word.len()) } else { at };
        data.splice(at..end, word.iter().copied());
    }

    /// From one place on, a count and that many of the smallest elements: what grows most when it is read.
    fn crowd(&mut self, data: &mut Vec<u8>) {
        data.truncate(self.rng.usize(0..=data.len()));
        let element: Vec<u8> = (0..self.rng.usize(1..=6)).map(|_| self.rng.u8(0..=1)).collect();
        let left = INPUT_BYTES_MAX.saturating_sub(data.len() + LONGEST);
        let count = (left >> self.rng.u32(0..=6)) / element.len();
        if self.rng.bool() {
            data.extend(u32::try_from(count).unwrap_or(0).to_be_bytes());
        } else {
            // Flexible versions write one more, seven bits a byte.
            let mut rest = count + 1;
            while rest > 0x7f {
                data.push(0x80 | (rest & 0x7f) as u8);
                rest >>= 7;
            }
            data.push(rest as u8);
        }
        data.extend(element.repeat(count));
    }

    /// The beginning of this, a piece of another, and mostly the rest of this.
    fn splice(&mut self, data: &mut Vec<u8>, seeds: &[Seed]) {
        let Some(other) = self.rng.choice(seeds) else { return };
        let (start, end) = self.piece(&other.data);
        let piece = other.data.get(start..end).unwrap_or_default();
        let at = self.rng.usize(0..=data.len());
        match self.rng.u8(0..3) {
            0 => data.truncate(at),
            1 => _ = data.drain(at..data.len().min(at + piece.len())),
            _ => {}
        }
        data.splice(at..at, piece.iter().copied());
    }

    fn any<'a>(&mut self, data: &'a mut [u8]) -> Option<&'a mut u8> {
        let at = self.rng.usize(0..data.len().max(1));
        data.get_mut(at)
    }

    /// Where a piece starts and ends; short ones are as frequent as long ones.
    fn piece(&mut self, data: &[u8]) -> (usize, usize) {
        let start = self.rng.usize(0..=data.len());
        let left = data.len() - start;
        let longest = if self.rng.bool() { left.min(16) } else { left };
        (start, start + self.rng.usize(0..=longest))
    }
}

/// Longer inputs find nothing that these do not, only later.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Bytes of the longest number.
const LONGEST: usize = 8;

/// A little beyond the last error code.
const ERROR_CODE_MAX: i16 = 140;

/// First and last of their kind, in one place or another.
const NUMBERS: &[i64] = &[
    -2,
    -1,
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    1 << 20,
    1 << 27,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    i64::MIN,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn made(seed: u64) -> Vec<Vec<u8>> {
        let seeds: Vec<Seed> = (0..4)
            .map(|n| Seed { origin: String::new(), data: vec![n; 100 * usize::from(n)] })
            .collect();
        let mut mutator = Mutator::new(seed, vec![b"word".to_vec()]);
        (0..1000).map(|_| mutator.next(&seeds)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_makes_others() {
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn words_are_put_in_whole() {
        let has_word = |data: &Vec<u8>| data.windows(4).any(|piece| piece == b"word");
        assert!(made(1).iter().filter(|data| has_word(data)).count() > 100);
    }

    #[test]
    fn no_input_is_longer_than_the_limit() {
        assert!(made(3).iter().all(|data| data.len() <= INPUT_BYTES_MAX));
    }
}
