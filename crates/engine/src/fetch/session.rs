//! What a broker remembers of a consumer's fetches (KIP-227).
//!
//! The first request of a session names every partition; each later one only what changed, and what to forget. The
//! session is the broker's, which may drop it at any time: then everything is named again.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, LeaderEpoch, NodeId, Offset, TopicPartition, Uuid};

/// What is asked of one partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ask {
    pub(crate) topic_id: Option<Uuid>,
    pub(crate) offset: Offset,
    /// The leader's epoch as the metadata has it; the broker refuses another.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    pub(crate) bytes_max: i32,
}

/// One request's share of the session.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Delta {
    /// 0 for none.
    pub(crate) session_id: i32,
    /// 0 opens a session, -1 closes it.
    pub(crate) session_epoch: i32,
    pub(crate) ask: Vec<(TopicPartition, Ask)>,
    pub(crate) forget: Vec<(TopicPartition, Option<Uuid>)>,
}

/// The session with one broker.
#[derive(Debug)]
pub(crate) struct Session {
    broker: NodeId,
    id: i32,
    /// The epoch of the next request; 0 names everything.
    epoch: i32,
    /// What the broker knows, or will know by the request under way.
    known: BTreeMap<TopicPartition, Ask>,
    /// The partition whose bytes came last in the last answer with any.
    last_read: Option<TopicPartition>,
}

/// Why a response does not fit the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mismatch {
    /// The broker dropped the session or lost count: all is named again, nothing is wrong.
    Dropped,
    /// The broker opened another session than the one that was continued.
    Foreign,
}

impl Session {
    pub(crate) fn new(broker: NodeId) -> Self {
        let (known, last_read) = (BTreeMap::new(), None);
        Self { broker, id: NO_SESSION, epoch: OPEN, known, last_read }
    }

    /// The partitions that the broker reports on.
    pub(crate) fn known(&self) -> &BTreeMap<TopicPartition, Ask> {
        &self.known
    }

    /// What the next request says, so that the broker then reports on exactly `wanted`.
    pub(crate) fn next(&mut self, wanted: BTreeMap<TopicPartition, Ask>) -> Delta {
        // One topic without an id forces the whole request to names, which a session by ids cannot continue.
        let by_id =
            |asks: &BTreeMap<TopicPartition, Ask>| asks.values().all(|ask| ask.topic_id.is_some());
        if !self.known.is_empty() && by_id(&self.known) != by_id(&wanted) {
            self.epoch = OPEN;
        }
        let (mut ask, mut forget) = (Vec::new(), Vec::new());
        if self.epoch == OPEN {
            ask.extend(wanted.iter().map(|(tp, ask)| (tp.clone(), *ask)));
            // Brokers fill an answer in the order of the request; where they keep no session that is always ours, and whoever
            // comes first would come first for ever.
            let last = self.last_read.as_ref();
            let first = ask.partition_point(|(tp, _)| last.is_some_and(|last| tp <= last));
            ask.rotate_left(first);
        } else {
            for (tp, new) in &wanted {
                match self.known.get(tp) {
                    Some(old) if old == new => {}
                    // The topic was deleted and made again: to the broker these are two.
                    Some(old) if old.topic_id != new.topic_id => {
                        forget.push((tp.clone(), old.topic_id));
                        ask.push((tp.clone(), *new));
                    }
                    Some(_) | None => ask.push((tp.clone(), *new)),
                }
            }
            let gone = self.known.iter().filter(|(tp, _)| !wanted.contains_key(*tp));
            forget.extend(gone.map(|(tp, old)| (tp.clone(), old.topic_id)));
        }
        self.known = wanted;
        Delta { session_id: self.id, session_epoch: self.epoch, ask, forget }
    }

    /// The last request of the session, where there is one to close.
    pub(crate) fn close(&mut self) -> Option<Delta> {
        let id = std::mem::replace(&mut self.id, NO_SESSION);
        self.epoch = OPEN;
        self.known.clear();
        let close =
            Delta { session_id: id, session_epoch: CLOSE, ask: Vec::new(), forget: Vec::new() };
        (id != NO_SESSION).then_some(close)
    }

