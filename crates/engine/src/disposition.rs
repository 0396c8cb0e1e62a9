//! What an error code means to the API that answers it: the one place that decides.
//!
//! Two steps: Kafka's own class of the code (its Java exception tree), then what this API makes of it. A code that
//! this version does not know is fatal, never "probably retriable". Rows without a comment are the Java client's.

use milena_types::{ApiKey, ErrorCode};

use crate::error::Fate;

use ApiKey as A;
use ErrorCode as E;

/// What to do about an error code.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reaction {
    /// Go on as after a success: no error, or one that says that the work is done already.
    Accept,
    /// The same request again, after a back-off.
    Retry,
    /// The same again, after a back-off and fresh metadata: the leader or the topic id is not what we think.
    RefreshMetadata,
    /// The same again, after looking the coordinator up.
    FindCoordinator,
    /// Cut the batch in two and send both; a batch of one record fails.
    SplitBatch,
    /// Sequences of this partition broke: retry, bump the epoch or abort, as the batch's place in line says.
    RepairSequence,
    /// The position is outside the log: drop a preferred replica first, then apply `auto.offset.reset`.
    ResetOffset,
    /// Refresh metadata and hold the position against the leader's epochs before going on (KIP-320).
    ValidateOffset,
    /// Start a new fetch session with a full fetch.
    ResetSession,
    /// Join again with the member id that the answer brings (KIP-394).
    AdoptMemberId,
    /// Join again; member id and generation stay until the join is done.
    Rejoin,
    /// Join again without a generation; the member id stays.
    ResetGeneration,
    /// Join again as a new member: what was assigned is lost.
    ResetMember,
    /// Forget the known brokers and start from the bootstrap list (KIP-1102).
    Rebootstrap,
    /// Fail what the code was given for, a partition, record, group or call, and go on with the rest.
    Fail,
    /// Abort the transaction; the producer can go on. Without a transaction: as `Fail`.
    Abort,
    /// The producer, consumer or client that asked cannot go on.
    Fatal,
}

/// What `code`, in an answer to `api`, asks for.
pub fn reaction(api: ApiKey, code: ErrorCode) -> Reaction {
    let Some(class) = class(code) else { return Reaction::Fatal };
    if class == Class::None {
        return Reaction::Accept;
    }
    let row = match api {
        A::PRODUCE => produce(code),
        A::FETCH => fetch(code),
        A::LIST_OFFSETS => list_offsets(code),
        A::OFFSET_FOR_LEADER_EPOCH => offset_for_leader_epoch(code),
        A::METADATA => metadata(code),
        A::FIND_COORDINATOR => find_coordinator(code),
        A::JOIN_GROUP | A::SYNC_GROUP => join(code),
        A::HEARTBEAT => heartbeat(code),
        A::CONSUMER_GROUP_HEARTBEAT | A::SHARE_GROUP_HEARTBEAT => consumer_group_heartbeat(code),
        A::SHARE_FETCH => share_fetch(code),
        A::SHARE_ACKNOWLEDGE => share_acknowledge(code),
        A::LEAVE_GROUP => leave_group(code),
        A::OFFSET_COMMIT => offset_commit(code),
        A::OFFSET_FETCH => offset_fetch(code),
        A::INIT_PRODUCER_ID => init_producer_id(code),
        A::ADD_OFFSETS_TO_TXN | A::END_TXN => transaction(code),
        A::ADD_PARTITIONS_TO_TXN => add_partitions(code),
        A::TXN_OFFSET_COMMIT => txn_offset_commit(code),
        A::SASL_HANDSHAKE | A::SASL_AUTHENTICATE => Some(Reaction::Fatal),
        _ => None,
    };
    row.unwrap_or(match (class, code) {
        (_, E::REBOOTSTRAP_REQUIRED) => Reaction::Rebootstrap,
        // The metadata says who the controller is.
        (_, E::NOT_CONTROLLER) => Reaction::RefreshMetadata,
        (Class::None, _) => Reaction::Accept,
        (Class::Retriable, _) => Reaction::Retry,
        (Class::Metadata, _) => Reaction::RefreshMetadata,
        (Class::Coordinator, _) => Reaction::FindCoordinator,
        (Class::Refused | Class::Plain, _) => Reaction::Fail,
    })
}

