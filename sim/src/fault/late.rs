//! Faults of groups that were not drawn before: what coordinators say more rarely, and offsets that are gone.

use std::time::Duration;

use fastrand::Rng;

use super::{Api, Fault, Timed, millis};
use crate::group::Strategy;

/// Draws them for a group whose partitions are shared out so.
pub fn draw_late(rng: &mut Rng, strategy: Strategy, during: Duration) -> Vec<Timed> {
    let mut faults = Vec::new();
    let errors: &[(Api, i16)] =
        if strategy == Strategy::Consumer { &CONSUMER_ERRORS } else { &CLASSIC_ERRORS };
    let mut strike = |rng: &mut Rng, fault| {
        faults.push(Timed { at: Duration::from_millis(rng.u64(0..millis(during))), fault });
    };
    if rng.u32(0..3) == 0 {
        for _ in 0..rng.usize(1..=4) {
            let (api, code) = *rng.choice(errors).unwrap_or(&CLASSIC_ERRORS[0]);
            let count = rng.u32(1..=2);
            strike(rng, Fault::Error { api, count, code, applied: false });
        }
    }
    if rng.u32(0..4) == 0 {
        // Few groups are empty, and not for long.
        for _ in 0..FORGETS {
            strike(rng, Fault::ForgetOffsets);
        }
    }
    if strategy.gives_all_up() && rng.u32(0..3) == 0 {
        // A member whose session ends unheard, while the others go on; only of such groups does each know when to stop.
        for _ in 0..UNHEARD {
            let count = rng.u32(1..=2);
            strike(rng, Fault::Hang { api: Api::Heartbeat, count });
        }
    }
    faults
}

const UNHEARD: usize = 3;

const FORGETS: usize = 12;

/// What coordinators say to members of the classic protocol besides (F54).
const CLASSIC_ERRORS: [(Api, i16); 6] = [
    (Api::JoinGroup, 15),    // COORDINATOR_NOT_AVAILABLE
    (Api::JoinGroup, 79),    // MEMBER_ID_REQUIRED
    (Api::SyncGroup, 82),    // FENCED_INSTANCE_ID
    (Api::Heartbeat, 82),    // FENCED_INSTANCE_ID
    (Api::OffsetCommit, 82), // FENCED_INSTANCE_ID
    (Api::OffsetFetch, 15),  // COORDINATOR_NOT_AVAILABLE
];

/// The same of the consumer protocol.
const CONSUMER_ERRORS: [(Api, i16); 6] = [
    (Api::ConsumerGroupHeartbeat, 15),  // COORDINATOR_NOT_AVAILABLE
    (Api::ConsumerGroupHeartbeat, 81),  // GROUP_MAX_SIZE_REACHED
    (Api::ConsumerGroupHeartbeat, 82),  // FENCED_INSTANCE_ID
    (Api::ConsumerGroupHeartbeat, 111), // UNRELEASED_INSTANCE_ID
    (Api::OffsetFetch, 25),             // UNKNOWN_MEMBER_ID
    (Api::OffsetFetch, 113),            // STALE_MEMBER_EPOCH
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is never drawn would look like a kind that never fails.
    #[test]
    fn every_late_fault_is_drawn() {
        for (strategy, errors) in
            [(Strategy::Sticky, CLASSIC_ERRORS), (Strategy::Consumer, CONSUMER_ERRORS)]
        {
            let mut faults = Vec::new();
            for seed in 0..200 {
                let mut rng = Rng::with_seed(seed);
                faults.extend(draw_late(&mut rng, strategy, Duration::from_secs(30)));
            }
            let is_drawn =
                |of: &dyn Fn(&Fault) -> bool| faults.iter().any(|timed| of(&timed.fault));
            assert!(is_drawn(&|fault| *fault == Fault::ForgetOffsets));
            let is_unheard = |fault: &Fault| matches!(fault, Fault::Hang { .. });
            assert_eq!(is_drawn(&is_unheard), strategy.gives_all_up());
            for error in errors {
                let is_it = |fault: &Fault| matches!(fault, Fault::Error { api, code, .. } if (*api, *code) == error);
                assert!(is_drawn(&is_it), "{error:?}");
            }
        }
    }
}