    /// Takes in the head of a response.
    pub(crate) fn handle_response(&mut self, error: ErrorCode, id: i32) -> Result<(), Mismatch> {
        match error {
            ErrorCode::NONE => {}
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND => {
                self.id = NO_SESSION;
                self.epoch = OPEN;
                return Err(Mismatch::Dropped);
            }
            // Also FETCH_SESSION_TOPIC_ID_ERROR and whatever may come: the session is closed by opening the next.
            _ => {
                self.epoch = OPEN;
                return Err(Mismatch::Dropped);
            }
        }
        if self.epoch == OPEN {
            self.id = id;
            self.epoch = if id == NO_SESSION { OPEN } else { FIRST };
            return Ok(());
        }
        if id != self.id {
            tracing::debug!(broker = %self.broker, session = self.id, got = id, "foreign fetch session");
            self.epoch = OPEN;
            // 0 says that there is no session any more; the answer itself is good.
            if id == NO_SESSION {
                self.id = NO_SESSION;
                return Ok(());
            }
            return Err(Mismatch::Foreign);
        }
        self.epoch = if self.epoch == i32::MAX { FIRST } else { self.epoch + 1 };
        Ok(())
    }

    /// Takes note that `tp` is the last one of which the answer had bytes.
    pub(crate) fn handle_bytes(&mut self, tp: &TopicPartition) {
        self.last_read = Some(tp.clone());
    }

    /// The request is lost: whether the broker counted it is unknown, so the session starts over.
    pub(crate) fn handle_failure(&mut self) {
        self.epoch = OPEN;
    }
}

