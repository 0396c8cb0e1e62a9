//! A block as it is written: stored, in the fixed code, or in a code of its own, whichever is the smallest.

use std::sync::LazyLock;

use super::huffman::Code;
use super::tokens::{LENGTH_MAX, LENGTH_MIN, Tokens};

impl Tokens {
    /// Writes them, which stand for `bytes`, as one block.
    pub(super) fn write_block(&self, bytes: &[u8], last: bool, writer: &mut BitWriter<'_>) {
        // Never so, and a batch would be lost if it were.
        if self.bytes() != bytes.len() {
            return write_stored(bytes, last, writer);
        }
        let counts = Counts::of(self);
        let own = Codes {
            symbols: Code::of(&counts.symbols, CODE_LENGTH_MAX),
            slots: Code::of(&counts.slots, CODE_LENGTH_MAX),
        };
        let header = Header::of(&own);
        let fixed = &*FIXED;
        let own_bits = header.size() + counts.size(&own);
        let fixed_bits = counts.size(fixed);
        // Each with its own three bits, of which the last may leave up to seven unused.
        let stored_bits = bytes.len().max(1).div_ceil(STORED_MAX) * (3 + 7 + 32) + 8 * bytes.len();
        if stored_bits <= own_bits.min(fixed_bits) {
            write_stored(bytes, last, writer);
        } else if fixed_bits <= own_bits {
            writer.put(u64::from(last) | FIXED_BLOCK << 1, 3);
            self.write(fixed, writer);
        } else {
            writer.put(u64::from(last) | OWN_BLOCK << 1, 3);
            header.write(writer);
            self.write(&own, writer);
        }
    }

    fn write(&self, codes: &Codes, writer: &mut BitWriter<'_>) {
        writer.flush();
        let Codes { symbols, slots } = codes;
        // By byte or length: the code with what a length has behind it.
        let mut firsts = [(0, 0); 512];
        let (bytes, lengths) = firsts.split_at_mut(256);
        for (place, (&bits, &length)) in
            bytes.iter_mut().zip(symbols.bits.iter().zip(&symbols.lengths))
        {
            *place = (u32::from(bits), u32::from(length));
        }
        for (place, &(symbol, rest_bits, rest)) in lengths.iter_mut().zip(&LENGTHS) {
            let (bits, length) = symbols.get(symbol.into());
            *place = (bits | u32::from(rest) << length, length + u32::from(rest_bits));
        }
        // By slot: the code, its length, and that with what is behind it. A literal has none.
        let mut seconds = [(0, 0, 0); 32];
        for (slot, place) in seconds.iter_mut().enumerate().take(SLOTS) {
            let (bits, length) = slots.get(slot);
            *place = (bits, length, length + slot_bits(slot));
        }
        for token in self.as_slice() {
            let (bits, length) = firsts.get(token.byte_or_length()).copied().unwrap_or_default();
            writer.put(bits.into(), length);
            let (bits, behind, length) = seconds.get(token.slot()).copied().unwrap_or_default();
            writer.put(u64::from(bits) | u64::from(token.in_slot()) << behind, length);
            // At most 48 bits have come to at most 7.
            writer.flush();
        }
        let (bits, length) = symbols.get(END);
        writer.put(bits.into(), length);
        writer.flush();
    }
}

/// How often each symbol occurs.
struct Counts {
    symbols: [u32; SYMBOLS],
    slots: [u32; SLOTS],
}

impl Counts {
    fn of(tokens: &Tokens) -> Self {
        let mut counts = Self { symbols: [0; SYMBOLS], slots: [0; SLOTS] };
        let (bytes, lengths) = tokens.bytes_and_lengths();
        for (place, &count) in counts.symbols.iter_mut().zip(bytes) {
            *place = count;
        }
        for (&(symbol, ..), &count) in LENGTHS.iter().zip(lengths) {
            if let Some(place) = counts.symbols.get_mut(usize::from(symbol)) {
                *place += count;
            }
        }
        if let Some(end) = counts.symbols.get_mut(END) {
            *end = 1;
        }
        for (place, &count) in counts.slots.iter_mut().zip(tokens.slots()) {
            *place = count;
        }
        counts
    }

