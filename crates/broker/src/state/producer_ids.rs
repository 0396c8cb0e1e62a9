//! Producer ids (KIP-98).

use milena_types::{ErrorCode, ProducerEpoch, ProducerId};

/// Deals out producer ids.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    dealt: i64,
}

/// A producer id with its epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl ProducerIds {
    /// How many are dealt.
    pub(crate) fn dealt(&self) -> i64 {
        self.dealt
    }

    /// Goes on after those that were dealt before.
    pub(crate) fn restore(&mut self, dealt: i64) {
        self.dealt = self.dealt.max(dealt);
    }

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
}

impl Identity {
    /// What InitProducerId says: nothing where it leaves both open, an error where it leaves one.
    pub(crate) fn claimed(id: i64, epoch: i16) -> Result<Option<Self>, ErrorCode> {
        match (ProducerId::from_wire(id), ProducerEpoch::from_wire(epoch)) {
            (Some(id), Some(epoch)) => Ok(Some(Self { id, epoch })),
            (None, None) => Ok(None),
            _ => Err(ErrorCode::INVALID_REQUEST),
        }
    }

    /// What a request says in which neither may be left open.
    pub(crate) fn from_wire(id: i64, epoch: i16) -> Result<Self, ErrorCode> {
        let id = ProducerId::from_wire(id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let epoch = ProducerEpoch::from_wire(epoch).ok_or(ErrorCode::PRODUCER_FENCED)?;
        Ok(Self { id, epoch })
    }
}