/// What `code` says about a record of the batch it was given for.
///
/// Only what a broker checks before it appends is surely not stored: NOT_LEADER_OR_FOLLOWER, for one, also answers
/// an append whose leader lost its office while it waited for the followers.
pub fn fate(code: ErrorCode) -> Fate {
    match code {
        E::NONE | E::DUPLICATE_SEQUENCE_NUMBER => Fate::Stored,
        E::UNKNOWN_SERVER_ERROR
        | E::REQUEST_TIMED_OUT
        | E::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | E::NOT_LEADER_OR_FOLLOWER
        | E::LEADER_NOT_AVAILABLE
        | E::REPLICA_NOT_AVAILABLE
        | E::FENCED_LEADER_EPOCH
        | E::UNKNOWN_TOPIC_OR_PARTITION
        | E::UNKNOWN_TOPIC_ID
        | E::INCONSISTENT_TOPIC_ID
        | E::NETWORK_EXCEPTION
        | E::KAFKA_STORAGE_ERROR => Fate::Unknown,
        _ if class(code).is_none() => Fate::Unknown,
        _ => Fate::NotStored,
    }
}

/// Kafka's own class of a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    None,
    Retriable,
    /// Retriable once the metadata is fresh.
    Metadata,
    /// Retriable once the coordinator is found.
    Coordinator,
    /// Authorization, authentication or configuration: retrying does not help.
    Refused,
    Plain,
}

