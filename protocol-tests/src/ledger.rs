//! What a group as a whole has read.

use std::collections::BTreeMap;
use std::sync::Mutex;

use milena::Batch;

use crate::Result;

/// Keeps account of numbered records: each key once, and in each partition offsets and keys that rise.
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
}

/// A record as the ledger knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    partition: i32,
    offset: i64,
    key: usize,
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
    /// What must not be: a key twice, or a step back.
    pub(crate) fn note(&self, entries: &[Entry]) -> Result {
        let mut read = self.read.lock().unwrap();
        for &entry in entries {
            let Entry { partition, offset, key } = entry;
            let last = read.last.insert(partition, (offset, key));
            if last.is_some_and(|last| last.0 >= offset || last.1 >= key) {
                return Err(format!("{}: {entry:?} is read after {last:?}", self.name).into());
            }
            match read.keys.get_mut(key) {
                Some(is_read) if !*is_read => *is_read = true,
                is_read => return Err(format!("{}: {entry:?}, {is_read:?}", self.name).into()),
            }
            read.count += 1;
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
