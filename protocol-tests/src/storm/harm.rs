//! What happens to a frame between a client and a broker.
//!
//! Bits are flipped only where a checksum tells: in a Produce request that of the batch, for the broker, in a Fetch answer
//! the same, for the consumer. Nothing else in the protocol has one: with another bit changed, a request may be a good one
//! for another partition or offset, and an answer a good one about another, which no client could know.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milena_types::ApiKey;

use super::weather::none_of;
use crate::raw::crc32c;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Request,
    Answer,
}

/// A fault that one frame suffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Harm {
    kind: Kind,
    way: Way,
    /// Of which API, if it matters.
    of: Option<ApiKey>,
    /// Where in the frame, as a fraction of 2^32.
    place: u32,
    /// For how long, where it is a delay.
    pause: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Cut,
    Truncate,
    Delay,
    Flip,
}

/// What is left to do for who carries the frame, all of them counted already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It arrives; perhaps not as it was sent.
    Whole,
    /// So many bytes arrive; then the connection ends.
    Torn(usize),
    /// So many bytes arrive; the rest follows later, whoever still listens.
    Late(usize, Duration),
}

/// The faults that wait for their frames, and how many have found one.
#[derive(Debug, Default)]
pub(super) struct Harms {
    waiting: Mutex<VecDeque<Harm>>,
    cut: AtomicUsize,
    truncated: AtomicUsize,
    delayed: AtomicUsize,
    flipped: [AtomicUsize; 2],
}

impl Harm {
    /// Any.
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let kind = [Kind::Cut, Kind::Truncate, Kind::Delay, Kind::Delay, Kind::Flip];
        let kind = kind[rng.usize(..kind.len())];
        let way = if rng.bool() { Way::Request } else { Way::Answer };
        let of = match (kind, way) {
            (Kind::Flip, Way::Request) => Some(ApiKey::PRODUCE),
            (Kind::Flip, Way::Answer) => Some(ApiKey::FETCH),
            _ => APIS[rng.usize(..APIS.len())],
        };
        let pause = if rng.u8(..8) == 0 { rng.u64(5_000..20_000) } else { rng.u64(50..3_000) };
        Self { kind, way, of, place: rng.u32(..), pause: Duration::from_millis(pause) }
    }

    /// A point in `range`, which is not empty.
    fn within(&self, range: &Range<usize>) -> usize {
        let offset = (range.len() as u64 * u64::from(self.place)) >> 32;
        range.start + usize::try_from(offset).unwrap_or_default()
    }
}

impl Harms {
    /// Lets the next frame that it fits suffer `harm`.
    pub(super) fn add(&self, harm: Harm) {
        let mut waiting = self.waiting.lock().unwrap();
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(harm);
    }

    /// From here on nothing is harmed.
    pub(super) fn clear(&self) {
        self.waiting.lock().unwrap().clear();
    }

    /// What has struck no frame at all.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let [requests, answers] = &self.flipped;
        let counts = [
            (&self.cut, "frames cut"),
            (&self.truncated, "frames truncated"),
            (&self.delayed, "frames delayed"),
            (requests, "frames flipped on the way there"),
            (answers, "frames flipped on the way back"),
        ];
        none_of(&counts)
    }

    /// Does to `frame`, with its length, what waits for such a one.
    pub(super) fn strike(&self, way: Way, of: ApiKey, frame: &mut [u8]) -> Fate {
        let mut waiting = self.waiting.lock().unwrap();
        let mut batch = None;
        let fits = |harm: &Harm| {
            harm.way == way
                && harm.of.is_none_or(|api| api == of)
                && (harm.kind != Kind::Flip || {
                    batch = guarded(way, frame);
                    batch.is_some()
                })
        };
        let Some(harm) = waiting.iter().position(fits).and_then(|at| waiting.remove(at)) else {
            return Fate::Whole;
        };
        drop(waiting);
        let (count, fate) = match (harm.kind, batch) {
            (Kind::Flip, Some(bytes)) => {
                frame[harm.within(&bytes)] ^= 1 << (harm.place % 8);
                (&self.flipped[way as usize], Fate::Whole)
            }
            (Kind::Cut | Kind::Flip, _) => (&self.cut, Fate::Torn(0)),
            (Kind::Truncate, _) => (&self.truncated, Fate::Torn(harm.within(&(1..frame.len())))),
            (Kind::Delay, _) => {
                (&self.delayed, Fate::Late(harm.within(&(0..frame.len())), harm.pause))
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(?harm, api = %of, bytes = frame.len(), "harmed");
        fate
    }
}

impl fmt::Display for Harms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let [requests, answers] = &self.flipped;
        write!(
            f,
            "frames cut {}, truncated {}, delayed {}, flipped {} on the way there and {} on the way back",
            count(&self.cut),
            count(&self.truncated),
            count(&self.delayed),
            count(requests),
            count(answers),
        )
    }
}

/// The bytes of the first batch in `frame` whose damage its reader must notice.
///
/// A broker takes the producer id of a transactional batch to the coordinator before it looks at the checksum, and tells
/// the producer of another's that it is none any more. So on the way there it is the records.
fn guarded(way: Way, frame: &[u8]) -> Option<Range<usize>> {
    let batch =
        (0..frame.len().checked_sub(HEADER_BYTES)?).find_map(|start| batch(frame, start))?;
    match way {
        Way::Request if batch.len() > HEADER_BYTES => Some(batch.start + HEADER_BYTES..batch.end),
        Way::Request => None,
        Way::Answer => Some(batch.start + CRC_AT..batch.end),
    }
}

