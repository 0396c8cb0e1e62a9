//! The directory that a cluster is kept in: one journal, written at its end and anew when it has grown too long.
//!
//! A piece of the journal is its length, the CRC-32C of that, the CRC-32C of its bytes, and its bytes. Pieces are
//! written before what they tell is acknowledged. Nothing is flushed to the disk but a journal that is written anew: a
//! process that is killed leaves what it wrote to the system, a machine that loses power may not.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::cluster::Cluster;

/// An open data directory, locked against other processes until it is dropped or its process ends.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    journal: File,
    /// How long the journal is.
    bytes: u64,
    /// How long it may get before it is written anew.
    bytes_max: u64,
    _lock: File,
}

/// The pieces of a journal, from the first on. Ends where they end or cannot be read.
#[derive(Debug)]
pub(super) struct Pieces {
    journal: BufReader<File>,
    path: PathBuf,
    /// Behind the last whole piece.
    at: u64,
    bytes: u64,
    error: Option<io::Error>,
}

impl DataDir {
    /// Opens the directory, made if there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let said = |error: io::Error| explain(path, &error.to_string(), error.kind());
        std::fs::create_dir_all(path).map_err(said)?;
        let writable = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options
        };
        let lock = writable().open(path.join("lock")).map_err(said)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                explain(path, "another process keeps its cluster there", io::ErrorKind::AddrInUse)
            }
            TryLockError::Error(error) => said(error),
        })?;
        let journal = writable().open(path.join(JOURNAL)).map_err(said)?;
        let bytes = journal.metadata().map_err(said)?.len();
        let dir = Self {
            path: path.to_owned(),
            journal,
            bytes,
            bytes_max: bytes_max(bytes),
            _lock: lock,
        };
        dir.remove_new();
        Ok(dir)
    }

    /// What is in the journal.
    pub(super) fn pieces(&mut self) -> io::Result<Pieces> {
        let path = self.path.join(JOURNAL);
        let mut journal = BufReader::with_capacity(READ_BYTES, File::open(&path)?);
        let mut magic = Vec::new();
        (&mut journal).take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        // A process that was killed at its very start may have left less of it.
        if !MAGIC.starts_with(&magic) {
            let what = "it holds something else than a cluster of this version";
            return Err(explain(&self.path, what, io::ErrorKind::InvalidData));
        }
        let at = if magic.len() == MAGIC.len() { MAGIC.len() as u64 } else { 0 };
        Ok(Pieces { journal, path, at, bytes: self.bytes, error: None })
    }

    /// Ends the journal where its last whole piece does, and goes on from there.
    pub(super) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.journal.set_len(end)?;
        self.bytes = self.journal.seek(SeekFrom::Start(end))?;
        if end == 0 {
            self.journal.write_all(MAGIC)?;
            self.bytes = MAGIC.len() as u64;
        }
        Ok(())
    }

    /// Writes a piece at the end.
    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        let written = write_piece(&mut self.journal, piece);
        self.bytes += written.map_err(|error| self.explain(&error))?;
        Ok(())
    }

    /// Whether the journal tells much that is no longer so.
    pub(super) fn is_long(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Writes the journal anew, from what the cluster is. Where that fails, as on a disk that is nearly full, the journal
    /// that there is goes on, and it is tried again once that is twice as long.
    pub(super) fn rewrite(&mut self, cluster: &Cluster) {
        if self.replace(cluster).is_err() {
            self.remove_new();
        }
        self.bytes_max = bytes_max(self.bytes);
    }

    /// Removes what was not written to its end.
    fn remove_new(&self) {
        // Mostly there is none. One that stays takes up room, and is begun anew by the next to write it.
        let _ = std::fs::remove_file(self.path.join(NEW_JOURNAL));
    }

    fn replace(&mut self, cluster: &Cluster) -> io::Result<()> {
        let (new, old) = (self.path.join(NEW_JOURNAL), self.path.join(JOURNAL));
        let mut journal = File::create(&new)?;
        journal.write_all(MAGIC)?;
        let mut bytes = MAGIC.len() as u64;
        cluster.store_image(|piece| -> io::Result<()> {
            bytes += write_piece(&mut journal, &piece)?;
            Ok(())
        })?;
        // Otherwise the name could reach the disk before the bytes do, and nothing be left of either.
        journal.sync_data()?;
        std::fs::rename(new, old)?;
        self.journal = journal;
        self.bytes = bytes;
        Ok(())
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        explain(&self.path, &error.to_string(), error.kind())
    }
}

