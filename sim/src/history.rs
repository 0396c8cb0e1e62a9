//! What the users of a world did and saw, and what the brokers stored: all that the checker judges by.
//!
//! Times are virtual, counted from the world's start. Every value sent is a number used once in a world, so that a
//! record can be recognised wherever it turns up.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_types::{Offset, TopicPartition};

use crate::share::Shares;

/// A record's content: a number used once in a world.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Value(pub u64);

/// What a finished call says became of its record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Stored, at this offset where the broker told it (acks=0 tells none).
    Done(Option<Offset>),
    /// Certainly not stored.
    NotDone,
    /// Stored or not: nobody can tell.
    Unknown,
}

/// One record handed to one producer.
#[derive(Clone, Debug)]
pub struct Send {
    /// Which producer of the world.
    pub producer: usize,
    /// What was sent.
    pub value: Value,
    /// Where to.
    pub to: TopicPartition,
    /// The transaction that it belongs to.
    pub transaction: Option<usize>,
    /// When it was handed over; sends of one producer stand in the order in which it made them.
    pub invoked: Duration,
    /// The latest time at which its fate must be known.
    pub deadline: Duration,
    /// Whether the send buffer took it; what it refuses is over at once.
    pub is_taken: bool,
    /// Whether a callback is to be told besides.
    pub is_watched: bool,
    /// Every completion that was reported: exactly one is right.
    pub returned: Vec<(Duration, Outcome)>,
}

/// One record handed to a user by a consumer.
#[derive(Clone, Debug)]
pub struct Read {
    /// Which consumer of the world.
    pub consumer: usize,
    /// Which assignment or position of its: a new one begins whenever the user seeks or the assignment changes.
    pub assignment: u64,
    /// In which life of the topic.
    pub life: usize,
    /// Where from.
    pub from: TopicPartition,
    /// At which offset.
    pub offset: Offset,
    /// What was read.
    pub value: Value,
    /// When.
    pub at: Duration,
    /// When its user came back for more, or gave it back otherwise: he is done with it.
    pub done: Option<Duration>,
}

/// A stay of a partition with a member of a group, as its user was told.
#[derive(Clone, Debug)]
pub struct Stay {
    /// Which client of the world.
    pub consumer: usize,
    /// Which assignment of its.
    pub assignment: u64,
    /// Which partition.
    pub of: TopicPartition,
    /// When the user heard that it is his.
    pub from: Duration,
}

/// An offset that the group's coordinator took.
#[derive(Clone, Debug)]
pub struct Stored {
    /// When.
    pub at: Duration,
    /// Of which partition.
    pub of: TopicPartition,
    /// The next offset to read.
    pub offset: Offset,
}

/// The group when the world ended.
#[derive(Clone, Debug)]
pub struct GroupEnd {
    /// Whether its coordinator calls it stable, with as many members as there are.
    pub is_stable: bool,
    /// What each member holds.
    pub held: BTreeMap<usize, Vec<TopicPartition>>,
    /// All partitions of the topic.
    pub partitions: Vec<TopicPartition>,
}

/// A place at which an assignment began to read.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which consumer of the world.
    pub consumer: usize,
    /// Which assignment of its.
    pub assignment: u64,
    /// In which life of the topic it began.
    pub life: usize,
    /// Which partition.
    pub of: TopicPartition,
    /// The first offset that it must hand out.
    pub at: Offset,
    /// When its group was first asked for its offset, if it was.
    pub asked: Option<Duration>,
    /// When the place was known.
    pub known: Duration,
}

/// A call with a deadline: flush, close, commit, a query.
#[derive(Clone, Debug)]
pub struct Call {
    /// What was called.
    pub what: CallKind,
    /// By which client of the world.
    pub client: usize,
    /// When.
    pub invoked: Duration,
    /// By when it must have returned.
    pub deadline: Duration,
    /// When it returned, and whether it reported success.
    pub returned: Option<(Duration, bool)>,
}

/// What a [`Call`] called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallKind {
    /// Everything sent before is settled when it returns.
    Flush,
    /// The same, and nothing is taken on after.
    Close,
    /// Stores a consumer's positions.
    Commit,
    /// Begins a transaction.
    Begin,
    /// Puts offsets into a transaction.
    Offsets,
    /// Commits or aborts a transaction.
    EndTransaction,
}

