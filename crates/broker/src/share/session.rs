//! Share sessions: a node remembers which partitions a member reads, and holds it to one request after another.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, Topic, Uuid};

use crate::connection::ConnectionId;

/// The share sessions of one node, one a member.
#[derive(Debug)]
pub(crate) struct ShareSessions {
    by_member: BTreeMap<SessionKey, ShareSession>,
    /// The groups of which sessions were begun over each connection.
    by_connection: BTreeMap<ConnectionId, BTreeSet<String>>,
    sessions_max: usize,
}

/// The group and the member.
pub(crate) type SessionKey = (String, String);

/// One partition of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SharedPartition {
    pub(crate) topic_id: Uuid,
    /// The name, if there was such a topic when the partition came in.
    pub(crate) topic: Option<Topic>,
    pub(crate) partition: i32,
}

#[derive(Debug)]
struct ShareSession {
    /// What the next request must carry.
    epoch: i32,
    partitions: BTreeMap<(Uuid, i32), Slot>,
    /// The order in which they came in; one that had data goes to the end.
    turns: BTreeMap<u64, (Uuid, i32)>,
    turn: u64,
    /// It ends with this connection.
    connection: ConnectionId,
}

/// A partition's place in a session.
#[derive(Debug)]
struct Slot {
    topic: Option<Topic>,
    turn: u64,
    /// Whether the next answer has to name it though there is no news.
    must_tell: bool,
}

/// What a connection leaves behind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Disconnected {
    /// The sessions that ended with it.
    pub(crate) ended: Vec<(SessionKey, Vec<SharedPartition>)>,
    /// The groups that have no session left on this node.
    pub(crate) empty_groups: Vec<String>,
}

impl SharedPartition {
    pub(crate) fn new(topic_id: Uuid, topic: Option<Topic>, partition: i32) -> Self {
        Self { topic_id, topic, partition }
    }
}

