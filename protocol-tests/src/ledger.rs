//! What a group as a whole has read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use std::time::Duration;

use milena::{Batch, Kafka, TopicPartition};
use tokio::time::Instant;

use crate::Result;

/// Keeps account of numbered records: each key once, and in each partition offsets and keys that rise. What is read
/// again is judged in the end, by what was in [`Doubt`].
#[derive(Debug)]
pub(crate) struct Ledger {
    name: String,
    records: usize,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// The last offset and the last key of each partition.
    last: BTreeMap<i32, (i64, usize)>,
    /// Partition and offset of each key.
    places: Vec<Option<(i32, i64)>>,
    count: usize,
    /// What had been read before.
    again: Vec<Entry>,
}

/// Keys that members copied and could not commit, as their partitions were lost: who has them next copies them again,
/// which is all that at-least-once promises. A key is in it once for each copy.
#[derive(Debug, Default)]
pub(crate) struct Doubt(Mutex<Vec<usize>>);

impl Doubt {
    /// Takes in what nobody has committed.
    pub(crate) fn add(&self, keys: impl IntoIterator<Item = usize>) {
        self.0.lock().unwrap().extend(keys);
    }

    /// How many copies they are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Counts each copy where its key is counted.
    fn count_into(&self, copies: &mut [usize]) {
        for &key in &*self.0.lock().unwrap() {
            if let Some(count) = copies.get_mut(key) {
                *count += 1;
            }
        }
    }
}

/// A record as the ledger knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    partition: i32,
    offset: i64,
    pub(crate) key: usize,
}

impl Entry {
    /// The record of `key` at a place.
    pub(crate) fn new(partition: i32, offset: i64, key: usize) -> Self {
        Self { partition, offset, key }
    }
}

impl Ledger {
    /// Of the keys 0 to `records`, exclusively, that `name` reads.
    pub(crate) fn new(name: impl Into<String>, records: usize) -> Self {
        let read = Read { places: vec![None; records], ..Read::default() };
        Self { name: name.into(), records, read: Mutex::new(read) }
    }

    /// Notes what was read.
    ///
    /// # Errors
    /// What must not be: a key that is none, or a step back.
    pub(crate) fn note(&self, entries: &[Entry]) -> Result {
        let mut read = self.read.lock().unwrap();
        for &entry in entries {
            let Entry { partition, offset, key } = entry;
            if read.places.get(key).is_some_and(Option::is_some) {
                read.again.push(entry);
                continue;
            }
            let last = read.last.insert(partition, (offset, key));
            if last.is_some_and(|last| last.0 >= offset || last.1 >= key) {
                return Err(format!("{}: {entry:?} is read after {last:?}", self.name).into());
            }
            let place = read.places.get_mut(key);
            *place.ok_or_else(|| format!("{}: {entry:?} is beyond the last", self.name))? =
                Some((partition, offset));
            read.count += 1;
        }
        Ok(())
    }

    /// Asserts that nothing was read twice but what was in doubt here or before: a key once more for each copy in doubt.
    ///
    /// # Errors
    /// The first that was.
    pub(crate) fn settle(&self, doubts: &[Arc<Doubt>]) -> Result {
        // Before ours is taken: two locks are never held.
        let mut forgiven = vec![0; self.records];
        for doubt in doubts {
            doubt.count_into(&mut forgiven);
        }
        for entry in &self.read.lock().unwrap().again {
            match forgiven.get_mut(entry.key) {
                Some(left @ 1..) => *left -= 1,
                _ => return Err(format!("{}: {entry:?} is read twice", self.name).into()),
            }
        }
        Ok(())
    }

    /// How many records were read.
    pub(crate) fn count(&self) -> usize {
        self.read.lock().unwrap().count
    }

    /// Whether every key was read.
    pub(crate) fn is_complete(&self) -> bool {
        self.count() == self.records
    }

    /// Asserts that each key is where `other` has it.
    ///
    /// # Errors
    /// The first that is not.
    pub(crate) fn agree(&self, other: &Self) -> Result {
        // One after the other: two locks are never held.
        let theirs = other.read.lock().unwrap().places.clone();
        let ours = self.read.lock().unwrap();
        let mut both = ours.places.iter().zip(&theirs);
        match both.position(|(ours, theirs)| ours != theirs) {
            None => Ok(()),
            Some(key) => {
                let (ours, theirs) = (ours.places[key], theirs[key]);
                Err(format!(
                    "{key} is at {ours:?} for {}, {theirs:?} for {}",
                    self.name, other.name
                )
                .into())
            }
        }
    }

