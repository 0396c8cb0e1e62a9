//! Producer ids (KIP-98), and which of them belong to transactional ids.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, ProducerEpoch, ProducerId};

/// Deals out producer ids.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    dealt: i64,
    /// What each transactional id has.
    transactional: BTreeMap<String, Identity>,
}

/// A producer id with its epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl ProducerIds {
    /// A fresh id at its first epoch.
    pub(crate) fn deal(&mut self) -> Identity {
        self.dealt = self.dealt.saturating_add(1);
        // The count starts at zero and only grows, so that the id is never the sentinel.
        let id = ProducerId::from_wire(self.dealt);
        #[expect(
            clippy::expect_used,
            reason = "a count that starts at 0 and grows is not negative"
        )]
        let id = id.expect("a count that starts at 0 and grows is not negative");
        Identity { id, epoch: ProducerEpoch::ZERO }
    }

    /// The next epoch of a transactional id, which fences all older ones (KIP-360).
    ///
    /// `current` is what the producer believes to have; one that was overtaken is refused.
    pub(crate) fn bump(
        &mut self,
        transactional_id: &str,
        current: Option<Identity>,
    ) -> Result<Identity, ErrorCode> {
        let known = self.transactional.get(transactional_id).copied();
        let next = match (known, current) {
            (None, _) => self.deal(),
            (Some(known), Some(current)) if known != current => {
                return Err(ErrorCode::PRODUCER_FENCED);
            }
            (Some(known), _) => match known.epoch.bump() {
                Some(epoch) => Identity { epoch, ..known },
                None => self.deal(),
            },
        };
        self.transactional.insert(transactional_id.to_owned(), next);
        Ok(next)
    }
}
