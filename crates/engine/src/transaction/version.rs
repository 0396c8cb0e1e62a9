//! Which of the two transaction protocols is spoken.

use milena_wire::Request;

use crate::request::Outbound;

/// The protocol of transactions, as the cluster has agreed on it by the feature `transaction.version` (KIP-890).
///
/// One transaction is under one version from its first request to its last, whatever the cluster agrees on meanwhile.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "each is a protocol that the machine speaks")]
pub enum TransactionVersion {
    /// Partitions and groups are enrolled with the coordinator before anything is sent to them. The epoch stays from
    /// one transaction to the next, so that a request which is late may hit the wrong one.
    #[default]
    One,
    /// Brokers enrol what they are sent, and every transaction has an epoch of its own.
    Two,
}

impl TransactionVersion {
    /// The feature's name.
    pub const FEATURE: &str = "transaction.version";

    /// The version that a finalized level of the feature stands for; `None` where the cluster has none.
    pub const fn from_level(level: Option<i16>) -> Self {
        match level {
            Some(2..) => Self::Two,
            Some(_) | None => Self::One,
        }
    }

    /// Keeps `request` to the API versions that mean this protocol (trap 18).
    pub(crate) fn bound(self, request: &mut Outbound) {
        let Some(first_of_two) = first_of_two(&request.body) else { return };
        match self {
            Self::One => request.version_max = request.version_max.min(first_of_two - 1),
            Self::Two => request.version_min = request.version_min.max(first_of_two),
        }
    }
}

/// The API version from which a request speaks the second protocol.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other request knows of the protocol")]
fn first_of_two(request: &Request) -> Option<i16> {
    match request {
        Request::Produce(_) => Some(12),
        Request::EndTxn(_) | Request::TxnOffsetCommit(_) => Some(5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milena_wire::messages::{EndTxnRequest, ProduceRequest, TxnOffsetCommitRequest};

    use super::*;
    use crate::request::{Lane, RequestIds, Target};

    fn bounds(version: TransactionVersion, body: Request) -> (i16, i16) {
        let id = RequestIds::default().deal();
        let mut request = Outbound::new(id, Target::Any, Lane::Control, Duration::ZERO, body);
        version.bound(&mut request);
        (request.version_min, request.version_max)
    }

    /// Trap 17: level 1 of the feature changes nothing for clients.
    #[test]
    fn the_second_protocol_begins_at_level_two() {
        for (level, version) in [(None, 1), (Some(0), 1), (Some(1), 1), (Some(2), 2), (Some(9), 2)]
        {
            let is_two = TransactionVersion::from_level(level) == TransactionVersion::Two;
            assert_eq!(is_two, version == 2, "{level:?}");
        }
    }

    /// Trap 18. A Produce of version 12 would enrol its partitions by itself; the first protocol must not say it.
    #[test]
    fn each_protocol_keeps_to_its_api_versions() {
        let produce = || Request::Produce(ProduceRequest::default());
        let commit = || Request::TxnOffsetCommit(TxnOffsetCommitRequest::default());
        let end = || Request::EndTxn(EndTxnRequest::default());
        let one = TransactionVersion::One;
        assert_eq!(
            [bounds(one, produce()), bounds(one, commit()), bounds(one, end())],
            [(0, 11), (0, 4), (0, 4)]
        );
        let two = TransactionVersion::Two;
        let max = i16::MAX;
        assert_eq!(
            [bounds(two, produce()), bounds(two, commit()), bounds(two, end())],
            [(12, max), (5, max), (5, max)]
        );
    }
}
