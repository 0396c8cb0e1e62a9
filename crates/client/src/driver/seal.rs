//! Who compresses batches: tasks that each own their codecs, so that no lock is needed.

use std::num::NonZeroUsize;

use milena_engine::producer::{SealJob, Sealed};
use milena_records::{Compressor, Decompressor};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The sealers of one producer. They start with the first batch that is worth it.
pub(super) struct Sealers {
    tasks: JoinSet<()>,
    /// Bounded by the batches that the send buffer holds.
    jobs: Vec<mpsc::UnboundedSender<SealJob>>,
    /// How many jobs each has.
    loads: Vec<usize>,
    done: mpsc::UnboundedSender<(usize, Sealed)>,
    results: mpsc::UnboundedReceiver<(usize, Sealed)>,
    /// For what is done at once.
    compressor: Compressor,
    decompressor: Decompressor,
}

impl Sealers {
    pub(super) fn new() -> Self {
        let (done, results) = mpsc::unbounded_channel();
        Self {
            tasks: JoinSet::new(),
            jobs: Vec::new(),
            loads: Vec::new(),
            done,
            results,
            compressor: Compressor::default(),
            decompressor: Decompressor::default(),
        }
    }

    /// Seals at once what is only to be checksummed; hands the rest to the sealer with the least to do. Jobs of one
    /// partition may come back in any order: the machine keeps theirs.
    pub(super) fn seal(&mut self, job: SealJob) -> Option<Sealed> {
        if job.is_cheap() {
            return Some(job.run(&mut self.compressor, &mut self.decompressor));
        }
        if self.jobs.is_empty() {
            self.start();
        }
        let least = (0..self.loads.len()).min_by_key(|&sealer| self.loads.get(sealer).copied());
        let sealer = least.unwrap_or(0);
        let Some(jobs) = self.jobs.get(sealer) else {
            return Some(job.run(&mut self.compressor, &mut self.decompressor));
        };
        match jobs.send(job) {
            Ok(()) => {
                self.count(sealer, 1);
                None
            }
            // A sealer that died is not worth a lost batch.
            Err(mpsc::error::SendError(job)) => {
                Some(job.run(&mut self.compressor, &mut self.decompressor))
            }
        }
    }

    /// The next batch that is sealed. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Sealed {
        match self.results.recv().await {
            Some((sealer, sealed)) => {
                self.count(sealer, -1);
                sealed
            }
            // Never: `done` is ours.
            None => std::future::pending().await,
        }
    }

    /// Ends the tasks.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
    }

    /// How many there are once they have started.
    pub(super) fn count_at_once() -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        cores.min(SEALERS_MAX)
    }

    fn start(&mut self) {
        for sealer in 0..Self::count_at_once() {
            let (jobs, mut inbox) = mpsc::unbounded_channel::<SealJob>();
            let done = self.done.clone();
            self.tasks.spawn(async move {
                let mut compressor = Compressor::default();
                let mut decompressor = Decompressor::default();
                while let Some(job) = inbox.recv().await {
                    let sealed = job.run(&mut compressor, &mut decompressor);
                    if done.send((sealer, sealed)).is_err() {
                        break;
                    }
                    // A batch takes long enough for others to wait: let them have the thread.
                    tokio::task::yield_now().await;
                }
            });
            self.jobs.push(jobs);
            self.loads.push(0);
        }
    }

    fn count(&mut self, sealer: usize, change: isize) {
        if let Some(load) = self.loads.get_mut(sealer) {
            *load = load.saturating_add_signed(change);
        }
    }
}

/// More would contend for the driver rather than help.
const SEALERS_MAX: usize = 8;