impl ShareSessions {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self { by_member: BTreeMap::new(), by_connection: BTreeMap::new(), sessions_max }
    }

    /// Begins a session, in place of one that the member may have.
    pub(crate) fn begin(
        &mut self,
        key: &SessionKey,
        connection: ConnectionId,
        partitions: Vec<SharedPartition>,
    ) -> Result<(), ErrorCode> {
        self.by_member.remove(key);
        if self.by_member.len() >= self.sessions_max || !self.has_room(partitions.len()) {
            return Err(ErrorCode::SHARE_SESSION_LIMIT_REACHED);
        }
        let groups = self.by_connection.entry(connection).or_default();
        if groups.len() < CONNECTION_GROUPS_MAX {
            groups.insert(key.0.clone());
        }
        let mut session = ShareSession {
            epoch: next_epoch(INITIAL_EPOCH),
            partitions: BTreeMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
            connection,
        };
        for one in partitions {
            session.add(one, false);
        }
        self.by_member.insert(key.clone(), session);
        Ok(())
    }

    /// Goes on with a session, and returns all its partitions.
    pub(crate) fn go_on(
        &mut self,
        key: &SessionKey,
        epoch: i32,
        added: Vec<SharedPartition>,
        forgotten: &[(Uuid, i32)],
    ) -> Result<Vec<SharedPartition>, ErrorCode> {
        if !self.has_room(added.len()) {
            return Err(ErrorCode::SHARE_SESSION_LIMIT_REACHED);
        }
        let session = self.advance(key, epoch)?;
        for one in added {
            session.add(one, true);
        }
        for key in forgotten {
            if let Some(slot) = session.partitions.remove(key) {
                session.turns.remove(&slot.turn);
            }
        }
        Ok(session.in_turn())
    }

    /// A request that does not fetch is the session's next.
    pub(crate) fn acknowledge(&mut self, key: &SessionKey, epoch: i32) -> Result<(), ErrorCode> {
        match epoch {
            INITIAL_EPOCH => Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH),
            FINAL_EPOCH => self.check(key),
            _ => self.advance(key, epoch).map(drop),
        }
    }

    /// Whether the member has a session.
    pub(crate) fn check(&self, key: &SessionKey) -> Result<(), ErrorCode> {
        if self.by_member.contains_key(key) {
            Ok(())
        } else {
            Err(ErrorCode::SHARE_SESSION_NOT_FOUND)
        }
    }

    /// Whether no request came after that with `epoch`; a session that is gone does not contradict.
    pub(crate) fn is_answer_due(&self, key: &SessionKey, epoch: i32) -> bool {
        self.by_member.get(key).is_none_or(|session| session.epoch == next_epoch(epoch))
    }

    /// Whether the answer to a request that goes on with a session has to name this partition, and notes that it does.
    pub(crate) fn must_tell(
        &mut self,
        key: &SessionKey,
        partition: (Uuid, i32),
        has_records: bool,
        is_error: bool,
    ) -> bool {
        let Some(session) = self.by_member.get_mut(key) else { return true };
        let turn = session.next_turn();
        let Some(slot) = session.partitions.get_mut(&partition) else { return true };
        let must_tell = slot.must_tell || has_records || is_error;
        slot.must_tell = is_error;
        if has_records {
            session.turns.remove(&slot.turn);
            slot.turn = turn;
            session.turns.insert(turn, partition);
        }
        must_tell
    }

    /// The partitions of a session; none where the member has none.
    pub(crate) fn partitions(&self, key: &SessionKey) -> Vec<SharedPartition> {
        self.by_member.get(key).map(ShareSession::in_turn).unwrap_or_default()
    }

    /// Ends a session and returns its partitions.
    pub(crate) fn end(&mut self, key: &SessionKey) -> Option<Vec<SharedPartition>> {
        self.by_member.remove(key).map(|session| session.in_turn())
    }

    /// A connection is gone, and with it the sessions that were begun over it.
    pub(crate) fn handle_disconnect(&mut self, connection: ConnectionId) -> Disconnected {
        // Who never began one left nothing behind.
        let Some(mut groups) = self.by_connection.remove(&connection) else {
            return Disconnected::default();
        };
        let gone = self.by_member.iter().filter(|(_, session)| session.connection == connection);
        let gone: Vec<SessionKey> = gone.map(|(key, _)| key.clone()).collect();
        let ended = gone.into_iter().filter_map(|key| {
            groups.insert(key.0.clone());
            let partitions = self.by_member.remove(&key)?.in_turn();
            Some((key, partitions))
        });
        let ended = ended.collect();
        let has_session = |group: &String| self.by_member.keys().any(|(other, _)| other == group);
        let empty_groups = groups.into_iter().filter(|group| !has_session(group)).collect();
        Disconnected { ended, empty_groups }
    }

    /// Forgets all, as a restart does.
    pub(crate) fn clear(&mut self) {
        self.by_member.clear();
        self.by_connection.clear();
    }

    fn has_room(&self, partitions: usize) -> bool {
        let known = self.by_member.values().map(|session| session.partitions.len());
        known.sum::<usize>().saturating_add(partitions) <= PARTITIONS_MAX
    }

    fn advance(&mut self, key: &SessionKey, epoch: i32) -> Result<&mut ShareSession, ErrorCode> {
        let session = self.by_member.get_mut(key).ok_or(ErrorCode::SHARE_SESSION_NOT_FOUND)?;
        if session.epoch != epoch {
            return Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH);
        }
        session.epoch = next_epoch(epoch);
        Ok(session)
    }
}

impl ShareSession {
    /// Adds a partition at the end of the line, unless it is there.
    fn add(&mut self, one: SharedPartition, must_tell: bool) {
        let key = (one.topic_id, one.partition);
        if !self.partitions.contains_key(&key) {
            let turn = self.next_turn();
            self.turns.insert(turn, key);
            self.partitions.insert(key, Slot { topic: one.topic, turn, must_tell });
        }
    }