/// The batch that begins at `start`, if one does: then length, format and checksum say so.
fn batch(frame: &[u8], start: usize) -> Option<Range<usize>> {
    let bytes = frame.get(start..)?;
    if bytes.get(CRC_AT - 1) != Some(&2) {
        return None;
    }
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let bytes =
        bytes.get(..usize::try_from(number(LENGTH_AT)?).ok()?.checked_add(LENGTH_AT + 4)?)?;
    let is_one = bytes.len() >= HEADER_BYTES && crc32c(&bytes[CRC_AT + 4..]) == number(CRC_AT)?;
    is_one.then_some(start..start + bytes.len())
}

const LENGTH_AT: usize = 8;
const CRC_AT: usize = 17;
const HEADER_BYTES: usize = 61;

/// Faults wait for an API that may come seldom; those that waited longest give way.
const WAITING_MAX: usize = 32;

/// What faults wait for: most often for what there is most of.
const APIS: &[Option<ApiKey>] = &[
    None,
    None,
    Some(ApiKey::PRODUCE),
    Some(ApiKey::PRODUCE),
    Some(ApiKey::FETCH),
    Some(ApiKey::FETCH),
    Some(ApiKey::END_TXN),
    Some(ApiKey::END_TXN),
    Some(ApiKey::TXN_OFFSET_COMMIT),
    Some(ApiKey::TXN_OFFSET_COMMIT),
    Some(ApiKey::ADD_PARTITIONS_TO_TXN),
    Some(ApiKey::OFFSET_COMMIT),
    Some(ApiKey::HEARTBEAT),
    Some(ApiKey::JOIN_GROUP),
    Some(ApiKey::SYNC_GROUP),
    Some(ApiKey::CONSUMER_GROUP_HEARTBEAT),
    Some(ApiKey::METADATA),
    Some(ApiKey::FIND_COORDINATOR),
    Some(ApiKey::INIT_PRODUCER_ID),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Batch;

    fn harm(kind: Kind, way: Way, place: u32) -> Harm {
        Harm { kind, way, of: None, place, pause: Duration::ZERO }
    }

    /// Every place and bit that can be drawn leaves a frame whose batch is no batch any more, and the rest as it was.
    #[test]
    fn a_flip_is_always_one_that_the_checksum_tells() {
        let batch = Batch::of(&["one", "two"]).bytes();
        let frame = [&[2; 40][..], &batch, &[2; 70]].concat();
        for way in [Way::Request, Way::Answer] {
            for place in (0..=u32::MAX).step_by(1 << 20) {
                let (harms, mut struck) = (Harms::default(), frame.clone());
                harms.add(harm(Kind::Flip, way, place));
                assert_eq!(harms.strike(way, ApiKey::PRODUCE, &mut struck), Fate::Whole);
                let changed: Vec<_> =
                    (0..frame.len()).filter(|at| frame[*at] != struck[*at]).collect();
                assert_eq!(changed.len(), 1, "{changed:?}");
                let guarded = 40 + if way == Way::Request { HEADER_BYTES } else { CRC_AT };
                assert!((guarded..40 + batch.len()).contains(&changed[0]), "{changed:?}");
                assert_eq!(super::batch(&struck, 40), None);
            }
        }
    }

    #[test]
    fn what_struck_nothing_is_told() {
        let harms = Harms::default();
        assert_eq!(harms.missing().len(), 5);
        harms.add(harm(Kind::Cut, Way::Request, 0));
        harms.add(harm(Kind::Flip, Way::Answer, 0));
        let mut batch = Batch::of(&["one"]).bytes().to_vec();
        harms.strike(Way::Request, ApiKey::METADATA, &mut [0; 10]);
        harms.strike(Way::Answer, ApiKey::FETCH, &mut batch);
        let left = ["frames truncated", "frames delayed", "frames flipped on the way there"];
        assert_eq!(harms.missing(), left);
    }

    #[test]
    fn a_flip_waits_for_a_frame_with_a_batch() {
        let harms = Harms::default();
        harms.add(harm(Kind::Flip, Way::Answer, 7));
        let (bare, batch) = (vec![0; 200], Batch::of(&["one"]).bytes().to_vec());
        for frame in [&bare, &batch] {
            let mut struck = frame.clone();
            harms.strike(Way::Answer, ApiKey::FETCH, &mut struck);
            assert_eq!(struck == *frame, *frame == bare);
        }
    }

    #[test]
    fn each_fault_strikes_once_and_what_it_is_meant_for() {
        let harms = Harms::default();
        let wished =
            Harm { of: Some(ApiKey::END_TXN), ..harm(Kind::Truncate, Way::Answer, 1 << 31) };
        harms.add(wished);
        let mut frame = [0; 100];
        let mut strike = |way, api| harms.strike(way, api, &mut frame);
        assert_eq!(strike(Way::Request, ApiKey::END_TXN), Fate::Whole);
        assert_eq!(strike(Way::Answer, ApiKey::METADATA), Fate::Whole);
        assert_eq!(strike(Way::Answer, ApiKey::END_TXN), Fate::Torn(50));
        assert_eq!(strike(Way::Answer, ApiKey::END_TXN), Fate::Whole);
    }
}