    /// Bits that the tokens take in these codes.
    fn size(&self, codes: &Codes) -> usize {
        let symbols = self.symbols.iter().zip(&codes.symbols.lengths).enumerate();
        let symbols = symbols.map(|(symbol, (&count, &length))| {
            count as usize * (usize::from(length) + length_bits(symbol))
        });
        let slots = self.slots.iter().zip(&codes.slots.lengths).enumerate();
        let slots = slots.map(|(slot, (&count, &length))| {
            count as usize * (usize::from(length) + slot_bits(slot) as usize)
        });
        3 + symbols.sum::<usize>() + slots.sum::<usize>()
    }
}

/// The two codes of a block.
struct Codes {
    symbols: Code<SYMBOLS>,
    slots: Code<SLOTS>,
}

impl<const N: usize> Code<N> {
    fn get(&self, symbol: usize) -> (u32, u32) {
        let bits = self.bits.get(symbol).copied().unwrap_or(0);
        let length = self.lengths.get(symbol).copied().unwrap_or(0);
        (bits.into(), length.into())
    }
}

/// How the codes of a block are told: the lengths of both, run by run, in a code of their own.
struct Header {
    symbols: usize,
    slots: usize,
    runs: Runs,
    code: Code<RUN_SYMBOLS>,
    /// How many lengths of that code are told.
    told: usize,
}

impl Header {
    fn of(codes: &Codes) -> Self {
        let symbols = used(&codes.symbols.lengths).max(END + 1);
        let slots = used(&codes.slots.lengths).max(1);
        let lengths = codes.symbols.lengths.iter().take(symbols);
        let mut lengths = lengths.chain(codes.slots.lengths.iter().take(slots)).peekable();
        let mut runs = Runs::default();
        while let Some(&length) = lengths.next() {
            let mut times = 1;
            while lengths.next_if_eq(&&length).is_some() {
                times += 1;
            }
            runs.push(length, times);
        }
        let code = Code::of(&runs.counts(), RUN_CODE_LENGTH_MAX);
        let told = used(&RUN_ORDER.map(|symbol| code.get(symbol).1 as u8)).max(4);
        Self { symbols, slots, runs, code, told }
    }

    /// Bits that it takes.
    fn size(&self) -> usize {
        let runs = self.runs.as_slice().iter();
        let runs = runs.map(|&(symbol, _)| self.code.get(symbol.into()).1 + run_bits(symbol));
        14 + 3 * self.told + runs.sum::<u32>() as usize
    }

    fn write(&self, writer: &mut BitWriter<'_>) {
        writer.put((self.symbols - END - 1) as u64, 5);
        writer.put((self.slots - 1) as u64, 5);
        writer.put((self.told - 4) as u64, 4);
        for &symbol in RUN_ORDER.iter().take(self.told) {
            writer.flush();
            writer.put(self.code.get(symbol).1.into(), 3);
        }
        for &(symbol, rest) in self.runs.as_slice() {
            writer.flush();
            let (bits, length) = self.code.get(symbol.into());
            writer.put(u64::from(bits | u32::from(rest) << length), length + run_bits(symbol));
        }
    }
}

/// How many lengths there are up to the last that is not 0.
fn used(lengths: &[u8]) -> usize {
    lengths.iter().rposition(|&length| length > 0).map_or(0, |at| at + 1)
}

/// Lengths of codes, run by run: a length, or how often one is repeated.
struct Runs {
    list: [(u8, u8); SYMBOLS + SLOTS],
    len: usize,
}

impl Default for Runs {
    fn default() -> Self {
        Self { list: [(0, 0); SYMBOLS + SLOTS], len: 0 }
    }
}

impl Runs {
    /// Adds a length that occurs so many times.
    fn push(&mut self, length: u8, mut times: usize) {
        if length > 0 {
            self.push_one(length, 0);
            times -= 1;
        }
        let repeats: &[(u8, usize, usize)] =
            if length > 0 { &[(REPEAT, 3, 6)] } else { &[(MANY_ZEROS, 11, 138), (ZEROS, 3, 10)] };
        for &(symbol, least, most) in repeats {
            while times >= least {
                let part = times.min(most);
                self.push_one(symbol, (part - least) as u8);
                times -= part;
            }
        }
        for _ in 0..times {
            self.push_one(length, 0);
        }
    }

    fn push_one(&mut self, symbol: u8, rest: u8) {
        if let Some(place) = self.list.get_mut(self.len) {
            *place = (symbol, rest);
            self.len += 1;
        }
    }

    fn counts(&self) -> [u32; RUN_SYMBOLS] {
        let mut counts = [0; RUN_SYMBOLS];
        for &(symbol, _) in self.as_slice() {
            if let Some(count) = counts.get_mut(usize::from(symbol)) {
                *count += 1;
            }
        }
        counts
    }