/// The whole table of Kafka 4.4; `None` for a code that it does not have.
#[rustfmt::skip]
fn class(code: ErrorCode) -> Option<Class> {
    Some(match code {
        E::NONE => Class::None,
        E::CORRUPT_MESSAGE | E::REQUEST_TIMED_OUT | E::COORDINATOR_LOAD_IN_PROGRESS | E::NOT_ENOUGH_REPLICAS | E::NOT_ENOUGH_REPLICAS_AFTER_APPEND | E::NOT_CONTROLLER | E::CONCURRENT_TRANSACTIONS | E::FETCH_SESSION_ID_NOT_FOUND | E::INVALID_FETCH_SESSION_EPOCH | E::UNKNOWN_LEADER_EPOCH | E::OFFSET_NOT_AVAILABLE | E::UNSTABLE_OFFSET_COMMIT | E::THROTTLING_QUOTA_EXCEEDED | E::FETCH_SESSION_TOPIC_ID_ERROR | E::SHARE_SESSION_NOT_FOUND | E::INVALID_SHARE_SESSION_EPOCH | E::SHARE_SESSION_LIMIT_REACHED => Class::Retriable,
        E::UNKNOWN_TOPIC_OR_PARTITION | E::LEADER_NOT_AVAILABLE | E::NOT_LEADER_OR_FOLLOWER | E::REPLICA_NOT_AVAILABLE | E::NETWORK_EXCEPTION | E::KAFKA_STORAGE_ERROR | E::LISTENER_NOT_FOUND | E::FENCED_LEADER_EPOCH | E::PREFERRED_LEADER_NOT_AVAILABLE | E::ELIGIBLE_LEADERS_NOT_AVAILABLE | E::ELECTION_NOT_NEEDED | E::UNKNOWN_TOPIC_ID | E::INCONSISTENT_TOPIC_ID => Class::Metadata,
        E::COORDINATOR_NOT_AVAILABLE | E::NOT_COORDINATOR => Class::Coordinator,
        E::INVALID_TOPIC_EXCEPTION | E::RECORD_LIST_TOO_LARGE | E::INVALID_REQUIRED_ACKS | E::TOPIC_AUTHORIZATION_FAILED | E::GROUP_AUTHORIZATION_FAILED | E::CLUSTER_AUTHORIZATION_FAILED | E::UNSUPPORTED_SASL_MECHANISM | E::ILLEGAL_SASL_STATE | E::UNSUPPORTED_VERSION | E::INVALID_REPLICATION_FACTOR | E::INVALID_CONFIG | E::UNSUPPORTED_FOR_MESSAGE_FORMAT | E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED | E::SASL_AUTHENTICATION_FAILED | E::DELEGATION_TOKEN_AUTHORIZATION_FAILED | E::INVALID_RECORD => Class::Refused,
        E::UNKNOWN_SERVER_ERROR | E::OFFSET_OUT_OF_RANGE | E::INVALID_FETCH_SIZE | E::BROKER_NOT_AVAILABLE | E::MESSAGE_TOO_LARGE | E::STALE_CONTROLLER_EPOCH | E::OFFSET_METADATA_TOO_LARGE | E::ILLEGAL_GENERATION | E::INCONSISTENT_GROUP_PROTOCOL | E::INVALID_GROUP_ID | E::UNKNOWN_MEMBER_ID | E::INVALID_SESSION_TIMEOUT | E::REBALANCE_IN_PROGRESS | E::INVALID_COMMIT_OFFSET_SIZE | E::INVALID_TIMESTAMP | E::TOPIC_ALREADY_EXISTS | E::INVALID_PARTITIONS | E::INVALID_REPLICA_ASSIGNMENT | E::INVALID_REQUEST | E::POLICY_VIOLATION | E::OUT_OF_ORDER_SEQUENCE_NUMBER | E::DUPLICATE_SEQUENCE_NUMBER | E::INVALID_PRODUCER_EPOCH | E::INVALID_TXN_STATE | E::INVALID_PRODUCER_ID_MAPPING | E::INVALID_TRANSACTION_TIMEOUT | E::TRANSACTION_COORDINATOR_FENCED | E::SECURITY_DISABLED | E::OPERATION_NOT_ATTEMPTED | E::LOG_DIR_NOT_FOUND | E::UNKNOWN_PRODUCER_ID | E::REASSIGNMENT_IN_PROGRESS | E::DELEGATION_TOKEN_AUTH_DISABLED | E::DELEGATION_TOKEN_NOT_FOUND | E::DELEGATION_TOKEN_OWNER_MISMATCH | E::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED | E::DELEGATION_TOKEN_EXPIRED | E::INVALID_PRINCIPAL_TYPE | E::NON_EMPTY_GROUP | E::GROUP_ID_NOT_FOUND | E::TOPIC_DELETION_DISABLED | E::UNSUPPORTED_COMPRESSION_TYPE | E::STALE_BROKER_EPOCH | E::MEMBER_ID_REQUIRED | E::GROUP_MAX_SIZE_REACHED | E::FENCED_INSTANCE_ID | E::NO_REASSIGNMENT_IN_PROGRESS | E::GROUP_SUBSCRIBED_TO_TOPIC | E::PRODUCER_FENCED | E::RESOURCE_NOT_FOUND | E::DUPLICATE_RESOURCE | E::UNACCEPTABLE_CREDENTIAL | E::INCONSISTENT_VOTER_SET | E::INVALID_UPDATE_VERSION | E::FEATURE_UPDATE_FAILED | E::PRINCIPAL_DESERIALIZATION_FAILURE | E::SNAPSHOT_NOT_FOUND | E::POSITION_OUT_OF_RANGE | E::DUPLICATE_BROKER_REGISTRATION | E::BROKER_ID_NOT_REGISTERED | E::INCONSISTENT_CLUSTER_ID | E::TRANSACTIONAL_ID_NOT_FOUND | E::INELIGIBLE_REPLICA | E::NEW_LEADER_ELECTED | E::OFFSET_MOVED_TO_TIERED_STORAGE | E::FENCED_MEMBER_EPOCH | E::UNRELEASED_INSTANCE_ID | E::UNSUPPORTED_ASSIGNOR | E::STALE_MEMBER_EPOCH | E::MISMATCHED_ENDPOINT_TYPE | E::UNSUPPORTED_ENDPOINT_TYPE | E::UNKNOWN_CONTROLLER_ID | E::UNKNOWN_SUBSCRIPTION_ID | E::TELEMETRY_TOO_LARGE | E::INVALID_REGISTRATION | E::TRANSACTION_ABORTABLE | E::INVALID_RECORD_STATE | E::FENCED_STATE_EPOCH | E::INVALID_VOTER_KEY | E::DUPLICATE_VOTER | E::VOTER_NOT_FOUND | E::INVALID_REGULAR_EXPRESSION | E::REBOOTSTRAP_REQUIRED | E::STREAMS_INVALID_TOPOLOGY | E::STREAMS_INVALID_TOPOLOGY_EPOCH | E::STREAMS_TOPOLOGY_FENCED | E::GROUP_DELETION_FAILED | E::STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED | E::CONTROLLER_ID_NOT_REGISTERED => Class::Plain,
        _ => return None,
    })
}