impl Pieces {
    /// Where the last whole piece ends.
    ///
    /// # Errors
    /// Why there may be more that could not be read.
    pub(super) fn finish(self) -> io::Result<u64> {
        self.error.map_or(Ok(self.at), Err)
    }

    /// The next piece, if there is a whole one.
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        let left = self.bytes.saturating_sub(self.at);
        if self.at == 0 || left < HEAD_BYTES {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES as usize];
        self.journal.read_exact(&mut head)?;
        let (length, crcs) = head.split_at(4);
        let (length_crc, crc) = crcs.split_at(4);
        // By a wrong length whatever lies behind could not be told from a piece that was cut off.
        if crc_of(length)[..] != *length_crc {
            return Err(self.damaged());
        }
        let bytes = length.iter().fold(0, |bytes, byte| bytes << 8 | u32::from(*byte));
        let end = self.at + HEAD_BYTES + u64::from(bytes);
        if end > self.bytes {
            return Ok(None);
        }
        let mut piece = vec![0; bytes as usize];
        self.journal.read_exact(&mut piece)?;
        if crc_of(&piece)[..] != *crc {
            // The last one may be torn. One with others behind it was whole once.
            return if end == self.bytes { Ok(None) } else { Err(self.damaged()) };
        }
        self.at = end;
        Ok(Some(piece.into()))
    }

    fn damaged(&self) -> io::Error {
        let at = self.at;
        let why = format!("damaged at byte {at}: cut off there, it would start without the rest");
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.error.is_some() {
            return None;
        }
        self.read().unwrap_or_else(|error| {
            self.error = Some(explain(&self.path, &error.to_string(), error.kind()));
            None
        })
    }
}

/// Says how many bytes it took.
fn write_piece(journal: &mut File, piece: &[u8]) -> io::Result<u64> {
    let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let bytes = u32::try_from(piece.len()).map_err(too_long)?;
    let length = bytes.to_be_bytes();
    journal.write_all([length, crc_of(&length), crc_of(piece)].as_flattened())?;
    journal.write_all(piece)?;
    Ok(HEAD_BYTES + u64::from(bytes))
}

fn crc_of(bytes: &[u8]) -> [u8; 4] {
    crc_fast::crc32_iscsi(bytes).to_be_bytes()
}

fn explain(path: &Path, what: &str, kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, format!("{}: {what}", path.display()))
}

fn bytes_max(bytes: u64) -> u64 {
    bytes.saturating_mul(2).max(BYTES_MIN)
}

const JOURNAL: &str = "journal";

/// A journal that is being written anew.
const NEW_JOURNAL: &str = "journal.new";

/// What a journal begins with; the last byte counts its versions.
const MAGIC: &[u8; 8] = b"milena\0\x02";

/// Length and checksums of a piece.
const HEAD_BYTES: u64 = 12;

const READ_BYTES: usize = 1 << 20;

/// A journal that is shorter is not worth being written anew.
const BYTES_MIN: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::broker::Broker;
    use super::*;
    use crate::settings::{Settings, TopicSettings};

    /// A program that goes on would find nothing of it at the next start.
    #[tokio::test]
    async fn a_cluster_that_cannot_be_written_down_does_not_start() {
        // What is open to be read alone.
        let file = || File::open(std::env::current_exe().expect("runs")).expect("there");
        let data_dir = DataDir {
            path: PathBuf::from("data"),
            journal: file(),
            bytes: 0,
            bytes_max: BYTES_MIN,
            _lock: file(),
        };
        let mut settings = Settings::default();
        settings.topics.push(TopicSettings::new("t", 1));
        let now = tokio::time::Instant::now().into_std();
        let cluster = Cluster::restore(settings, now, []).expect("legal");
        let started = Broker::in_memory(cluster, Some(data_dir));
        let error = started.expect_err("its topic is not written down");
        assert!(error.to_string().starts_with("data: "), "{error}");
    }
}
