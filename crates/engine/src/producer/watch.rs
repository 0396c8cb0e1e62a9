//! Who is told what becomes of a record without awaiting its delivery.

use std::fmt;
use std::ops::Range;

use super::delivery::RecordMetadata;
use super::record::Own;
use crate::Error;

/// Called once with what became of a record. It must not panic: whoever makes it sees to that.
pub type Callback = Box<dyn FnOnce(Result<RecordMetadata, Error>) + Send>;

/// Who, besides the holder of the [`Delivery`](super::Delivery), is to know what becomes of a record.
///
/// Callbacks of one partition are called in the order of its records, by whoever drives the machine, and on no lock.
#[derive(Default)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth way to care for a record")]
pub enum Watch {
    /// Nobody.
    #[default]
    Nobody,
    /// Nobody but the counters, should it fail: see [`Accumulator::take_detached_failures`].
    ///
    /// [`Accumulator::take_detached_failures`]: super::Accumulator::take_detached_failures
    Detached,
    /// This function.
    Callback(Callback),
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Detached => "Detached",
            Self::Callback(_) => "Callback",
        })
    }
}

/// Those who watch the records of one batch. Costs nothing where nobody does.
#[derive(Default)]
pub(super) struct Watchers {
    /// In order of record; `None` once called.
    callbacks: Vec<(u32, Own, Option<Callback>)>,
    /// Runs of records that were sent without anyone to wait for them, in order.
    detached: Vec<Range<u32>>,
}

/// Those who watch some records of one batch.
#[derive(Default)]
pub(super) struct Watching {
    pub(super) callbacks: Vec<(u32, Own, Callback)>,
    /// How many of the records are detached.
    pub(super) detached: u32,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.callbacks.is_empty() && self.detached.is_empty()
    }

    /// Adds who watches `record`, which comes after all that were added.
    #[inline]
    pub(super) fn add(&mut self, record: u32, watch: Watch, own: impl FnOnce() -> Own) {
        match watch {
            Watch::Nobody => {}
            Watch::Detached => match self.detached.last_mut() {
                Some(run) if run.end == record => run.end += 1,
                _ => self.detached.push(record..record + 1),
            },
            Watch::Callback(callback) => self.callbacks.push((record, own(), Some(callback))),
        }
    }

    /// Takes those who watch the `records` records from `first` on.
    pub(super) fn take(&mut self, first: u32, records: u32) -> Watching {
        let end = first + records;
        let from = self.callbacks.partition_point(|&(record, ..)| record < first);
        let to = self.callbacks.partition_point(|&(record, ..)| record < end);
        let callbacks = self.callbacks.get_mut(from..to).unwrap_or_default().iter_mut();
        let callbacks = callbacks.filter_map(|(record, own, callback)| {
            callback.take().map(|callback| (*record, *own, callback))
        });
        let overlap = |run: &Range<u32>| run.end.min(end).saturating_sub(run.start.max(first));
        Watching {
            callbacks: callbacks.collect(),
            detached: self.detached.iter().map(overlap).sum(),
        }
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers")
            .field("callbacks", &self.callbacks.len())
            .field("detached", &self.detached)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use milena_types::Timestamp;

    use super::*;
    use crate::producer::record::Sizes;

    #[test]
    fn a_split_batch_tells_each_watcher_once() {
        let mut watchers = Watchers::default();
        for record in 0..10 {
            let watch = match record {
                0..=3 | 6 => Watch::Detached,
                5 => Watch::Nobody,
                _ => Watch::Callback(Box::new(|_| {})),
            };
            let own = Own { timestamp: Timestamp::from_millis(0), sizes: Sizes::UNKNOWN };
            watchers.add(record, watch, || own);
        }
        assert_eq!(watchers.detached, [0..4, 6..7]);
        let told = |watching: &Watching| -> Vec<u32> {
            watching.callbacks.iter().map(|&(record, ..)| record).collect()
        };
        let first = watchers.take(0, 3);
        assert_eq!((first.detached, told(&first)), (3, vec![]));
        let rest = watchers.take(3, 6);
        assert_eq!((rest.detached, told(&rest)), (2, vec![4, 7, 8]));
        let again = watchers.take(7, 3);
        assert_eq!((again.detached, told(&again)), (0, vec![9]));
    }
}
