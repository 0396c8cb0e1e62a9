//! Zig-zag numbers of variable length, as records write them.

/// Bytes that the longest number takes.
pub(crate) const VARLONG_BYTES_MAX: usize = 10;

/// Maps small numbers of either sign to small unsigned ones.
#[inline]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// How many bytes `value` takes.
#[inline]
pub(crate) const fn size(value: i64) -> usize {
    // 7 bits a byte, and at least one byte: (bits + 6) / 7 with bits = 64 - leading zeros.
    (70 - (zigzag(value) | 1).leading_zeros() as usize) / 7
}

/// Writes `value` at the front of `out` and returns its length in bytes; nothing is written past that.
///
/// `out` must have [`VARLONG_BYTES_MAX`] bytes; the callers' arrays are sized for it.
#[inline]
pub(crate) fn put(out: &mut [u8], value: i64) -> usize {
    let mut rest = zigzag(value);
    let mut written = 0;
    for byte in out {
        written += 1;
        if rest < 0x80 {
            *byte = rest as u8;
            break;
        }
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    written
}

/// Reads a number from the front of `bytes`, and leaves what follows it.
///
/// `None` where the bytes end early or the number is longer than 64 bits.
// A plain loop with an early exit: branch-free decoding measured slower, because the place of the next number waits for
// this one's length.
#[inline]
pub(crate) fn take_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The tenth byte has room for one bit.
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
        shift += 7;
    }
}

/// Reads a number of at most 32 bits.
#[inline]
pub(crate) fn take_int(bytes: &mut &[u8]) -> Option<i32> {
    let mut value = 0u32;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The fifth byte has room for four bits.
        if shift == 28 && byte > 0x0f {
            return None;
        }
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i32 ^ -((value & 1) as i32));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [i64; 18] = [
        0,
        -1,
        1,
        63,
        64,
        -64,
        -65,
        8191,
        8192,
        i32::MAX as i64,
        i32::MIN as i64,
        (1 << 34) - 1,
        1 << 48,
        -(1 << 55),
        1 << 56,
        1 << 62,
        i64::MAX,
        i64::MIN,
    ];

    #[test]
    fn a_number_comes_back_and_has_the_size_that_was_said() {
        for value in EDGES {
            let mut out = [0xaa; VARLONG_BYTES_MAX + 1];
            let written = put(&mut out, value);
            assert_eq!(written, size(value), "{value}");
            assert_eq!(out[written], 0xaa);
            let mut bytes = &out[..written];
            assert_eq!(take_long(&mut bytes), Some(value));
            assert!(bytes.is_empty());
            let int = i32::try_from(value).ok();
            assert_eq!(take_int(&mut &out[..written]), int, "{value}");
        }
    }

    #[test]
    fn a_number_that_is_cut_off_or_too_long_is_none() {
        let mut out = [0; VARLONG_BYTES_MAX];
        let written = put(&mut out, i64::MIN);
        for end in 0..written {
            assert_eq!(take_long(&mut &out[..end]), None);
        }
        assert_eq!(take_long(&mut &[0x80; 20][..]), None);
        assert_eq!(take_int(&mut &[0x80; 20][..]), None);
        let eleven_bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take_long(&mut &eleven_bytes[..]), None);
        assert_eq!(take_int(&mut &[0xff, 0xff, 0xff, 0xff, 0x10][..]), None);
        assert_eq!(take_int(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), Some(i32::MIN));
    }
}
