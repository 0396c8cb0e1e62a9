//! The one error of the whole client.

mod kind;
mod operation;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milena_types::{ApiKey, ErrorCode, NodeId, Topic, TopicPartition};

pub use kind::{ErrorKind, Fate};
pub use operation::Operation;

use crate::disposition::{self, Reaction};
use crate::request::Failure;

/// Why a call failed, what became of the record, and what may be done now.
///
/// One word wide; a clone shares the content, since one batch's failure reaches many records. Match on
/// [`kind`](Self::kind), or ask [`is_retriable`](Self::is_retriable), [`is_abortable`](Self::is_abortable),
/// [`is_fatal`](Self::is_fatal) and [`fate`](Self::fate). The message is one level: causes are in `source()`.
#[derive(Clone)]
pub struct Error(Arc<Content>);

#[derive(Clone)]
struct Content {
    kind: ErrorKind,
    code: Option<ErrorCode>,
    class: Class,
    fate: Fate,
    operation: Option<Operation>,
    topic: Option<Topic>,
    partition: Option<i32>,
    group: Option<Arc<str>>,
    broker: Option<NodeId>,
    address: Option<Arc<str>>,
    attempt: Option<u32>,
    /// Replaces the kind's own words.
    detail: Option<Arc<str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What the caller may do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Plain,
    Retriable,
    Abortable,
    Fatal,
}

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The broker's error code, where a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// Whether the same call may succeed later, with nothing changed.
    ///
    /// A record whose [`fate`](Self::fate) is unknown may be stored twice by sending it again.
    pub fn is_retriable(&self) -> bool {
        self.0.class == Class::Retriable
    }

    /// Whether the transaction must be aborted, after which the producer can go on.
    pub fn is_abortable(&self) -> bool {
        self.0.class == Class::Abortable
    }

    /// Whether the producer, consumer or client that failed is of no more use.
    pub fn is_fatal(&self) -> bool {
        self.0.class == Class::Fatal
    }

    /// What became of the record, or of the change that was asked for.
    pub fn fate(&self) -> Fate {
        self.0.fate
    }

    /// What was being done.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The topic that it concerns.
    pub fn topic(&self) -> Option<&Topic> {
        self.0.topic.as_ref()
    }

    /// The partition that it concerns, where it is one.
    pub fn topic_partition(&self) -> Option<TopicPartition> {
        Some(TopicPartition::new(self.0.topic.as_ref()?, self.0.partition?))
    }

    /// The group or transactional id that it concerns.
    pub fn group(&self) -> Option<&str> {
        self.0.group.as_deref()
    }

    /// The broker that was asked.
    pub fn broker(&self) -> Option<NodeId> {
        self.0.broker
    }

    /// The `host:port` that was asked.
    pub fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// How many times it was tried.
    pub fn attempt(&self) -> Option<u32> {
        self.0.attempt
    }
}

/// How the machines and the driver make errors; the caller of the client only reads them.
impl Error {
    /// An error of `kind`, retriable and doubtful as its kind says, without context.
    pub fn new(kind: ErrorKind) -> Self {
        let (class, fate) = match kind {
            ErrorKind::Timeout | ErrorKind::Connection => (Class::Retriable, Fate::Unknown),
            ErrorKind::BufferFull => (Class::Retriable, Fate::NotStored),
            ErrorKind::Rebalanced => (Class::Plain, Fate::NotStored),
            ErrorKind::Protocol => (Class::Plain, Fate::Unknown),
            ErrorKind::Authentication | ErrorKind::Fenced | ErrorKind::Closed => {
                (Class::Fatal, Fate::NotStored)
            }
            ErrorKind::TransactionAborted => (Class::Abortable, Fate::NotStored),
            ErrorKind::Config
            | ErrorKind::Misuse
            | ErrorKind::RecordTooLarge
            | ErrorKind::InvalidRecord
            | ErrorKind::Serialization
            | ErrorKind::UnknownTopic
            | ErrorKind::NoOffset
            | ErrorKind::OffsetOutOfRange
            | ErrorKind::LogTruncated
            | ErrorKind::Authorization
            | ErrorKind::UnsupportedVersion
            | ErrorKind::Broker => (Class::Plain, Fate::NotStored),
        };
        Self(Arc::new(Content {
            kind,
            code: None,
            class,
            fate,
            operation: None,
            topic: None,
            partition: None,
            group: None,
            broker: None,
            address: None,
            attempt: None,
            detail: None,
            source: None,
        }))
    }

