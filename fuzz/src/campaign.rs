//! A run of some seconds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use milena_fuzz::corpus::{self, Seed};
use milena_fuzz::{Mutator, Target, check, dictionary};

use crate::watchdog::Watchdog;

/// Runs one target or all, for so many seconds in all; gives whether nothing was found.
///
/// # Errors
/// Where a corpus cannot be read or a finding cannot be written.
pub(crate) fn run(only: Option<Target>, seconds: u64, seed: u64) -> io::Result<bool> {
    let targets = only.map_or_else(|| Target::ALL.to_vec(), |one| vec![one]);
    let share = Duration::from_secs(seconds) / u32::try_from(targets.len()).unwrap_or(1);
    println!("seed {seed}");
    let mut clean = true;
    for target in targets {
        clean &= Campaign::new(target)?.run(share, seed)?;
    }
    Ok(clean)
}

/// One target's run.
struct Campaign {
    target: Target,
    seeds: Vec<Seed>,
    watchdog: Watchdog,
    found: usize,
    slowest: Duration,
}

impl Campaign {
    fn new(target: Target) -> io::Result<Self> {
        let watchdog = Watchdog::start(move |data| match keep(target, data) {
            Ok(path) => println!("{target}: hangs\n    {}", repeat(target, &path)),
            Err(e) => println!("{target}: hangs, and the input cannot be written: {e}"),
        });
        let seeds = corpus::seeds(target)?;
        Ok(Self { target, seeds, watchdog, found: 0, slowest: Duration::ZERO })
    }

    fn run(mut self, share: Duration, seed: u64) -> io::Result<bool> {
        let started = now();
        for seed in self.seeds.clone() {
            self.try_one(&seed.data)?;
        }
        let mut mutator = Mutator::new(seed, dictionary::words(self.target)?);
        let mut mutations = 0u64;
        while started.elapsed() < share && self.found < FOUND_MAX {
            let data = mutator.next(&self.seeds);
            self.try_one(&data)?;
            mutations += 1;
        }
        let Self { target, seeds, found, slowest, .. } = self;
        println!(
            "{target}: {} seeds, {mutations} mutations, {found} found, slowest {slowest:.0?}",
            seeds.len()
        );
        Ok(found == 0)
    }

    fn try_one(&mut self, data: &[u8]) -> io::Result<()> {
        let started = now();
        self.watchdog.begin(data);
        let outcome = check(self.target, data);
        self.watchdog.end();
        self.slowest = self.slowest.max(started.elapsed());
        if let Err(failure) = outcome {
            self.found += 1;
            let path = keep(self.target, data)?;
            println!("{}: {failure}\n    {}", self.target, repeat(self.target, &path));
        }
        Ok(())
    }
}

/// Writes an input to `fuzz/artifacts`, named by what it holds.
fn keep(target: Target, data: &[u8]) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target.name());
    fs::create_dir_all(&folder)?;
    // FNV-1a: short, and the same on every machine.
    let hash = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = folder.join(format!("{hash:016x}"));
    fs::write(&path, data)?;
    Ok(path)
}

fn repeat(target: Target, path: &Path) -> String {
    format!("cargo run --package milena-fuzz -- replay {target} {}", path.display())
}

#[expect(clippy::disallowed_methods, reason = "the run is as long as its caller says")]
fn now() -> Instant {
    Instant::now()
}

/// A target that fails at every input has been found out by then.
const FOUND_MAX: usize = 10;
