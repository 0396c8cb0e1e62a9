//! What a broker remembers of a share consumer: which partitions it fetches, and what it acquired.
//!
//! Each request carries the session's next epoch, so one is under way at a time. A session that breaks ends with all
//! that was acquired in it: the broker lets go of the locks when it closes a session, and nobody knows whether a request
//! that was not answered counted.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{NodeId, Topic, TopicPartition, Uuid};

use super::ledger::{Holder, Parcel};
use crate::backoff::Backoff;
use crate::request::RequestId;

/// The session with one broker.
#[derive(Debug)]
pub(super) struct Session {
    holder: Holder,
    /// Of the next request; 0 opens the session.
    epoch: i32,
    /// What the broker fetches of, or will by the request under way.
    known: BTreeMap<TopicPartition, Uuid>,
    pub(super) flight: Option<Flight>,
    /// The next request that carries acknowledgements is this one's.
    pub(super) round: u64,
    /// When acknowledgements go by themselves, if no fetch has taken them along.
    pub(super) acknowledge_at: Option<Instant>,
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Backoff,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: RequestId,
    pub(super) kind: Kind,
    pub(super) parcels: Vec<Parcel>,
    /// Which round of acknowledgements it carries, if any.
    pub(super) round: Option<u64>,
    /// Names of the topics that it asks for.
    pub(super) topics: BTreeMap<Uuid, Topic>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Fetch,
    Acknowledge,
    /// The last request of the session.
    Close,
}

/// What a fetch says of partitions.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Delta {
    pub(super) add: Vec<(TopicPartition, Uuid)>,
    pub(super) forget: Vec<(TopicPartition, Uuid)>,
}

impl Session {
    pub(super) fn new(broker: NodeId, session: u64, backoff: Backoff) -> Self {
        Self {
            holder: Holder { broker, session },
            epoch: OPEN,
            known: BTreeMap::new(),
            flight: None,
            round: 1,
            acknowledge_at: None,
            retry_at: None,
            backoff,
        }
    }

    pub(super) fn holder(&self) -> Holder {
        self.holder
    }

    /// Whether the broker has it.
    pub(super) fn is_open(&self) -> bool {
        self.epoch != OPEN
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The partitions that the broker fetches of.
    pub(super) fn known(&self) -> &BTreeMap<TopicPartition, Uuid> {
        &self.known
    }

    /// What the next fetch says, so that the broker then fetches of exactly `wanted`.
    pub(super) fn next(&mut self, wanted: &BTreeMap<TopicPartition, Uuid>) -> Delta {
        let mut delta = Delta::default();
        if self.epoch == OPEN {
            delta.add.extend(wanted.iter().map(|(tp, id)| (tp.clone(), *id)));
        } else {
            for (tp, id) in wanted {
                match self.known.get(tp) {
                    Some(known) if known == id => {}
                    // The topic was deleted and made again: to the broker these are two.
                    Some(known) => {
                        delta.forget.push((tp.clone(), *known));
                        delta.add.push((tp.clone(), *id));
                    }
                    None => delta.add.push((tp.clone(), *id)),
                }
            }
            let gone = self.known.iter().filter(|(tp, _)| !wanted.contains_key(*tp));
            delta.forget.extend(gone.map(|(tp, id)| (tp.clone(), *id)));
        }
        self.known.clone_from(wanted);
        delta
    }

    /// The broker took a request of this session.
    pub(super) fn advance(&mut self) {
        self.epoch = if self.epoch == i32::MAX { FIRST } else { self.epoch + 1 };
        self.backoff.reset();
        self.retry_at = None;
    }

    /// The session is over; the next fetch opens another, which is called `session`.
    pub(super) fn reset(&mut self, session: u64) {
        self.holder.session = session;
        self.epoch = OPEN;
        self.known.clear();
        self.acknowledge_at = None;
    }
}

const OPEN: i32 = 0;
const FIRST: i32 = 1;
/// Ends a session.
pub(super) const CLOSE: i32 = -1;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wanted(partitions: &[(i32, u8)]) -> BTreeMap<TopicPartition, Uuid> {
        let named =
            |&(partition, id)| (TopicPartition::new("jobs", partition), Uuid::from_bytes([id; 16]));
        partitions.iter().map(named).collect()
    }

    fn indexes(side: &[(TopicPartition, Uuid)]) -> Vec<i32> {
        side.iter().map(|(tp, _)| tp.partition).collect()
    }

    fn session() -> Session {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        Session::new(NodeId::new(1), 1, backoff)
    }

    #[test]
    fn later_fetches_name_only_what_changed() {
        let mut session = session();
        assert_eq!(indexes(&session.next(&wanted(&[(0, 1), (1, 1)])).add), [0, 1]);
        session.advance();
        assert_eq!(session.epoch(), 1);
        let delta = session.next(&wanted(&[(1, 1), (2, 1)]));
        assert_eq!((indexes(&delta.add), indexes(&delta.forget)), (vec![2], vec![0]));
        assert_eq!(session.next(&wanted(&[(1, 1), (2, 1)])), Delta::default());
    }

    #[test]
    fn a_topic_made_anew_is_forgotten_by_its_old_id() {
        let mut session = session();
        let _ = session.next(&wanted(&[(0, 1)]));
        session.advance();
        let delta = session.next(&wanted(&[(0, 2)]));
        assert_eq!(delta.forget, Vec::from_iter(wanted(&[(0, 1)])));
        assert_eq!(delta.add, Vec::from_iter(wanted(&[(0, 2)])));
    }

    #[test]
    fn a_session_that_broke_is_opened_with_everything_and_the_epoch_wraps_to_one() {
        let mut session = session();
        let _ = session.next(&wanted(&[(0, 1)]));
        session.epoch = i32::MAX;
        session.advance();
        assert_eq!(session.epoch(), 1);
        session.reset(2);
        assert!(!session.is_open());
        assert_eq!(indexes(&session.next(&wanted(&[(0, 1)])).add), [0]);
    }
}
