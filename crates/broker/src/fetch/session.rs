//! Fetch sessions: a node remembers what a consumer wants, so that requests and answers carry only changes (KIP-227).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Offset};

use super::interest::{Interest, TopicKey};

/// The sessions of one node.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_id: BTreeMap<i32, Session>,
    sessions_max: usize,
}

#[derive(Debug)]
struct Session {
    /// What the next request must carry.
    epoch: i32,
    names_by_id: bool,
    interests: BTreeMap<Key, Cached>,
    /// The order in which partitions are served; one that had data goes to the end.
    turns: BTreeMap<u64, Key>,
    turn: u64,
    last_used: Instant,
}

/// A partition as the session names it.
pub(crate) type Key = (TopicKey, i32);

#[derive(Debug)]
struct Cached {
    interest: Interest,
    turn: u64,
    shown: Shown,
}

/// What the consumer was last told about a partition.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Shown {
    pub(crate) high_watermark: Option<Offset>,
    pub(crate) log_start: Option<Offset>,
}

/// What a Fetch says about its session.
#[derive(Clone, Debug)]
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) names_by_id: bool,
    pub(crate) interests: Vec<Interest>,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

/// How a Fetch is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SessionUse {
    /// In full, without a session.
    None,
    /// In full, and a new session begins where there is room.
    New,
    /// With what changed since the last answer.
    Incremental(i32),
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self { by_id: BTreeMap::new(), sessions_max }
    }

    /// Takes the session part of a request; returns how to answer and everything that is to be read, in turn.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        request: SessionRequest,
    ) -> Result<(SessionUse, Vec<Interest>), ErrorCode> {
        if matches!(request.epoch, FINAL_EPOCH | INITIAL_EPOCH) {
            self.by_id.remove(&request.id);
            let usage =
                if request.epoch == FINAL_EPOCH { SessionUse::None } else { SessionUse::New };
            return Ok((usage, request.interests));
        }
        let session =
            self.by_id.get_mut(&request.id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.names_by_id != request.names_by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.last_used = now;
        session.epoch = next_epoch(session.epoch);
        for key in &request.forgotten {
            session.forget(key);
        }
        for interest in request.interests {
            session.update(interest);
        }
        let interests = session.in_turn();
        if interests.is_empty() {
            self.by_id.remove(&request.id);
            return Ok((SessionUse::None, interests));
        }
        Ok((SessionUse::Incremental(request.id), interests))
    }

    /// Begins a session over what was just answered; 0 if there is no room for one.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        rng: &mut fastrand::Rng,
        names_by_id: bool,
        answered: impl Iterator<Item = (Interest, Shown)>,
    ) -> i32 {
        if self.by_id.len() >= self.sessions_max && !self.evict(now) {
            return NO_SESSION;
        }
        let mut session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            names_by_id,
            interests: BTreeMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
            last_used: now,
        };
        for (interest, shown) in answered {
            let key = (interest.topic.clone(), interest.partition);
            session.update(interest);
            session.show(&key, shown, false);
        }
        let mut id = rng.i32(1..);
        while self.by_id.contains_key(&id) {
            id = rng.i32(1..);
        }
        self.by_id.insert(id, session);
        id
    }

    /// Whether a partition must be in an incremental answer, and notes that it is.
    pub(crate) fn must_show(
        &mut self,
        id: i32,
        topic: &TopicKey,
        partition: i32,
        shown: Shown,
        has_records: bool,
    ) -> bool {
        let Some(session) = self.by_id.get_mut(&id) else { return true };
        session.show(&(topic.clone(), partition), shown, has_records)
    }

    /// What a session is about, in the order of the topics.
    pub(crate) fn partitions(&self, id: i32) -> impl Iterator<Item = &Key> {
        self.by_id.get(&id).into_iter().flat_map(|session| session.interests.keys())
    }

    /// Forgets all, as a restart does.
    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
    }

    fn evict(&mut self, now: Instant) -> bool {
        let oldest = self.by_id.iter().min_by_key(|(_, session)| session.last_used);
        let stale = oldest.filter(|(_, session)| now >= session.last_used + EVICTION_AGE);
        match stale.map(|(id, _)| *id) {
            Some(id) => self.by_id.remove(&id).is_some(),
            None => false,
        }
    }
}

impl Session {
    fn update(&mut self, interest: Interest) {
        let key = (interest.topic.clone(), interest.partition);
        if let Some(cached) = self.interests.get_mut(&key) {
            cached.interest = interest;
            return;
        }
        let turn = self.next_turn();
        self.turns.insert(turn, key.clone());
        self.interests.insert(key, Cached { interest, turn, shown: Shown::default() });
    }

    fn forget(&mut self, key: &Key) {
        if let Some(cached) = self.interests.remove(key) {
            self.turns.remove(&cached.turn);
        }
    }