    /// Reads a topic to its end, and takes in what `isolation` shows of it.
    ///
    /// # Errors
    /// As [`Self::note`]; what is missing when the end is reached, or nothing came for as long as `patience`.
    pub(crate) async fn take_in(
        &self,
        kafka: &Kafka,
        topic: &str,
        partitions: i32,
        isolation: &str,
        patience: Duration,
    ) -> Result {
        let all: Vec<_> = (0..partitions).map(|index| TopicPartition::new(topic, index)).collect();
        let builder = kafka.consumer_without_group().assign(all.clone());
        let builder = builder.set("auto.offset.reset", "earliest")?;
        let mut consumer = builder.set("isolation.level", isolation)?.build().await?;
        let handle = consumer.handle();
        let ends = handle.end_offsets(all).await?;
        let is_read = || {
            let positions = handle.positions();
            ends.iter().all(|(tp, end)| positions.get(tp).copied().flatten() >= Some(*end))
        };
        let mut deadline = Instant::now() + patience;
        while !(is_read() && self.is_complete()) {
            let batch = consumer.poll(POLL).await?;
            self.note(&entries(&batch)?)?;
            if !batch.is_empty() {
                deadline = Instant::now() + patience;
            } else if Instant::now() > deadline {
                return Err(self.report().into());
            }
        }
        Ok(consumer.close(patience).await?)
    }

    /// Where the first key is, by its own account, that `other` has not read.
    pub(crate) fn missed_by(&self, other: &Self) -> String {
        let theirs = other.read.lock().unwrap().places.clone();
        let ours = self.read.lock().unwrap();
        let missing = (0..).zip(&theirs).filter(|(_, place)| place.is_none());
        let missing: Vec<_> = missing.map(|(key, _): (usize, _)| (key, ours.places[key])).collect();
        let (count, first) = (missing.len(), missing.first());
        format!("{} has not read {count} that {} has, the first {first:?}", other.name, self.name)
    }

    /// How far it has come, and which key is the first that is missing.
    pub(crate) fn report(&self) -> String {
        let read = self.read.lock().unwrap();
        let missing = read.places.iter().position(Option::is_none);
        format!("{}: {} of {}, {missing:?} is missing", self.name, read.count, self.records)
    }
}

const POLL: Duration = Duration::from_millis(500);

/// The value that a key goes with.
pub(crate) fn value_of(key: &str) -> String {
    format!("{key:.>64}")
}

/// The records of a batch.
///
/// # Errors
/// A record that is not a number with its value.
pub(crate) fn entries(batch: &Batch) -> Result<Vec<Entry>> {
    let entry = |message: milena::MessageRef<'_>| {
        let key = std::str::from_utf8(message.key().unwrap_or_default())?;
        if message.value() != Some(value_of(key).as_bytes()) {
            return Err(format!("{key} has another's value").into());
        }
        let (partition, offset) = (message.partition(), message.offset().get());
        Ok(Entry { partition, offset, key: key.parse()? })
    };
    batch.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three keys, each read once.
    fn read() -> Ledger {
        let ledger = Ledger::new("readers", 3);
        ledger.note(&[Entry::new(0, 0, 0), Entry::new(0, 1, 1), Entry::new(1, 0, 2)]).unwrap();
        ledger
    }

    fn in_doubt(keys: &[usize]) -> Arc<Doubt> {
        let doubt = Doubt::default();
        doubt.add(keys.iter().copied());
        Arc::new(doubt)
    }

    #[test]
    fn a_double_is_told() {
        let ledger = read();
        ledger.settle(&[]).unwrap();
        ledger.note(&[Entry::new(0, 2, 1)]).unwrap();
        assert!(ledger.settle(&[]).is_err());
        assert!(ledger.settle(&[in_doubt(&[0, 2])]).is_err(), "that was others");
        ledger.settle(&[in_doubt(&[1])]).unwrap();
    }

    /// Who reads once more what was in doubt has no more doubt about it, unless he says so.
    #[test]
    fn a_doubt_forgives_one_double() {
        let ledger = read();
        ledger.note(&[Entry::new(0, 2, 1), Entry::new(0, 3, 1)]).unwrap();
        assert!(ledger.settle(&[in_doubt(&[0, 1, 2])]).is_err());
        ledger.settle(&[in_doubt(&[1, 1])]).unwrap();
        ledger.settle(&[in_doubt(&[1]), in_doubt(&[1])]).unwrap();
    }
}