fn produce(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::DUPLICATE_SEQUENCE_NUMBER => Reaction::Accept,
        E::MESSAGE_TOO_LARGE => Reaction::SplitBatch,
        E::OUT_OF_ORDER_SEQUENCE_NUMBER | E::UNKNOWN_PRODUCER_ID => Reaction::RepairSequence,
        // The coordinator may have aborted by timeout; the next InitProducerId tells whether we are fenced (KIP-588).
        E::INVALID_PRODUCER_EPOCH | E::INVALID_TXN_STATE | E::TRANSACTION_ABORTABLE => {
            Reaction::Abort
        }
        // The coordinator takes no EndTxn after it either.
        E::INVALID_PRODUCER_ID_MAPPING
        | E::PRODUCER_FENCED
        | E::CLUSTER_AUTHORIZATION_FAILED
        | E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | E::UNSUPPORTED_VERSION => Reaction::Fatal,
        _ => return None,
    })
}

fn fetch(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::OFFSET_OUT_OF_RANGE => Reaction::ResetOffset,
        E::FENCED_LEADER_EPOCH | E::UNKNOWN_LEADER_EPOCH => Reaction::ValidateOffset,
        E::FETCH_SESSION_ID_NOT_FOUND
        | E::INVALID_FETCH_SESSION_EPOCH
        | E::FETCH_SESSION_TOPIC_ID_ERROR => Reaction::ResetSession,
        E::OFFSET_NOT_AVAILABLE => Reaction::RefreshMetadata,
        E::UNKNOWN_SERVER_ERROR => Reaction::Retry,
        // Java reads the damaged batch again for ever; the caller must hear of it.
        E::CORRUPT_MESSAGE => Reaction::Fail,
        _ => return None,
    })
}

fn list_offsets(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::UNKNOWN_LEADER_EPOCH | E::OFFSET_NOT_AVAILABLE => Reaction::RefreshMetadata,
        E::UNKNOWN_SERVER_ERROR => Reaction::Retry,
        _ => return None,
    })
}

/// A position that cannot be validated is asked for again: resetting it would skip or repeat records.
fn offset_for_leader_epoch(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::UNKNOWN_LEADER_EPOCH => Reaction::RefreshMetadata,
        _ if class(code) == Some(Class::Plain) => Reaction::Retry,
        _ => return None,
    })
}

fn metadata(code: ErrorCode) -> Option<Reaction> {
    (code == E::UNKNOWN_SERVER_ERROR).then_some(Reaction::Retry)
}

fn find_coordinator(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::COORDINATOR_NOT_AVAILABLE | E::NOT_COORDINATOR => Reaction::Retry,
        E::GROUP_AUTHORIZATION_FAILED | E::TRANSACTION_ABORTABLE => Reaction::Abort,
        E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED | E::INVALID_GROUP_ID => Reaction::Fatal,
        _ => return None,
    })
}

fn member(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::MEMBER_ID_REQUIRED => Reaction::AdoptMemberId,
        E::REBALANCE_IN_PROGRESS => Reaction::Rejoin,
        E::ILLEGAL_GENERATION => Reaction::ResetGeneration,
        E::UNKNOWN_MEMBER_ID | E::FENCED_MEMBER_EPOCH => Reaction::ResetMember,
        // A new heartbeat brings the right epoch.
        E::STALE_MEMBER_EPOCH => Reaction::Retry,
        // A coordinator that is slow to answer may have moved.
        E::REQUEST_TIMED_OUT => Reaction::FindCoordinator,
        _ if matches!(class(code), Some(Class::Plain | Class::Refused)) => Reaction::Fatal,
        _ => return None,
    })
}

fn join(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        // The broker's own trouble, which passes or not; Java's poll throws, and the next one joins again.
        E::UNKNOWN_SERVER_ERROR => Reaction::Retry,
        _ => return member(code),
    })
}

fn heartbeat(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        // As a heartbeat that was lost: the session decides, here and there.
        E::UNKNOWN_SERVER_ERROR => Reaction::FindCoordinator,
        _ => return member(code),
    })
}

fn consumer_group_heartbeat(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        // The last member's session ended, and the group with it: joining makes it anew. Java fails.
        E::GROUP_ID_NOT_FOUND => Reaction::ResetMember,
        // A right that is missing may be given; the member keeps its place and its partitions.
        E::TOPIC_AUTHORIZATION_FAILED => Reaction::Fail,
        _ => return member(code),
    })
}