    fn in_turn(&self) -> Vec<Interest> {
        let interest = |key| self.interests.get(key).map(|cached| cached.interest.clone());
        self.turns.values().filter_map(interest).collect()
    }

    fn show(&mut self, key: &Key, shown: Shown, has_records: bool) -> bool {
        let turn = self.next_turn();
        let Some(cached) = self.interests.get_mut(key) else { return true };
        let is_news = has_records || cached.shown != shown;
        cached.shown = shown;
        if has_records {
            self.turns.remove(&cached.turn);
            cached.turn = turn;
            self.turns.insert(turn, key.clone());
        }
        is_news
    }

    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}

/// After the largest epoch comes 1: 0 would ask for a new session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch.saturating_add(1) }
}

/// Asks for no session, or ends one.
const FINAL_EPOCH: i32 = -1;
/// Asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// The id that stands for none.
const NO_SESSION: i32 = 0;
/// A session unused for this long makes room for another (`min.incremental.fetch.session.eviction.ms`).
const EVICTION_AGE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use milena_types::Topic;

    use super::*;

    fn interest(partition: i32) -> Interest {
        Interest {
            topic: TopicKey::Name(Topic::from("t")),
            partition,
            offset: Some(Offset::ZERO),
            leader_epoch: None,
            last_fetched_epoch: None,
            bytes_max: 1,
        }
    }

    fn request(id: i32, epoch: i32, partitions: &[i32], forgotten: &[i32]) -> SessionRequest {
        let topic = || TopicKey::Name(Topic::from("t"));
        SessionRequest {
            id,
            epoch,
            names_by_id: false,
            interests: partitions.iter().map(|partition| interest(*partition)).collect(),
            forgotten: forgotten.iter().map(|partition| (topic(), *partition)).collect(),
        }
    }

    fn partitions(interests: &[Interest]) -> Vec<i32> {
        interests.iter().map(|interest| interest.partition).collect()
    }

    fn begin(sessions: &mut Sessions, now: Instant, partitions: &[i32]) -> i32 {
        begin_with(&mut fastrand::Rng::with_seed(3), sessions, now, partitions)
    }

    fn begin_with(
        rng: &mut fastrand::Rng,
        sessions: &mut Sessions,
        now: Instant,
        partitions: &[i32],
    ) -> i32 {
        let answered = partitions.iter().map(|p| (interest(*p), Shown::default()));
        sessions.begin(now, rng, false, answered)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    fn a_session_adds_forgets_and_ends() {
        let now = Instant::now();
        let mut sessions = Sessions::new(2);
        let id = begin(&mut sessions, now, &[0, 1]);
        let (usage, all) = sessions.open(now, request(id, 1, &[2], &[0])).expect("goes on");
        assert_eq!((usage, partitions(&all)), (SessionUse::Incremental(id), vec![1, 2]));
        let stale = sessions.open(now, request(id, 1, &[], &[])).map(|_| ());
        assert_eq!(stale, Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        let unknown = sessions.open(now, request(id ^ 1, 1, &[], &[])).map(|_| ());
        assert_eq!(unknown, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        let (usage, all) = sessions.open(now, request(id, 2, &[], &[1, 2])).expect("goes on");
        assert_eq!((usage, all.len()), (SessionUse::None, 0), "an empty session ends");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    fn only_changes_are_shown_and_data_goes_to_the_end_of_the_line() {
        let now = Instant::now();
        let mut sessions = Sessions::new(2);
        let id = begin(&mut sessions, now, &[0, 1]);
        let topic = TopicKey::Name(Topic::from("t"));
        let shown = Shown { high_watermark: Some(Offset::ZERO), log_start: Some(Offset::ZERO) };
        assert!(sessions.must_show(id, &topic, 0, shown, false));
        assert!(!sessions.must_show(id, &topic, 0, shown, false));
        assert!(sessions.must_show(id, &topic, 0, shown, true));
        let (_, all) = sessions.open(now, request(id, 1, &[], &[])).expect("goes on");
        assert_eq!(partitions(&all), [1, 0]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    fn only_a_stale_session_makes_room() {
        let start = Instant::now();
        let mut sessions = Sessions::new(1);
        // One generator for all: the ids differ.
        let rng = &mut fastrand::Rng::with_seed(3);
        let first = begin_with(rng, &mut sessions, start, &[0]);
        assert_eq!(begin_with(rng, &mut sessions, start + EVICTION_AGE / 2, &[0]), NO_SESSION);
        assert_ne!(begin_with(rng, &mut sessions, start + EVICTION_AGE, &[0]), NO_SESSION);
        let gone = sessions.open(start + EVICTION_AGE, request(first, 1, &[], &[])).map(|_| ());
        assert_eq!(gone, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert_eq!(sessions.by_id.len(), 1);
    }
}