/// One transaction, as its user knows it.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Whose.
    pub producer: usize,
    /// The group whose offset it moves.
    pub group: String,
    /// When it was open.
    pub begun: Duration,
    /// Whether its user meant to commit it.
    pub is_to_commit: bool,
    /// Within what time it must be committed where nothing stands in the way; later its coordinator may abort it.
    pub patience: Duration,
    /// When the commit was asked for, if it was.
    pub commit_called: Option<Duration>,
    /// How it ended, as its user was told, and when.
    pub ended: Option<(Duration, Ended)>,
    /// The offset that it commits: a number used once in a world.
    pub offset: Option<i64>,
    /// What its user read before, whose offsets in the group go with it.
    pub took: Vec<Value>,
    /// What of that was copied, and as what.
    pub copies: Vec<(Value, Value)>,
}

/// What the user was told of the end of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It is committed.
    Committed,
    /// It is not, and never will be.
    Aborted,
    /// One of the two: nobody can tell.
    Unknown,
}

/// What became of a record of a transaction, by the marker behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// Committed.
    Committed,
    /// Aborted.
    Aborted,
    /// No marker came.
    Open,
}

/// One produce batch as a broker received it, whatever became of it.
#[derive(Clone, Debug)]
pub struct BatchSeen {
    /// When the broker read it.
    pub at: Duration,
    /// The connection that carried it.
    pub connection: u64,
    /// Where to.
    pub to: TopicPartition,
    /// Producer id, epoch and base sequence, for an idempotent producer.
    pub identity: Option<(i64, i16, i32)>,
    /// How many records it claims.
    pub records: i32,
    /// The values inside, in order.
    pub values: Vec<Value>,
}

/// A partition's log at the end of a life of its topic, oldest first.
pub type Log = Vec<(Offset, Value)>;

/// The logs of one life of the topic.
pub type Logs = BTreeMap<TopicPartition, Log>;

/// All that happened in one world.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Sends in the order in which they were made.
    pub sends: Vec<Send>,
    /// What callbacks of sends were told.
    pub told: Vec<(Value, Outcome)>,
    /// Reads in the order in which they were made.
    pub reads: Vec<Read>,
    /// Where each assignment began.
    pub starts: Vec<Start>,
    /// Partitions as members of the group got them.
    pub stays: Vec<Stay>,
    /// Offsets of the group as they were stored.
    pub stored: Vec<Stored>,
    /// When what the group had committed was forgotten (F58).
    pub forgotten: Vec<Duration>,
    /// What became of the group; `None` in a world without one.
    pub group: Option<GroupEnd>,
    /// What happened to the share group; `None` in a world without one.
    pub share: Option<Shares>,
    /// Where logs were cut off from below, and when (F30).
    pub deleted: BTreeMap<TopicPartition, Vec<(Duration, Offset)>>,
    /// Calls with deadlines.
    pub calls: Vec<Call>,
    /// Batches as the brokers saw them, in order.
    pub batches: Vec<BatchSeen>,
    /// The logs of each life of the topic: it may be deleted and made anew under its name (F26). The last are the
    /// final ones.
    pub lives: Vec<Logs>,
    /// When it was made anew.
    pub recreated: Vec<Duration>,
    /// Transactions in the order in which they began.
    pub transactions: Vec<Transaction>,
    /// What became of the records of transactions in the last life of the topic.
    pub fates: BTreeMap<TopicPartition, BTreeMap<Offset, Fate>>,
    /// Where the groups are whose offsets transactions move.
    pub groups: BTreeMap<String, Option<i64>>,
    /// Errors that users were told.
    pub surfaced: Vec<(Duration, String)>,
    /// The highest number of unanswered produce requests seen on one connection.
    pub in_flight_max: usize,
    /// The most brokers that had unanswered batches of one producer for one partition at a time.
    pub brokers_at_once_max: usize,
    /// Requests per simulated second, at the busiest second.
    pub requests_per_second_max: u64,
    /// Wake-ups of a machine per simulated second, at the busiest second.
    pub wakeups_per_second_max: u64,
    /// The most bytes that one accumulator held at any time.
    pub buffered_bytes_max: u64,
    /// The most bytes that one consumer held at any time of what it had fetched, as they came.
    pub fetched_bytes_max: u64,
    /// The most bytes that an accumulator still held when its producer was gone.
    pub buffered_bytes_left: u64,
    /// When the last fault ended.
    pub faults_ended: Duration,
    /// When the world had nothing left to do, or `None` if it never came to rest.
    pub rested: Option<Duration>,
}

impl History {
    /// Which life of the topic this is, counted from 0.
    pub fn life(&self) -> usize {
        self.lives.len()
    }

    /// The logs that are left in the end.
    pub fn logs(&self) -> impl Iterator<Item = (&TopicPartition, &Log)> {
        self.lives.last().into_iter().flatten()
    }

    /// What became of a record of a transaction; `None` for any other record.
    pub fn fate(&self, tp: &TopicPartition, offset: Offset) -> Option<Fate> {
        self.fates.get(tp)?.get(&offset).copied()
    }

