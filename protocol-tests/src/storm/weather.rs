//! Brokers that are killed, stand still and are restarted in turn.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::harm::{Harm, Harms};
use crate::Result;
use crate::target::Target;

/// What brokers have been through.
#[derive(Debug, Default)]
pub(super) struct Weather {
    killed: AtomicUsize,
    stood_still: AtomicUsize,
    restarted: AtomicUsize,
}

impl Weather {
    /// Breaks one broker after another until `end`, each once the one before is in sync again: what was acknowledged is
    /// then on another that lives.
    pub(super) async fn blow(
        &self,
        on: Arc<Target>,
        mut rng: fastrand::Rng,
        whose: (String, String),
        end: Instant,
    ) -> Result {
        let (topic, transactional_id) = whose;
        loop {
            let gap = millis(&mut rng, 500..4_000);
            if Instant::now() + gap >= end {
                return Ok(());
            }
            sleep(gap).await;
            let (what, whom) = (rng.u8(..8), rng.u8(..4));
            let any = i32::try_from(rng.u32(1..=on.choice().brokers))?;
            let broker = match whom {
                0 => on.transaction_coordinator(&transactional_id).await?,
                1 => on.leader(&topic).await?,
                _ => any,
            };
            match what {
                0..3 => {
                    self.killed.fetch_add(1, Ordering::Relaxed);
                    on.kill_broker(broker).await?;
                    sleep(millis(&mut rng, 100..4_000)).await;
                    on.start_broker(broker).await?;
                }
                3..7 => {
                    self.stood_still.fetch_add(1, Ordering::Relaxed);
                    on.pause_broker(broker).await?;
                    // Half of them long enough for others to lead.
                    let pause = if rng.bool() { 100..2_500 } else { 4_000..15_000 };
                    sleep(millis(&mut rng, pause)).await;
                    on.resume_broker(broker).await?;
                }
                _ => {
                    for broker in 1..=i32::try_from(on.choice().brokers)? {
                        self.restarted.fetch_add(1, Ordering::Relaxed);
                        on.stop_broker(broker).await?;
                        on.start_broker(broker).await?;
                        on.await_in_sync().await?;
                    }
                }
            }
            on.await_in_sync().await?;
        }
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (killed, stood_still) = (count(&self.killed), count(&self.stood_still));
        let restarted = count(&self.restarted);
        write!(f, "brokers killed {killed}, stopped {stood_still}, restarted in turn {restarted}")
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
