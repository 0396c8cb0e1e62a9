//! What kinds of errors there are, and what they say about a record.

use std::fmt;

use milena_types::ErrorCode;

/// What went wrong, coarse enough to match on. [`Error::code`](super::Error::code) has the broker's own word.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is unknown, malformed, or contradicts another.
    Config,
    /// The call is not allowed in this state or with these arguments; the caller's program must change.
    Misuse,
    /// The producer, consumer or client is closed.
    Closed,
    /// The time given for the call is over.
    Timeout,
    /// No room in the send buffer; the record was not taken.
    BufferFull,
    /// The record, or a batch of it alone, is larger than a setting of ours or the broker allows.
    RecordTooLarge,
    /// The broker refused this record or its batch: malformed, bad timestamp, no key in a compacted topic.
    InvalidRecord,
    /// A serializer, deserializer, partitioner or interceptor of the caller failed.
    Serialization,
    /// The topic or partition does not exist, as far as the cluster says.
    UnknownTopic,
    /// There is no committed offset, and `auto.offset.reset` is `none`.
    NoOffset,
    /// The position is outside the partition's log, and `auto.offset.reset` is `none`.
    OffsetOutOfRange,
    /// The log was cut below what was read or acknowledged: the cluster lost data (KIP-320).
    LogTruncated,
    /// The group has moved on: what was asked belongs to an older generation, or the partition to another member.
    Rebalanced,
    /// The transaction was aborted, or must be, before this could be done.
    TransactionAborted,
    /// Another instance with the same transactional id or group instance id took over.
    Fenced,
    /// The principal may not do this.
    Authorization,
    /// The credentials or the certificate were refused.
    Authentication,
    /// No connection, or it was lost.
    Connection,
    /// The broker and this client share no usable version of the API, or lack a feature.
    UnsupportedVersion,
    /// The peer's bytes make no sense: a defect of the broker, of this client or of something between.
    Protocol,
    /// Any other error code of a broker.
    Broker,
}

impl ErrorKind {
    /// The kind that says most about `code`.
    pub(super) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID => Self::UnknownTopic,
            ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => Self::RecordTooLarge,
            ErrorCode::CORRUPT_MESSAGE
            | ErrorCode::INVALID_RECORD
            | ErrorCode::INVALID_TIMESTAMP
            | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
            | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => Self::InvalidRecord,
            ErrorCode::OFFSET_OUT_OF_RANGE => Self::OffsetOutOfRange,
            ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::FENCED_MEMBER_EPOCH
            | ErrorCode::STALE_MEMBER_EPOCH => Self::Rebalanced,
            ErrorCode::TRANSACTION_ABORTABLE => Self::TransactionAborted,
            ErrorCode::PRODUCER_FENCED
            | ErrorCode::INVALID_PRODUCER_EPOCH
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::UNRELEASED_INSTANCE_ID
            | ErrorCode::TRANSACTION_COORDINATOR_FENCED => Self::Fenced,
            ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
            | ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            | ErrorCode::DELEGATION_TOKEN_AUTHORIZATION_FAILED => Self::Authorization,
            ErrorCode::SASL_AUTHENTICATION_FAILED
            | ErrorCode::UNSUPPORTED_SASL_MECHANISM
            | ErrorCode::ILLEGAL_SASL_STATE => Self::Authentication,
            ErrorCode::UNSUPPORTED_VERSION => Self::UnsupportedVersion,
            ErrorCode::REQUEST_TIMED_OUT => Self::Timeout,
            ErrorCode::NETWORK_EXCEPTION => Self::Connection,
            _ => Self::Broker,
        }
    }

    /// What the message says where nothing more exact is known.
    pub(super) const fn phrase(self) -> &'static str {
        match self {
            Self::Config => "invalid configuration",
            Self::Misuse => "not allowed",
            Self::Closed => "closed",
            Self::Timeout => "timed out",
            Self::BufferFull => "send buffer is full",
            Self::RecordTooLarge => "record is too large",
            Self::InvalidRecord => "record was refused",
            Self::Serialization => "serialization failed",
            Self::UnknownTopic => "unknown topic or partition",
            Self::NoOffset => "no committed offset",
            Self::OffsetOutOfRange => "offset is out of range",
            Self::LogTruncated => "log was truncated",
            Self::Rebalanced => "the group has rebalanced",
            Self::TransactionAborted => "the transaction is aborted",
            Self::Fenced => "fenced by a newer instance",
            Self::Authorization => "not authorized",
            Self::Authentication => "authentication failed",
            Self::Connection => "no connection",
            Self::UnsupportedVersion => "no version in common",
            Self::Protocol => "malformed message",
            Self::Broker => "refused by the broker",
        }
    }

    /// What the user can check, where there is something.
    pub(super) const fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownTopic => {
                "check its name, create it, or let the brokers do so (auto.create.topics.enable)"
            }
            Self::BufferFull => "raise buffer.memory or max.block.ms, or send less",
            Self::NoOffset | Self::OffsetOutOfRange => {
                "set auto.offset.reset to earliest or latest, or seek"
            }
            Self::Fenced => {
                "check that each instance has its own transactional.id or group.instance.id"
            }
            Self::Authorization => "check the ACLs of this principal",
            Self::Authentication => "check security.protocol, sasl.mechanism and the credentials",
            Self::Connection => {
                "check that a broker listens there, and that its advertised.listeners can be reached from here"
            }
            Self::UnsupportedVersion => "check the broker's version; 2.1 is the oldest supported",
            Self::Config
            | Self::Misuse
            | Self::Closed
            | Self::Timeout
            | Self::RecordTooLarge
            | Self::InvalidRecord
            | Self::Serialization
            | Self::LogTruncated
            | Self::Rebalanced
            | Self::TransactionAborted
            | Self::Protocol
            | Self::Broker => return None,
        })
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}

/// What became of a record, or of any change asked for, when the call failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every call ends in one of these three")]
pub enum Fate {
    /// It is in the log; what failed came after.
    Stored,
    /// It is not in the log and will not be; sending it again cannot duplicate it.
    NotStored,
    /// Nobody here can tell: a broker may have stored it, or may still do so.
    Unknown,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stored => "stored",
            Self::NotStored => "not stored",
            Self::Unknown => "unknown",
        })
    }
}
