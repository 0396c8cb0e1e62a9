//! Checksums: CRC-32C of batches, CRC-32 of the older formats, and how a checksum follows a changed header.

/// CRC-32C (Castagnoli), which guards batches of format 2.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32 (ISO-HDLC, as of zlib), which guards messages of formats 0 and 1.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iso_hdlc(bytes)
}

/// The CRC-32C of `head` followed by `body_bytes` bytes whose own CRC-32C is `body_crc`.
pub(crate) fn join(head: &[u8], body_crc: u32, body_bytes: usize) -> u32 {
    shift(crc32c(head), body_bytes) ^ body_crc
}

/// The CRC-32C after the leading bytes changed from `old` to `new`, with `body_bytes` unchanged bytes behind them.
///
/// A checksum is linear: the difference of two equally long inputs decides the difference of their checksums, and zeros
/// behind a difference only multiply it by a power of x. So the body is not read again.
pub(crate) fn patch(crc: u32, old: &[u8], new: &[u8], body_bytes: usize) -> u32 {
    debug_assert_eq!(old.len(), new.len());
    crc ^ shift(crc32c(old) ^ crc32c(new), body_bytes)
}

/// `crc` times x to the power of 8 `bytes`, modulo the polynomial.
fn shift(crc: u32, bytes: usize) -> u32 {
    let mut product = crc;
    let mut rest = bytes;
    for power in POWERS {
        if rest == 0 {
            break;
        }
        if rest & 1 == 1 {
            product = multiply(product, power);
        }
        rest >>= 1;
    }
    product
}

/// The product of two polynomials, bits reflected: the highest bit is x^0.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        // Masks, since the bits are random and a branch on them would be mispredicted half of the time.
        product ^= b & 0u32.wrapping_sub(a >> bit & 1);
        b = (b >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(b & 1));
    }
    product
}

/// x^8, x^16, x^32 and so on, each the square of the one before; a batch has less than 2^32 bytes.
const POWERS: [u32; 32] = {
    let mut powers = [ONE >> 8; 32];
    let mut at = 1;
    #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
    while at < powers.len() {
        powers[at] = multiply(powers[at - 1], powers[at - 1]);
        at += 1;
    }
    powers
};

/// x^0.
const ONE: u32 = 1 << 31;

/// Castagnoli's polynomial, bits reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_are_those_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn parts_join_to_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..100_003u32).map(|i| ((i * 31) >> 3) as u8).collect();
        for (head, end) in [(0, 0), (0, 9), (40, 40), (40, 41), (40, 1000), (7, 100_003)] {
            let whole = crc32c(&bytes[..end]);
            let body = &bytes[head..end];
            assert_eq!(join(&bytes[..head], crc32c(body), body.len()), whole, "{head} of {end}");
        }
    }

    #[test]
    fn a_patched_checksum_is_that_of_the_patched_bytes() {
        let mut bytes: Vec<u8> = (0..50_000u32).map(|i| (i * 7) as u8).collect();
        let crc = crc32c(&bytes);
        let old = bytes[..40].to_vec();
        bytes[11] ^= 0x5a;
        bytes[39] = 1;
        assert_eq!(patch(crc, &old, &bytes[..40], bytes.len() - 40), crc32c(&bytes));
    }
}