    /// A broker's answer `code` to a request of `api`; what may be done next is [`disposition`]'s word.
    pub fn from_code(api: ApiKey, code: ErrorCode) -> Self {
        let class = match disposition::reaction(api, code) {
            // It ends what it was given for, as a batch. Whoever ends with it says so by `fatal`.
            Reaction::Fatal if code.name().is_none() => Class::Plain,
            Reaction::Retry
            | Reaction::RefreshMetadata
            | Reaction::FindCoordinator
            | Reaction::ResetSession
            | Reaction::ValidateOffset
            | Reaction::Rebootstrap => Class::Retriable,
            Reaction::Abort => Class::Abortable,
            Reaction::Fatal => Class::Fatal,
            Reaction::Accept
            | Reaction::SplitBatch
            | Reaction::RepairSequence
            | Reaction::ResetOffset
            | Reaction::AdoptMemberId
            | Reaction::Rejoin
            | Reaction::ResetGeneration
            | Reaction::ResetMember
            | Reaction::Fail => Class::Plain,
        };
        Self::new(ErrorKind::of(code)).edit(|content| {
            content.code = Some(code);
            content.class = class;
            content.fate = disposition::fate(code);
        })
    }

    /// A request that has no response.
    pub fn from_failure(failure: &Failure) -> Self {
        let (kind, detail) = match failure {
            Failure::NotSent => {
                (ErrorKind::Connection, "connection lost before the request was sent".into())
            }
            Failure::Unreachable(why) => (ErrorKind::Connection, Arc::clone(why)),
            Failure::ConnectionLost => {
                (ErrorKind::Connection, "connection lost before the answer".into())
            }
            Failure::TimedOut => {
                (ErrorKind::Timeout, "no answer in time (request.timeout.ms)".into())
            }
            Failure::UnsupportedVersion => {
                (ErrorKind::UnsupportedVersion, "no version in common".into())
            }
            Failure::AuthenticationFailed(why) => (ErrorKind::Authentication, Arc::clone(why)),
            Failure::MalformedResponse(why) => (ErrorKind::Protocol, Arc::clone(why)),
            Failure::Closed => (ErrorKind::Closed, "the client was closed".into()),
            Failure::Unencodable(why) => (ErrorKind::Misuse, Arc::clone(why)),
        };
        let fate = if failure.may_be_applied() { Fate::Unknown } else { Fate::NotStored };
        Self::new(kind).with_detail(detail).with_fate(fate)
    }

