//! The digest of records that Records.java computes too.

use std::path::Path;

use bytes::Bytes;
use milena_records::{Decompressor, Error, Record, RecordSet};

/// FNV-1a over offset, timestamp, key, value and headers; numbers big-endian, null as -1.
#[derive(Debug)]
pub(crate) struct Digest {
    hash: u64,
    records: usize,
}

impl Digest {
    pub(crate) fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, records: 0 }
    }

    /// Of all records of a set.
    pub(crate) fn of_set(set: Bytes) -> Result<Self, Error> {
        let mut digest = Self::new();
        let mut decompressor = Decompressor::default();
        for batch in RecordSet::new(set) {
            for record in &batch?.decode(&mut decompressor)? {
                digest.add(&record?);
            }
        }
        Ok(digest)
    }

    pub(crate) fn add(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.raw(&record.offset().get().to_be_bytes());
        self.raw(&record.timestamp().map_or(-1, |time| time.millis()).to_be_bytes());
        self.field(record.key());
        self.field(record.value());
        self.raw(&(record.headers().len() as i32).to_be_bytes());
        for header in record.headers() {
            self.field(Some(header.key));
            self.field(header.value);
        }
    }

    /// The line of a manifest.
    pub(crate) fn line(&self, file: &str) -> String {
        format!("{file} {} {:016x}", self.records, self.hash)
    }

    fn field(&mut self, field: Option<&[u8]>) {
        self.raw(&field.map_or(-1, |field| field.len() as i32).to_be_bytes());
        self.raw(field.unwrap_or_default());
    }

    fn raw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Reads the .bin files that a folder's manifest names, and returns how many there were.
pub(crate) fn check_folder(folder: &Path) -> usize {
    let manifest = std::fs::read_to_string(folder.join("manifest.txt")).unwrap();
    for line in manifest.lines() {
        let file = line.split_once(' ').unwrap().0;
        let set = Bytes::from(std::fs::read(folder.join(file)).unwrap());
        assert_eq!(Digest::of_set(set).unwrap().line(file), line);
    }
    manifest.lines().count()
}
