//! What a group as a whole has read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use milena::Batch;

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
    keys: Vec<bool>,
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

    fn has(&self, key: usize) -> bool {
        self.0.lock().unwrap().contains(&key)
    }
}

/// A record as the ledger knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    partition: i32,
    offset: i64,
    pub(crate) key: usize,
}

impl Ledger {
    /// Of the keys 0 to `records`, exclusively, that `name` reads.
    pub(crate) fn new(name: impl Into<String>, records: usize) -> Self {
        let read = Read { keys: vec![false; records], ..Read::default() };
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
            if read.keys.get(key) == Some(&true) {
                read.again.push(entry);
                continue;
            }
            let last = read.last.insert(partition, (offset, key));
            if last.is_some_and(|last| last.0 >= offset || last.1 >= key) {
                return Err(format!("{}: {entry:?} is read after {last:?}", self.name).into());
            }
            let is_read = read.keys.get_mut(key);
            *is_read.ok_or_else(|| format!("{}: {entry:?} is beyond the last", self.name))? = true;
            read.count += 1;
        }
        Ok(())
    }

    /// Asserts that nothing was read twice but what was in doubt here or before.
    ///
    /// # Errors
    /// The first that was.
    pub(crate) fn settle(&self, doubts: &[Arc<Doubt>]) -> Result {
        let read = self.read.lock().unwrap();
        let is_sure = |entry: &&Entry| !doubts.iter().any(|doubt| doubt.has(entry.key));
        match read.again.iter().find(is_sure) {
            Some(entry) => Err(format!("{}: {entry:?} is read twice", self.name).into()),
            None => Ok(()),
        }
    }

    /// How many records were read.
    pub(crate) fn count(&self) -> usize {
        self.read.lock().unwrap().count
    }

    /// Whether every key was read.
    pub(crate) fn is_complete(&self) -> bool {
        self.count() == self.records
    }

    /// How far it has come, and which key is the first that is missing.
    pub(crate) fn report(&self) -> String {
        let read = self.read.lock().unwrap();
        let missing = read.keys.iter().position(|is_read| !is_read);
        format!("{}: {} of {}, {missing:?} is missing", self.name, read.count, self.records)
    }
}

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