    /// A setting `key` of which `problem` says what is wrong, as "must be at least 1".
    pub fn config(key: &str, problem: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Config).with_detail(format!("{key}: {problem}"))
    }

    /// A setting that does not exist; `nearest` is the existing one that looks most like it.
    pub fn unknown_config(key: &str, nearest: Option<&str>) -> Self {
        match nearest {
            Some(nearest) => {
                Self::config(key, format_args!("unknown key; did you mean {nearest}?"))
            }
            None => Self::config(key, "unknown key"),
        }
    }

    /// A call that the caller's program must not make, with the rule that it breaks.
    pub fn misuse(rule: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorKind::Misuse).with_detail(rule)
    }

    /// A call on something closed.
    pub fn closed() -> Self {
        Self::new(ErrorKind::Closed)
    }

    /// A call that waited `limit`, which the setting `key` gives, in vain.
    pub fn timeout(limit: Duration, key: &str) -> Self {
        Self::new(ErrorKind::Timeout).with_detail(format!("not done within {limit:?} ({key})"))
    }

    /// A record that found no room within `limit`.
    pub fn buffer_full(limit: Duration) -> Self {
        Self::new(ErrorKind::BufferFull)
            .with_detail(format!("no room in the send buffer for {limit:?}"))
    }

    /// A record of `bytes` where the setting `key` allows `bytes_max`.
    pub fn record_too_large(bytes: usize, bytes_max: usize, key: &str) -> Self {
        Self::new(ErrorKind::RecordTooLarge)
            .with_detail(format!("record takes {bytes} bytes where {key} allows {bytes_max}"))
    }

    /// Says what was being done.
    #[must_use]
    pub fn during(self, operation: Operation) -> Self {
        self.edit(|content| content.operation = Some(operation))
    }

    /// Says which topic it concerns.
    #[must_use]
    pub fn with_topic(self, topic: impl Into<Topic>) -> Self {
        self.edit(|content| content.topic = Some(topic.into()))
    }

    /// Says which partition it concerns.
    #[must_use]
    pub fn with_partition(self, partition: &TopicPartition) -> Self {
        self.edit(|content| {
            content.topic = Some(partition.topic.clone());
            content.partition = Some(partition.partition);
        })
    }

    /// Says which group or transactional id it concerns.
    #[must_use]
    pub fn with_group(self, group: impl Into<Arc<str>>) -> Self {
        self.edit(|content| content.group = Some(group.into()))
    }

    /// Says which broker was asked.
    #[must_use]
    pub fn with_broker(self, broker: impl Into<Option<NodeId>>) -> Self {
        self.edit(|content| content.broker = broker.into())
    }

    /// Says which `host:port` was asked.
    #[must_use]
    pub fn with_address(self, address: impl Into<Arc<str>>) -> Self {
        self.edit(|content| content.address = Some(address.into()))
    }

    /// Says how many times it was tried.
    #[must_use]
    pub fn with_attempt(self, attempt: u32) -> Self {
        self.edit(|content| content.attempt = Some(attempt))
    }

    /// Says what happened in more exact words than the kind's: lower case, no full stop.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<Arc<str>>) -> Self {
        self.edit(|content| content.detail = Some(detail.into()))
    }

    pub(crate) fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Says it in the broker's words, if there are any: up to 512 characters of them.
    #[must_use]
    pub fn with_broker_message(self, message: Option<&str>) -> Self {
        match message {
            None | Some("") => self,
            Some(message) => {
                self.with_detail(message.chars().take(BROKER_MESSAGE_CHARS_MAX).collect::<String>())
            }
        }
    }

    /// Says what became of the record; the default is the kind's or the code's.
    #[must_use]
    pub fn with_fate(self, fate: Fate) -> Self {
        self.edit(|content| content.fate = fate)
    }

    /// Says that the same call may succeed later.
    #[must_use]
    pub fn retriable(self) -> Self {
        self.edit(|content| content.class = Class::Retriable)
    }

    /// Says that the transaction must be aborted, and that the producer can go on.
    #[must_use]
    pub fn abortable(self) -> Self {
        self.edit(|content| content.class = Class::Abortable)
    }

    /// Says that the producer, consumer or client is of no more use.
    #[must_use]
    pub fn fatal(self) -> Self {
        self.edit(|content| content.class = Class::Fatal)
    }

    /// Says that neither a retry nor an abort is the answer.
    #[must_use]
    pub fn plain(self) -> Self {
        self.edit(|content| content.class = Class::Plain)
    }

    /// Gives the cause.
    #[must_use]
    pub fn because(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.edit(|content| content.source = Some(Arc::new(source)))
    }

    fn edit(mut self, change: impl FnOnce(&mut Content)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Content {
    /// What was being done, on what and where, as "produce to orders-3 on broker 2, attempt 4".
    fn write_context(&self, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
        let Some(operation) = self.operation else { return Ok(false) };
        write!(f, "{operation}")?;
        let preposition = operation.phrase().1;
        match (&self.topic, self.partition, &self.group) {
            (Some(topic), Some(partition), _) => write!(f, "{preposition} {topic}-{partition}")?,
            (Some(topic), None, _) => write!(f, "{preposition} {topic}")?,
            (None, _, Some(id)) if operation.is_of_transaction() => write!(f, " of {id}")?,
            (None, _, Some(group)) => write!(f, "{preposition} group {group}")?,
            (None, _, None) => {}
        }
        let place = if operation == Operation::Connect { "to" } else { "on" };
        match (self.broker, &self.address) {
            (Some(broker), Some(address)) => write!(f, " {place} broker {broker} at {address}")?,
            (Some(broker), None) => write!(f, " {place} broker {broker}")?,
            (None, Some(address)) => write!(f, " {place} {address}")?,
            (None, None) => {}
        }
        if let Some(attempt) = self.attempt {
            write!(f, ", attempt {attempt}")?;
        }
        Ok(true)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = &*self.0;
        if content.write_context(f)? {
            f.write_str(": ")?;
        }
        match (&content.detail, content.code) {
            (Some(detail), Some(code)) => write!(f, "{code}, {detail}")?,
            (Some(detail), None) => f.write_str(detail)?,
            (None, Some(code)) => write!(f, "{code}")?,
            (None, None) => write!(f, "{}", content.kind)?,
        }
        match content.kind.hint() {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("fate", &self.0.fate)
            .field("class", &self.0.class)
            .field("message", &format_args!("{self}"))
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Brokers' messages are a line or two; a longer one is not for a log.
const BROKER_MESSAGE_CHARS_MAX: usize = 512;

#[cfg(test)]
mod tests;