fn share_fetch(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::SHARE_SESSION_NOT_FOUND
        | E::INVALID_SHARE_SESSION_EPOCH
        | E::SHARE_SESSION_LIMIT_REACHED => Reaction::ResetSession,
        E::UNKNOWN_SERVER_ERROR => Reaction::Retry,
        // The state of the partition is being loaded, or its coordinator has moved: the leader finds it.
        E::COORDINATOR_LOAD_IN_PROGRESS | E::COORDINATOR_NOT_AVAILABLE | E::NOT_COORDINATOR => {
            Reaction::Retry
        }
        // Reading on does not heal it.
        E::CORRUPT_MESSAGE => Reaction::Fail,
        E::GROUP_AUTHORIZATION_FAILED | E::UNSUPPORTED_VERSION | E::INVALID_GROUP_ID => {
            Reaction::Fatal
        }
        _ => return None,
    })
}

fn share_acknowledge(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        // The locks went with the leader, or with the topic.
        _ if class(code) == Some(Class::Metadata) && code != E::KAFKA_STORAGE_ERROR => {
            Reaction::Fail
        }
        E::KAFKA_STORAGE_ERROR => Reaction::Retry,
        _ => return share_fetch(code),
    })
}

fn leave_group(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::UNKNOWN_MEMBER_ID | E::GROUP_ID_NOT_FOUND => Reaction::Accept,
        _ => return None,
    })
}

fn offset_commit(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::REBALANCE_IN_PROGRESS => Reaction::Rejoin,
        E::ILLEGAL_GENERATION => Reaction::ResetGeneration,
        E::UNKNOWN_MEMBER_ID | E::FENCED_MEMBER_EPOCH => Reaction::ResetMember,
        E::STALE_MEMBER_EPOCH | E::UNKNOWN_TOPIC_OR_PARTITION => Reaction::Retry,
        E::REQUEST_TIMED_OUT => Reaction::FindCoordinator,
        E::FENCED_INSTANCE_ID => Reaction::Fatal,
        _ => return None,
    })
}

fn offset_fetch(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::UNKNOWN_MEMBER_ID | E::FENCED_MEMBER_EPOCH => Reaction::ResetMember,
        E::STALE_MEMBER_EPOCH => Reaction::Retry,
        E::REQUEST_TIMED_OUT => Reaction::FindCoordinator,
        _ => return None,
    })
}

/// What has no row of its own ends the producer: a coordinator's unclear answer must never pass for a commit.
fn transaction(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::TRANSACTION_ABORTABLE | E::GROUP_AUTHORIZATION_FAILED => Reaction::Abort,
        E::REQUEST_TIMED_OUT => Reaction::FindCoordinator,
        _ if matches!(class(code), Some(Class::Plain | Class::Refused)) => Reaction::Fatal,
        _ => return None,
    })
}

fn init_producer_id(code: ErrorCode) -> Option<Reaction> {
    match code {
        // A right may be given (KAFKA-13668).
        E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED | E::CLUSTER_AUTHORIZATION_FAILED => {
            Some(Reaction::Abort)
        }
        _ => transaction(code),
    }
}

fn add_partitions(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::UNKNOWN_TOPIC_OR_PARTITION => Reaction::Retry,
        // A sibling partition failed; its own code says why.
        E::TOPIC_AUTHORIZATION_FAILED | E::OPERATION_NOT_ATTEMPTED | E::UNKNOWN_PRODUCER_ID => {
            Reaction::Abort
        }
        _ => return transaction(code),
    })
}