const NO_SESSION: i32 = 0;
const OPEN: i32 = 0;
const FIRST: i32 = 1;
const CLOSE: i32 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(offset: i64) -> Ask {
        let topic_id = Some(Uuid::from_bytes([1; 16]));
        let offset = Offset::new(offset).unwrap();
        Ask { topic_id, offset, leader_epoch: LeaderEpoch::from_wire(1), bytes_max: 1 << 20 }
    }

    fn wanted(asks: &[(i32, i64)]) -> BTreeMap<TopicPartition, Ask> {
        asks.iter().map(|&(partition, offset)| (tp(partition), ask(offset))).collect()
    }

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("orders", partition)
    }

    fn asked(delta: &Delta) -> Vec<i32> {
        delta.ask.iter().map(|(tp, _)| tp.partition).collect()
    }

    fn forgotten(delta: &Delta) -> Vec<i32> {
        delta.forget.iter().map(|(tp, _)| tp.partition).collect()
    }

    fn opened(asks: &[(i32, i64)]) -> Session {
        let mut session = Session::new(NodeId::new(1));
        let first = session.next(wanted(asks));
        assert_eq!((first.session_id, first.session_epoch), (0, 0));
        assert_eq!(first.ask.len(), asks.len());
        assert_eq!(session.handle_response(ErrorCode::NONE, 77), Ok(()));
        session
    }

    #[test]
    fn later_requests_name_only_what_changed() {
        let mut session = opened(&[(0, 0), (1, 0), (2, 0)]);
        let delta = session.next(wanted(&[(0, 0), (1, 5), (3, 0)]));
        assert_eq!((delta.session_id, delta.session_epoch), (77, 1));
        assert_eq!(asked(&delta), [1, 3]);
        assert_eq!(forgotten(&delta), [2]);
        session.handle_response(ErrorCode::NONE, 77).unwrap();
        let idle = session.next(wanted(&[(0, 0), (1, 5), (3, 0)]));
        assert_eq!(idle.session_epoch, 2);
        assert!(idle.ask.is_empty() && idle.forget.is_empty());
    }

    #[test]
    fn an_evicted_session_is_opened_again_with_everything() {
        let mut session = opened(&[(0, 0), (1, 0)]);
        let _ = session.next(wanted(&[(0, 9), (1, 0)]));
        let dropped = session.handle_response(ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0);
        assert_eq!(dropped, Err(Mismatch::Dropped));
        let full = session.next(wanted(&[(0, 9), (1, 0)]));
        assert_eq!((full.session_id, full.session_epoch), (0, 0));
        assert_eq!(asked(&full), [0, 1]);
    }

    /// The broker still holds the old session: naming it lets the broker free it.
    #[test]
    fn a_wrong_epoch_closes_the_old_session_by_opening_a_new_one() {
        for code in
            [ErrorCode::INVALID_FETCH_SESSION_EPOCH, ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR]
        {
            let mut session = opened(&[(0, 0)]);
            let _ = session.next(wanted(&[(0, 1)]));
            assert_eq!(session.handle_response(code, 0), Err(Mismatch::Dropped));
            let full = session.next(wanted(&[(0, 1)]));
            assert_eq!((full.session_id, full.session_epoch), (77, 0));
            assert_eq!(asked(&full), [0]);
        }
    }

    #[test]
    fn a_lost_request_starts_the_session_over() {
        let mut session = opened(&[(0, 0)]);
        let _ = session.next(wanted(&[(0, 1)]));
        session.handle_failure();
        let full = session.next(wanted(&[(0, 1)]));
        assert_eq!((full.session_id, full.session_epoch), (77, 0));
        assert_eq!(asked(&full), [0]);
    }

    #[test]
    fn a_broker_without_room_for_a_session_is_asked_in_full() {
        let mut session = Session::new(NodeId::new(1));
        let _ = session.next(wanted(&[(0, 0)]));
        session.handle_response(ErrorCode::NONE, 0).unwrap();
        let next = session.next(wanted(&[(0, 0)]));
        assert_eq!((next.session_id, next.session_epoch), (0, 0));
        assert_eq!(asked(&next), [0]);
    }

    #[test]
    fn a_topic_made_again_is_forgotten_by_its_old_id() {
        let mut session = opened(&[(0, 0)]);
        let new_id = Some(Uuid::from_bytes([2; 16]));
        let delta = session.next(BTreeMap::from([(tp(0), Ask { topic_id: new_id, ..ask(0) })]));
        assert_eq!(delta.forget, [(tp(0), Some(Uuid::from_bytes([1; 16])))]);
        assert_eq!(delta.ask[0].1.topic_id, new_id);
    }

    #[test]
    fn names_and_ids_do_not_mix_in_one_session() {
        let mut session = opened(&[(0, 0), (1, 0)]);
        let mut mixed = wanted(&[(0, 0), (1, 0)]);
        mixed.get_mut(&tp(1)).unwrap().topic_id = None;
        let full = session.next(mixed);
        assert_eq!(full.session_epoch, 0);
        assert_eq!(asked(&full), [0, 1]);
    }

    #[test]
    fn the_epoch_wraps_to_one() {
        let mut session = opened(&[(0, 0)]);
        session.epoch = i32::MAX;
        session.handle_response(ErrorCode::NONE, 77).unwrap();
        assert_eq!(session.next(wanted(&[(0, 0)])).session_epoch, 1);
    }

    #[test]
    fn only_an_open_session_is_closed() {
        let mut session = opened(&[(0, 0)]);
        let close = session.close().unwrap();
        assert_eq!((close.session_id, close.session_epoch), (77, -1));
        assert_eq!(session.close(), None);
    }

    #[test]
    fn an_answer_of_another_session_is_refused() {
        let mut session = opened(&[(0, 0)]);
        let _ = session.next(wanted(&[(0, 1)]));
        assert_eq!(session.handle_response(ErrorCode::NONE, 78), Err(Mismatch::Foreign));
        assert_eq!(session.next(wanted(&[(0, 1)])).session_epoch, 0);
    }

    /// A broker that is short of room ends a session by an answer of none, whose records are good.
    #[test]
    fn a_session_that_the_broker_let_go_is_opened_again_and_its_answer_taken() {
        let mut session = opened(&[(0, 0), (1, 0)]);
        let _ = session.next(wanted(&[(0, 1), (1, 0)]));
        assert_eq!(session.handle_response(ErrorCode::NONE, 0), Ok(()));
        let full = session.next(wanted(&[(0, 2), (1, 0)]));
        assert_eq!((full.session_id, full.session_epoch), (0, 0));
        assert_eq!(asked(&full), [0, 1]);
    }

    #[test]
    fn after_its_close_a_session_is_opened_with_everything() {
        let mut session = opened(&[(0, 0), (1, 0)]);
        assert!(session.close().is_some());
        assert!(session.known().is_empty());
        let full = session.next(wanted(&[(0, 0), (1, 0)]));
        assert_eq!((full.session_id, full.session_epoch), (0, 0));
        assert_eq!(asked(&full), [0, 1]);
    }

    /// What is not named again the broker takes to be as it was.
    #[test]
    fn a_partition_is_named_again_for_whatever_changed_of_it() {
        let changes: [fn(&mut Ask); 3] = [
            |ask| ask.leader_epoch = LeaderEpoch::from_wire(2),
            |ask| ask.bytes_max = 7,
            |ask| ask.offset = Offset::new(3).unwrap(),
        ];
        for change in changes {
            let mut session = opened(&[(0, 0), (1, 0)]);
            let mut moved = wanted(&[(0, 0), (1, 0)]);
            change(moved.get_mut(&tp(1)).unwrap());
            let delta = session.next(moved);
            assert_eq!((asked(&delta), forgotten(&delta)), (vec![1], vec![]));
        }
    }
}