    /// Whether whoever reads committed records is to see what is there.
    pub fn is_readable(&self, tp: &TopicPartition, offset: Offset) -> bool {
        matches!(self.fate(tp, offset), None | Some(Fate::Committed))
    }

    /// Whether a record was deleted by `at`.
    pub fn is_deleted(&self, tp: &TopicPartition, offset: Offset, at: Duration) -> bool {
        let cuts = self.deleted.get(tp).into_iter().flatten();
        cuts.into_iter().any(|(when, start)| *when <= at && offset < *start)
    }

    /// A consumer holds this many bytes of what it fetched.
    pub(crate) fn note_fetched(&mut self, bytes: usize) {
        self.fetched_bytes_max = self.fetched_bytes_max.max(bytes as u64);
    }

    /// Whether what the group had committed was forgotten between two times.
    pub fn is_forgotten(&self, from: Duration, to: Duration) -> bool {
        self.forgotten.iter().any(|at| (from..=to).contains(at))
    }

    /// Every log of every life.
    pub fn all_logs(&self) -> impl Iterator<Item = (&TopicPartition, &Log)> {
        self.lives.iter().flatten()
    }

    /// The latest time at which something must end that has not; `None` if all has.
    pub fn open_until(&self) -> Option<Duration> {
        let calls = self.calls.iter().filter(|call| call.returned.is_none());
        let sends = self.sends.iter().filter(|send| send.returned.is_empty());
        calls.map(|call| call.deadline).chain(sends.map(|send| send.deadline)).max()
    }
}

/// What the world was set up to promise; the checker holds it to this.
#[derive(Clone, Debug)]
pub struct Promises {
    /// Whether the producers are idempotent, so that duplicates are defects.
    pub idempotent: bool,
    /// Where the sequences of new producers begin.
    pub first_sequence: i32,
    /// Whether the order of sends is the log's: producers are idempotent, or have one request in flight.
    pub ordered: bool,
    /// Whether what was acknowledged is stored. With acks=0 any fault may undo that, with acks=1 a leader that fails.
    pub acknowledged: bool,
    /// Whether brokers say only what is so. Where they are made to deny a sequence or an epoch that is right, whether
    /// a record is stored once, and what its producer can know of that, is nobody's promise.
    pub truthful: bool,
    /// Whether brokers refuse what is right for good: then a record that has time is not stored all the same.
    pub refusals: bool,
    /// Whether no commit arrives behind a later one: where requests are held up on their way, an old one on a connection
    /// that was given up may.
    pub commits_in_order: bool,
    /// Whether members commit only what their users came back from.
    pub commits_what_is_done: bool,
    /// Whether a member knows when its session has ended. By the consumer protocol, and while it joins cooperatively, it
    /// does not, as Java's does not: until it hears from its coordinator it reads on what another one may have been
    /// given. Its commits are refused then.
    pub knows_its_session: bool,
    /// Whether two members have one name, so that they fence each other (F55).
    pub fenced_members: bool,
    /// Whether the world waits for the end of a cooperative rebalance: before, shares may differ by more than one.
    pub even_shares: bool,
    /// Whether consumers read committed records only.
    pub read_committed: bool,
    /// Whether members copy what they read, each record once.
    pub copies_once: bool,
    /// Whether several producers share a transactional id, so that they fence each other.
    pub rivals: bool,
    /// Whether what arrives is what was sent. Where bits flip on the way, an answer may say anything (another leader
    /// epoch, another version range), and only records have a checksum: then it is judged that every call ends, and
    /// that nothing spins or grows.
    pub bytes_arrive_whole: bool,
    /// Whether records arrive as they were stored. Where bits of them flip, a member of a share group gives them back unread.
    pub records_arrive_whole: bool,
    /// Whether every delivery of a share group is noted: not where a broker hands records out and hangs up at once, or does
    /// much at one moment.
    pub counts_every_delivery: bool,
    /// Whether brokers refuse batches as too large, which are split then.
    pub splits: bool,
    /// The most bytes that an accumulator may hold.
    pub buffer_memory: u64,
    /// The most bytes that a consumer may hold of what it fetched.
    pub fetched_memory: u64,
    /// The most produce requests that may be unanswered on a connection.
    pub in_flight: usize,
    /// Whether nothing goes wrong at all: then no transaction may fail, nor its producer.
    pub faultless: bool,
    /// From when on nothing stands in the way any more: what is not due before that is stored.
    pub healed: Duration,
    /// In what time a record is stored where nothing stands in its way.
    pub ample: Duration,
    /// How long after the last fault the world may take to come to rest.
    pub calm: Duration,
    /// The most requests and the most wake-ups in a simulated second.
    pub spin: (u64, u64),
}