    fn in_turn(&self) -> Vec<SharedPartition> {
        let one = |key: &(Uuid, i32)| {
            let slot = self.partitions.get(key)?;
            Some(SharedPartition::new(key.0, slot.topic.clone(), key.1))
        };
        self.turns.values().filter_map(one).collect()
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

/// Asks for a new session.
pub(crate) const INITIAL_EPOCH: i32 = 0;

/// Ends a session.
pub(crate) const FINAL_EPOCH: i32 = -1;

/// What all sessions of a node may name together, whether it is there or not: a client may add to a session for ever.
const PARTITIONS_MAX: usize = 200_000;

/// A connection is one member's; of more groups than this, what the node has in memory may stay there for longer.
const CONNECTION_GROUPS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(member: &str) -> SessionKey {
        ("g".to_owned(), member.to_owned())
    }

    fn partition(index: i32) -> SharedPartition {
        SharedPartition::new(Uuid::ZERO, None, index)
    }

    fn indexes(partitions: &[SharedPartition]) -> Vec<i32> {
        partitions.iter().map(|partition| partition.partition).collect()
    }

    #[test]
    fn a_session_adds_forgets_and_ends() {
        let mut sessions = ShareSessions::new(1);
        let (a, b) = (key("a"), key("b"));
        sessions.begin(&a, ConnectionId(1), vec![partition(0), partition(1)]).expect("has room");
        let full = sessions.begin(&b, ConnectionId(2), vec![]);
        assert_eq!(full, Err(ErrorCode::SHARE_SESSION_LIMIT_REACHED));
        let all = sessions.go_on(&a, 1, vec![partition(2)], &[(Uuid::ZERO, 0)]).expect("goes on");
        assert_eq!(indexes(&all), [1, 2]);
        let again = sessions.go_on(&a, 1, vec![], &[]);
        assert_eq!(again, Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH));
        assert_eq!(sessions.acknowledge(&a, 0), Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH));
        assert_eq!(sessions.acknowledge(&a, 2), Ok(()));
        assert_eq!(sessions.acknowledge(&a, FINAL_EPOCH), Ok(()));
        assert_eq!(sessions.end(&a).map(|all| indexes(&all)), Some(vec![1, 2]));
        assert_eq!(sessions.acknowledge(&a, 3), Err(ErrorCode::SHARE_SESSION_NOT_FOUND));
    }

    #[test]
    fn only_news_is_told_and_data_goes_to_the_end_of_the_line() {
        let mut sessions = ShareSessions::new(1);
        let a = key("a");
        sessions.begin(&a, ConnectionId(1), vec![partition(0)]).expect("has room");
        sessions.go_on(&a, 1, vec![partition(1)], &[]).expect("goes on");
        let zero = (Uuid::ZERO, 0);
        let one = (Uuid::ZERO, 1);
        assert!(!sessions.must_tell(&a, zero, false, false));
        assert!(sessions.must_tell(&a, one, false, false), "it is new");
        assert!(!sessions.must_tell(&a, one, false, false));
        assert!(sessions.must_tell(&a, one, false, true), "an error");
        assert!(sessions.must_tell(&a, one, false, false), "the error is gone");
        assert!(sessions.must_tell(&a, zero, true, false));
        let all = sessions.go_on(&a, 2, vec![], &[]).expect("goes on");
        assert_eq!(indexes(&all), [1, 0]);
    }

    #[test]
    fn a_connection_takes_only_its_own_session_along() {
        let mut sessions = ShareSessions::new(2);
        let a = key("a");
        sessions.begin(&a, ConnectionId(1), vec![partition(0)]).expect("has room");
        sessions.begin(&a, ConnectionId(2), vec![partition(1)]).expect("has room");
        assert_eq!(sessions.handle_disconnect(ConnectionId(1)), Disconnected::default());
        let gone = sessions.handle_disconnect(ConnectionId(2));
        assert_eq!(gone.ended, [(a, vec![partition(1)])]);
        assert_eq!(gone.empty_groups, ["g"]);
    }

    /// One that stayed would keep its locks until they run out, and take another's room for good.
    #[test]
    fn a_connection_takes_all_its_sessions_along() {
        let mut sessions = ShareSessions::new(2);
        let (a, b) = (key("a"), key("b"));
        for key in [&a, &b] {
            sessions.begin(key, ConnectionId(1), vec![partition(0)]).expect("has room");
        }
        let gone = sessions.handle_disconnect(ConnectionId(1));
        assert_eq!(gone.ended, [a, b].map(|key| (key, vec![partition(0)])));
        assert_eq!(gone.empty_groups, ["g"]);
        assert_eq!(sessions.handle_disconnect(ConnectionId(1)), Disconnected::default());
    }

    #[test]
    fn sessions_name_only_so_many_partitions() {
        let mut sessions = ShareSessions::new(2);
        let (a, b) = (key("a"), key("b"));
        let many = |from: i32| (from..from + 100_000).map(partition).collect::<Vec<_>>();
        sessions.begin(&a, ConnectionId(1), many(0)).expect("has room");
        sessions.go_on(&a, 1, many(100_000), &[]).expect("has room");
        let full = Err(ErrorCode::SHARE_SESSION_LIMIT_REACHED);
        assert_eq!(sessions.go_on(&a, 2, vec![partition(200_000)], &[]).map(drop), full);
        assert_eq!(sessions.begin(&b, ConnectionId(2), vec![partition(0)]), full);
        sessions.go_on(&a, 2, vec![], &[(Uuid::ZERO, 0)]).expect("the session goes on");
        sessions.begin(&b, ConnectionId(2), vec![partition(0)]).expect("has room");
    }
}