    fn as_slice(&self) -> &[(u8, u8)] {
        self.list.get(..self.len).unwrap_or_default()
    }
}

/// Writes bytes as they are, in as many blocks as their lengths of 16 bits need.
fn write_stored(bytes: &[u8], last: bool, writer: &mut BitWriter<'_>) {
    let mut chunks = bytes.chunks(STORED_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let last = last && chunks.peek().is_none();
        writer.put(u64::from(last) | STORED_BLOCK << 1, 3);
        writer.align();
        let length = chunk.len() as u64;
        writer.put(length | (!length & 0xffff) << 16, 32);
        writer.put_bytes(chunk);
    }
}

/// Bits behind a symbol that stands for lengths.
fn length_bits(symbol: usize) -> usize {
    match symbol {
        265..LONGEST => (symbol - 261) / 4,
        _ => 0,
    }
}

/// Bits behind a slot of distances.
fn slot_bits(slot: usize) -> u32 {
    (slot as u32 / 2).saturating_sub(1)
}

/// Bits behind a symbol that repeats.
fn run_bits(symbol: u8) -> u32 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// By length from [`LENGTH_MIN`]: its symbol, and how many bits of what are behind it.
const LENGTHS: [(u16, u8, u8); 256] = {
    let mut lengths = [(0, 0, 0); 256];
    let mut at = 0u32;
    #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
    while at < 256 {
        let rest_bits = if at < 8 { 0 } else { at.ilog2() - 2 };
        let symbol = END as u32 + 1 + 4 * rest_bits + (at >> rest_bits);
        let rest = at & ((1 << rest_bits) - 1);
        lengths[at as usize] = (symbol as u16, rest_bits as u8, rest as u8);
        at += 1;
    }
    // The longest has a symbol of its own.
    lengths[LENGTH_MAX - LENGTH_MIN] = (LONGEST as u16, 0, 0);
    lengths
};

/// The code that need not be told.
static FIXED: LazyLock<Codes> = LazyLock::new(|| Codes {
    symbols: Code::of_lengths(std::array::from_fn(|symbol| match symbol {
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    })),
    slots: Code::of_lengths([5; SLOTS]),
});

/// Writes bits, the first lowest in its byte.
pub(super) struct BitWriter<'a> {
    place: &'a mut [u8],
    /// Whole bytes written.
    len: usize,
    /// Those that are not yet.
    bits: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// Writes to `place`, which has room for eight bytes more than are written.
    pub(super) fn new(place: &'a mut [u8]) -> Self {
        Self { place, len: 0, bits: 0, count: 0 }
    }

    /// Adds bits, of which there are never more than 56 between flushes.
    #[inline]
    fn put(&mut self, bits: u64, count: u32) {
        debug_assert!(self.count + count < 64 && bits >> count == 0);
        self.bits |= bits << (self.count & 63);
        self.count += count;
    }

    /// Writes the whole bytes among the bits.
    #[inline]
    fn flush(&mut self) {
        if let Some(place) = self.place.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            *place = self.bits.to_le_bytes();
        }
        self.len += self.count as usize / 8;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    /// Fills the last byte.
    fn align(&mut self) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.align();
        let end = self.len + bytes.len();
        if let Some(place) = self.place.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// How many bytes there are; none if the place was too small.
    pub(super) fn finish(mut self) -> Option<usize> {
        self.align();
        (self.len + 8 <= self.place.len()).then_some(self.len)
    }
}

const STORED_BLOCK: u64 = 0;
const FIXED_BLOCK: u64 = 1;
const OWN_BLOCK: u64 = 2;

/// Bytes of a stored block.
const STORED_MAX: usize = 0xffff;

/// The end of a block among the symbols: bytes are below it, lengths above.
const END: usize = 256;
const LONGEST: usize = 285;

/// Two of them the format leaves out, but not of its fixed code.
const SYMBOLS: usize = 288;
const SLOTS: usize = 30;
const CODE_LENGTH_MAX: usize = 15;

/// A length itself is its own symbol; then come those that repeat.
const RUN_SYMBOLS: usize = 19;
const REPEAT: u8 = 16;
const ZEROS: u8 = 17;
const MANY_ZEROS: u8 = 18;
const RUN_CODE_LENGTH_MAX: usize = 7;

/// In which order their lengths are told: those that often are 0 come last.
const RUN_ORDER: [usize; RUN_SYMBOLS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