fn txn_offset_commit(code: ErrorCode) -> Option<Reaction> {
    Some(match code {
        E::UNKNOWN_TOPIC_OR_PARTITION => Reaction::Retry,
        E::TOPIC_AUTHORIZATION_FAILED
        | E::UNKNOWN_MEMBER_ID
        | E::ILLEGAL_GENERATION
        | E::STALE_MEMBER_EPOCH
        | E::FENCED_MEMBER_EPOCH
        | E::FENCED_INSTANCE_ID => Reaction::Abort,
        _ => return transaction(code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code that fell through would be fatal without anyone having decided so.
    #[test]
    fn every_known_code_has_a_class_and_every_unknown_one_is_fatal() {
        for raw in -1..=136 {
            assert!(class(E::from_wire(raw)).is_some(), "{raw}");
        }
        for raw in [-2, 137, i16::MIN, i16::MAX] {
            for &api in A::ALL {
                assert_eq!(reaction(api, E::from_wire(raw)), Reaction::Fatal);
            }
            assert_eq!(fate(E::from_wire(raw)), Fate::Unknown);
        }
    }

    #[test]
    fn no_error_is_accepted_by_every_api() {
        for &api in A::ALL {
            assert_eq!(reaction(api, E::NONE), Reaction::Accept);
        }
    }

    /// Java's exception tree has 32 retriable codes.
    #[test]
    fn as_many_codes_are_retriable_as_in_java() {
        let retriable = E::ALL.iter().filter(|&&code| {
            matches!(class(code), Some(Class::Retriable | Class::Metadata | Class::Coordinator))
        });
        assert_eq!(retriable.count(), 32);
    }

    /// Only what may be retried safely by anyone may be retried without a row that says so.
    #[test]
    fn no_api_retries_what_authorization_or_configuration_forbids() {
        for &api in A::ALL {
            for &code in E::ALL {
                if class(code) == Some(Class::Refused) {
                    let reaction = reaction(api, code);
                    assert!(
                        matches!(reaction, Reaction::Fail | Reaction::Abort | Reaction::Fatal),
                        "{api} {code} {reaction:?}"
                    );
                }
            }
        }
    }

    /// Trap 20.
    #[test]
    fn transactions_react_as_javas_table_says() {
        for api in [A::INIT_PRODUCER_ID, A::ADD_PARTITIONS_TO_TXN, A::END_TXN, A::TXN_OFFSET_COMMIT]
        {
            assert_eq!(reaction(api, E::NOT_COORDINATOR), Reaction::FindCoordinator);
            assert_eq!(reaction(api, E::COORDINATOR_NOT_AVAILABLE), Reaction::FindCoordinator);
            assert_eq!(reaction(api, E::COORDINATOR_LOAD_IN_PROGRESS), Reaction::Retry);
            assert_eq!(reaction(api, E::CONCURRENT_TRANSACTIONS), Reaction::Retry);
            assert_eq!(reaction(api, E::PRODUCER_FENCED), Reaction::Fatal);
            assert_eq!(reaction(api, E::INVALID_PRODUCER_EPOCH), Reaction::Fatal);
            assert_eq!(reaction(api, E::TRANSACTION_ABORTABLE), Reaction::Abort);
        }
        assert_eq!(reaction(A::PRODUCE, E::INVALID_PRODUCER_EPOCH), Reaction::Abort);
        assert_eq!(reaction(A::PRODUCE, E::INVALID_TXN_STATE), Reaction::Abort);
        assert_eq!(reaction(A::END_TXN, E::INVALID_TXN_STATE), Reaction::Fatal);
        assert_eq!(reaction(A::END_TXN, E::UNKNOWN_SERVER_ERROR), Reaction::Fatal);
        assert_eq!(reaction(A::ADD_PARTITIONS_TO_TXN, E::OPERATION_NOT_ATTEMPTED), Reaction::Abort);
        assert_eq!(reaction(A::TXN_OFFSET_COMMIT, E::ILLEGAL_GENERATION), Reaction::Abort);
    }

    /// Trap 34.
    #[test]
    fn a_commit_tells_a_rebalance_from_a_lost_membership() {
        assert_eq!(reaction(A::OFFSET_COMMIT, E::REBALANCE_IN_PROGRESS), Reaction::Rejoin);
        assert_eq!(reaction(A::OFFSET_COMMIT, E::ILLEGAL_GENERATION), Reaction::ResetGeneration);
        assert_eq!(reaction(A::OFFSET_COMMIT, E::UNKNOWN_MEMBER_ID), Reaction::ResetMember);
        assert_eq!(reaction(A::OFFSET_COMMIT, E::FENCED_INSTANCE_ID), Reaction::Fatal);
    }

    #[test]
    fn a_duplicate_is_a_success_without_offset() {
        assert_eq!(reaction(A::PRODUCE, E::DUPLICATE_SEQUENCE_NUMBER), Reaction::Accept);
        assert_eq!(fate(E::DUPLICATE_SEQUENCE_NUMBER), Fate::Stored);
    }
}
