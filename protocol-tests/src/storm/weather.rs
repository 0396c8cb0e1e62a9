//! Brokers that are killed, stand still and are restarted in turn.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::harm::{Harm, Harms};
use super::stages::{Stages, transactional_id};
use crate::Result;
use crate::target::Target;

/// What brokers have been through.
#[derive(Debug, Default)]
pub(super) struct Weather {
    killed: AtomicUsize,
    stood_still: AtomicUsize,
    restarted: AtomicUsize,
}

/// Until when brokers break.
#[derive(Debug)]
pub(super) struct Until {
    pub(super) end: Instant,
    /// The storm is called off, or nobody is there any more who could.
    pub(super) called_off: watch::Receiver<bool>,
}

/// What happens to a broker, or to all.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill,
    StandStill,
    RestartInTurn,
}

impl Blow {
    const KINDS: usize = 3;

    /// The first are one of each, so that a short storm has them all too.
    fn nth(nth: usize, rng: &mut fastrand::Rng) -> Self {
        let drawn = rng.u8(..8);
        match (nth, drawn) {
            (0, _) => Self::Kill,
            (1, _) => Self::StandStill,
            (2, _) => Self::RestartInTurn,
            (_, 0..3) => Self::Kill,
            (_, 3..7) => Self::StandStill,
            _ => Self::RestartInTurn,
        }
    }
}

impl Until {
    /// Sleeps, at most until the storm is called off; says whether it goes on.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            _ = self.called_off.wait_for(|is_off| *is_off) => false,
            () = sleep(pause) => true,
        }
    }
}

impl Weather {
    /// Breaks one broker after another until `until`, and one in each way at least, each once the one before is in sync again: what was acknowledged is
    /// then on another that lives. All of them run in the end, whatever went wrong.
    ///
    /// Not to be dropped: then a broker may stay as it is.
    pub(super) async fn blow(
        &self,
        on: &Target,
        stages: &Stages,
        rng: fastrand::Rng,
        mut until: Until,
    ) -> Result {
        // It is kept until all is well again: who called the storm off waits for that.
        let Err(why) = self.break_brokers(on, stages, rng, &mut until).await else { return Ok(()) };
        match on.bring_back().await {
            Ok(()) => Err(why),
            Err(besides) => Err(format!("{why}; then not all came back: {besides}").into()),
        }
    }

    async fn break_brokers(
        &self,
        on: &Target,
        stages: &Stages,
        mut rng: fastrand::Rng,
        until: &mut Until,
    ) -> Result {
        let topics = [&*stages.source, &*stages.target];
        for nth in 0.. {
            let gap = millis(&mut rng, 500..4_000);
            let is_over = nth >= Blow::KINDS && Instant::now() + gap >= until.end;
            if is_over || !until.pause(gap).await {
                break;
            }
            let (blow, whom) = (Blow::nth(nth, &mut rng), rng.u8(..4));
            let any = i32::try_from(rng.u32(1..=on.choice().brokers))?;
            let broker = match whom {
                0 => on.transaction_coordinator(&transactional_id(&stages.copiers, 0)).await?,
                1 => on.leader(&stages.target).await?,
                _ => any,
            };
            match blow {
                Blow::Kill => {
                    on.kill_broker(broker).await?;
                    self.killed.fetch_add(1, Ordering::Relaxed);
                    until.pause(millis(&mut rng, 100..4_000)).await;
                    on.start_broker(broker).await?;
                }
                Blow::StandStill => {
                    on.pause_broker(broker).await?;
                    self.stood_still.fetch_add(1, Ordering::Relaxed);
                    // Half of them long enough for others to lead.
                    let pause = if rng.bool() { 100..2_500 } else { 4_000..15_000 };
                    until.pause(millis(&mut rng, pause)).await;
                    on.resume_broker(broker).await?;
                }
                Blow::RestartInTurn => {
                    for broker in 1..=i32::try_from(on.choice().brokers)? {
                        on.stop_broker(broker).await?;
                        on.start_broker(broker).await?;
                        self.restarted.fetch_add(1, Ordering::Relaxed);
                        on.await_in_sync(&topics).await?;
                    }
                }
            }
            on.await_in_sync(&topics).await?;
        }
        Ok(())
    }

    /// What has not happened at all.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let counts = [
            (&self.killed, "brokers killed"),
            (&self.stood_still, "brokers that stood still"),
            (&self.restarted, "brokers restarted"),
        ];
        none_of(&counts)
    }
}

/// The names of what was counted and never happened.
pub(super) fn none_of(counts: &[(&AtomicUsize, &'static str)]) -> Vec<&'static str> {
    let never = counts.iter().filter(|(count, _)| count.load(Ordering::Relaxed) == 0);
    never.map(|(_, name)| *name).collect()
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (killed, stood_still) = (count(&self.killed), count(&self.stood_still));
        let restarted = count(&self.restarted);
        write!(
            f,
            "brokers killed {killed}, stood still {stood_still}, restarted in turn {restarted}"
        )
    }
}

/// Harms frames until `end`.
pub(super) async fn harm(harms: Arc<Harms>, mut rng: fastrand::Rng, end: Instant) -> Result {
    while Instant::now() < end {
        sleep(millis(&mut rng, 50..800)).await;
        harms.add(Harm::draw(&mut rng));
    }
    harms.clear();
    Ok(())
}

fn millis(rng: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}
