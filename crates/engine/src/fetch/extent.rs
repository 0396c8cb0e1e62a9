//! How far a fetched record set reaches, from the heads of its batches alone.
//!
//! The driver needs to know where the next fetch starts; what is inside is checked and read by the user's task.

use milena_types::{LeaderEpoch, Offset};

/// What the whole batches of a record set span.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Extent {
    /// Bytes up to the end of the last whole batch; what follows is one that the answer cut off (trap 26).
    pub(crate) bytes: usize,
    /// Behind the last offset of the last whole batch, whether or not a record is left there (trap 25).
    pub(crate) next: Option<Offset>,
    /// The epoch of the last whole batch, where its format has one.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
}

impl Extent {
    /// Walks the batches of `records`; stops at the first that is cut off or has an impossible length.
    pub(crate) fn of(records: &[u8]) -> Self {
        let mut extent = Self::default();
        let mut rest = records;
        while let Some(batch) = Batch::first(rest) {
            rest = rest.get(batch.bytes..).unwrap_or_default();
            extent.bytes += batch.bytes;
            // Offsets only rise: a batch that claims to end earlier must not send the fetch back.
            extent.next = extent.next.max(Some(batch.next));
            extent.leader_epoch = batch.leader_epoch;
        }
        extent
    }
}

/// The head of one batch, or of one v0/v1 message or wrapper.
struct Batch {
    bytes: usize,
    next: Offset,
    leader_epoch: Option<LeaderEpoch>,
}

impl Batch {
    fn first(bytes: &[u8]) -> Option<Self> {
        let base_offset = i64::from_be_bytes(*bytes.first_chunk()?);
        let length = usize::try_from(i32::from_be_bytes(field(bytes, LENGTH_AT)?)).ok()?;
        let whole = length.checked_add(OVERHEAD)?;
        if length < LENGTH_MIN || whole > bytes.len() {
            return None;
        }
        let [magic] = field(bytes, MAGIC_AT)?;
        // v0 and v1: the offset is the message's own, or the wrapper's last.
        let (delta, leader_epoch) = if magic < 2 {
            (0, None)
        } else {
            let epoch = i32::from_be_bytes(field(bytes, EPOCH_AT)?);
            let delta = i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT)?);
            (delta.max(0), LeaderEpoch::from_wire(epoch))
        };
        let last = Offset::new(base_offset)?.saturating_add(i64::from(delta));
        Some(Self { bytes: whole, next: last.next(), leader_epoch })
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

const LENGTH_AT: usize = 8;
/// What the length does not count: the base offset and itself.
const OVERHEAD: usize = 12;
const EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const LAST_OFFSET_DELTA_AT: usize = 23;
/// The smallest message there is, of v0: CRC, magic, attributes, and the lengths of key and value.
const LENGTH_MIN: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, last_offset_delta: i32, epoch: i32, body: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(base_offset.to_be_bytes());
        bytes.extend(i32::try_from(49 + body).unwrap().to_be_bytes());
        bytes.extend(epoch.to_be_bytes());
        bytes.push(2);
        bytes.extend([0; 4 + 2]);
        bytes.extend(last_offset_delta.to_be_bytes());
        bytes.resize(61 + body, 0);
        bytes
    }

    #[test]
    fn the_next_offset_is_behind_the_last_batch() {
        let set = [batch(10, 4, 1, 20), batch(20, 0, 2, 7)].concat();
        let extent = Extent::of(&set);
        assert_eq!(extent.bytes, set.len());
        assert_eq!(extent.next, Offset::new(21));
        assert_eq!(extent.leader_epoch, LeaderEpoch::from_wire(2));
    }

    #[test]
    fn a_batch_that_was_cut_off_does_not_count() {
        let set = [batch(10, 4, 1, 20), batch(15, 9, 2, 70)].concat();
        for cut in 81..set.len() {
            let extent = Extent::of(&set[..cut]);
            assert_eq!((extent.bytes, extent.next), (81, Offset::new(15)), "cut at {cut}");
        }
        for cut in 0..81 {
            assert_eq!(Extent::of(&set[..cut]), Extent::default(), "cut at {cut}");
        }
    }

    /// R11: a negative length sent a peer's fetcher backwards.
    #[test]
    fn an_impossible_length_ends_the_walk() {
        for length in [i32::MIN, -1, 0, 13, i32::MAX] {
            let mut set = batch(0, 0, 0, 0);
            set[8..12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(Extent::of(&set), Extent::default(), "{length}");
        }
    }

    #[test]
    fn a_set_that_goes_back_does_not_send_the_fetch_back() {
        let set = [batch(10, 4, 1, 0), batch(2, 0, 1, 0)].concat();
        assert_eq!(Extent::of(&set).next, Offset::new(15));
        let negative = [batch(10, 4, 1, 0), batch(-5, 0, 1, 0)].concat();
        assert_eq!(Extent::of(&negative).next, Offset::new(15));
    }

    #[test]
    fn an_old_message_counts_one_offset() {
        let mut set = vec![0; 26];
        set[..8].copy_from_slice(&7_i64.to_be_bytes());
        set[8..12].copy_from_slice(&14_i32.to_be_bytes());
        let extent = Extent::of(&set);
        assert_eq!((extent.next, extent.leader_epoch), (Offset::new(8), None));
    }
}
