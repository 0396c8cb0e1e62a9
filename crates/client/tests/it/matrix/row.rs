//! One API as one scene asks it, and what comes of everything that may happen to it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use milena_types::{ApiKey, ErrorCode};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::documented::documented;
use super::outcome::Outcome;
use super::scene::Scene;
use super::strike::Strike;

/// A row of the tables.
pub(super) struct Row {
    pub(super) api: ApiKey,
    pub(super) scene: Scene,
    /// What comes of error codes. Corrupt bytes have one cell for all rows.
    pub(super) codes: &'static [(Outcome, &'static [ErrorCode])],
    /// What comes of the other faults.
    pub(super) faults: &'static [(Outcome, &'static [Strike])],
}

impl Row {
    /// Runs every cell, and fails with all that came out otherwise.
    pub(super) async fn check(&self) {
        let mut others = Vec::new();
        for strike in self.wanted() {
            let expected = self.expected(strike);
            for seed in 0..if strike == Strike::Corrupt { CORRUPTIONS } else { 1 } {
                let (scene, api) = (self.scene, self.api);
                // A task of its own, so that one cell's panic is not the end of the others.
                let tasks = LocalSet::new();
                let cell = tasks.run_until(async move {
                    let run = spawn_local(async move { scene.run(api, strike, seed).await });
                    timeout(CELL_MAX, run).await
                });
                let came = match cell.await {
                    Ok(Ok(came)) if Some(came) == expected || expected == Some(Outcome::Any) => {
                        continue;
                    }
                    Ok(Ok(came)) => came.to_string(),
                    Ok(Err(panic)) => format!("broke a promise: {panic}"),
                    Err(_) => "has no end".to_owned(),
                };
                let expected = expected.map_or_else(|| "in no cell".into(), |one| one.to_string());
                others.push(format!("{self}: {strike}: {expected}, came: {came}"));
            }
        }
        assert!(others.is_empty(), "\n{}\n", others.join("\n"));
    }

    /// What there has to be a cell for.
    pub(super) fn wanted(&self) -> BTreeSet<Strike> {
        let codes = documented(self.api).iter().chain(&EVERYWHERE).copied().map(Strike::Code);
        codes.chain(Strike::FAULTS).collect()
    }

    /// What there is a cell for.
    pub(super) fn cells(&self) -> impl Iterator<Item = Strike> {
        let codes = self.codes.iter().flat_map(|(_, codes)| *codes).copied().map(Strike::Code);
        let faults = self.faults.iter().flat_map(|(_, faults)| *faults).copied();
        codes.chain(faults).chain([Strike::Corrupt])
    }

    fn expected(&self, strike: Strike) -> Option<Outcome> {
        let code = |(outcome, codes): &(Outcome, &[ErrorCode])| {
            codes.iter().any(|code| Strike::Code(*code) == strike).then_some(*outcome)
        };
        let fault =
            |(outcome, faults): &(Outcome, &[Strike])| faults.contains(&strike).then_some(*outcome);
        let corrupt = (strike == Strike::Corrupt).then_some(Outcome::Any);
        let codes = self.codes.iter().find_map(code);
        codes.or_else(|| self.faults.iter().find_map(fault)).or(corrupt)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.api, self.scene)
    }
}

/// A code that no version of Kafka has.
pub(super) const UNHEARD_OF: ErrorCode = ErrorCode::from_wire(999);

/// Any API may answer these (F34), documented or not.
const EVERYWHERE: [ErrorCode; 2] = [ErrorCode::UNKNOWN_SERVER_ERROR, UNHEARD_OF];

/// How many bytes are tried at which an answer is changed.
const CORRUPTIONS: u64 = 4;

/// On the virtual clock: longer than all calls of a scene may take.
const CELL_MAX: Duration = Duration::from_secs(7200);
