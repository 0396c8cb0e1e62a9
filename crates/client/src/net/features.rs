//! What the cluster has agreed on, as its brokers tell it on each new connection (KIP-584).

use std::sync::{Mutex, MutexGuard, PoisonError};

use milena_engine::connection::Versions;
use milena_engine::transaction::TransactionVersion;

/// The finalized features of the cluster, as far as they matter here.
#[derive(Debug, Default)]
pub(crate) struct Features(Mutex<Finalized>);

#[derive(Debug, Default)]
struct Finalized {
    /// Of two brokers the one with the higher epoch knows better.
    epoch: Option<i64>,
    transaction_version: TransactionVersion,
}

impl Features {
    /// Takes what a broker said over, unless another one knew better.
    pub(super) fn learn(&self, versions: &Versions) {
        let mut finalized = self.finalized();
        if versions.finalized_epoch() > finalized.epoch {
            let level = versions.finalized(TransactionVersion::FEATURE);
            *finalized = Finalized {
                epoch: versions.finalized_epoch(),
                transaction_version: TransactionVersion::from_level(level),
            };
        }
    }

    /// The protocol that the next transaction is to speak.
    pub(crate) fn transaction_version(&self) -> TransactionVersion {
        self.finalized().transaction_version
    }

    fn finalized(&self) -> MutexGuard<'_, Finalized> {
        // Nothing that can panic happens under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(level: i16, epoch: i64) -> Versions {
        let finalized = [(TransactionVersion::FEATURE.to_owned(), 0, level)];
        Versions::new([]).with_features([], finalized, Some(epoch))
    }

    /// Trap 17: brokers hear of a new level one after the other, and connections are opened in any order.
    #[test]
    fn the_highest_epoch_counts() {
        let features = Features::default();
        assert_eq!(features.transaction_version(), TransactionVersion::One);
        features.learn(&told(2, 7));
        features.learn(&told(1, 6));
        features.learn(&Versions::new([]));
        assert_eq!(features.transaction_version(), TransactionVersion::Two);
        features.learn(&told(1, 8));
        assert_eq!(features.transaction_version(), TransactionVersion::One);
    }
}
