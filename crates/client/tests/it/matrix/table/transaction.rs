//! Transactions.

use milena::ErrorKind as K;
use milena_types::{ApiKey as A, ErrorCode as E};

use crate::matrix::outcome::Outcome::{Ends, Fails, Recovers};
use crate::matrix::row::{Row, UNHEARD_OF};
use crate::matrix::scene::Scene;
use crate::matrix::strike::{PASSING, Strike as S};

/// `build_transactional` fails, and may be called again; Java's `initTransactions` of one that failed has to be made anew.
pub(in crate::matrix) const FIND_COORDINATOR: Row = Row {
    api: A::FIND_COORDINATOR,
    scene: Scene::Transaction2,
    codes: &[
        (Recovers, &[E::COORDINATOR_LOAD_IN_PROGRESS, E::COORDINATOR_NOT_AVAILABLE]),
        (
            Fails(K::Authorization),
            &[E::GROUP_AUTHORIZATION_FAILED, E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
        ),
        (
            Fails(K::Broker),
            &[E::UNKNOWN_SERVER_ERROR, E::INVALID_GROUP_ID, E::INVALID_REQUEST, UNHEARD_OF],
        ),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

/// As FindCoordinator's.
pub(in crate::matrix) const INIT_PRODUCER_ID: Row = Row {
    api: A::INIT_PRODUCER_ID,
    scene: Scene::Transaction2,
    codes: &[
        (
            Recovers,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::CONCURRENT_TRANSACTIONS,
            ],
        ),
        (
            Fails(K::Authorization),
            &[E::CLUSTER_AUTHORIZATION_FAILED, E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
        ),
        (Fails(K::Broker), &[E::UNKNOWN_SERVER_ERROR, E::INVALID_TRANSACTION_TIMEOUT, UNHEARD_OF]),
        (Fails(K::Fenced), &[E::INVALID_PRODUCER_EPOCH, E::PRODUCER_FENCED]),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const PRODUCE: Row = Row {
    api: A::PRODUCE,
    scene: Scene::Transaction2,
    codes: &[
        (
            Recovers,
            &[
                E::CORRUPT_MESSAGE,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::LEADER_NOT_AVAILABLE,
                E::NOT_LEADER_OR_FOLLOWER,
                E::REQUEST_TIMED_OUT,
                E::NOT_ENOUGH_REPLICAS,
                E::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                E::DUPLICATE_SEQUENCE_NUMBER,
                E::CONCURRENT_TRANSACTIONS,
                E::KAFKA_STORAGE_ERROR,
                E::UNKNOWN_PRODUCER_ID,
                E::UNKNOWN_TOPIC_ID,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        // OUT_OF_ORDER_SEQUENCE_NUMBER: a sequence that broke fails the transaction, and the next one has a new epoch.
        (
            Fails(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_TOPIC_EXCEPTION,
                E::INVALID_REQUIRED_ACKS,
                E::OUT_OF_ORDER_SEQUENCE_NUMBER,
                E::INVALID_TXN_STATE,
                UNHEARD_OF,
            ],
        ),
        // INVALID_PRODUCER_EPOCH: the coordinator may have aborted by timeout; whether anybody has fenced us the next
        // InitProducerId tells (KIP-588).
        (Fails(K::Fenced), &[E::INVALID_PRODUCER_EPOCH]),
        (
            Fails(K::InvalidRecord),
            &[E::INVALID_TIMESTAMP, E::UNSUPPORTED_FOR_MESSAGE_FORMAT, E::INVALID_RECORD],
        ),
        // A batch of one record cannot be split.
        (Fails(K::RecordTooLarge), &[E::MESSAGE_TOO_LARGE, E::RECORD_LIST_TOO_LARGE]),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
        (
            Ends(K::Authorization),
            &[E::CLUSTER_AUTHORIZATION_FAILED, E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
        ),
        // The coordinator has forgotten the transactional id and takes no EndTxn after it.
        (Ends(K::Broker), &[E::INVALID_PRODUCER_ID_MAPPING]),
        (Ends(K::Fenced), &[E::PRODUCER_FENCED]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const ADD_PARTITIONS_TO_TXN: Row = Row {
    api: A::ADD_PARTITIONS_TO_TXN,
    scene: Scene::Transaction1,
    codes: &[
        // CONCURRENT_TRANSACTIONS: the markers of the transaction before are not written yet.
        (
            Recovers,
            &[
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::CONCURRENT_TRANSACTIONS,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        (Fails(K::Broker), &[E::OPERATION_NOT_ATTEMPTED, E::UNKNOWN_PRODUCER_ID]),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
        (Ends(K::Authorization), &[E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED]),
        // INVALID_PRODUCER_ID_MAPPING: the id has expired. Java aborts and asks for a new epoch of an id that is gone; here a
        // new producer has to be made.
        (
            Ends(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_TXN_STATE,
                E::INVALID_PRODUCER_ID_MAPPING,
                UNHEARD_OF,
            ],
        ),
        (Ends(K::Fenced), &[E::INVALID_PRODUCER_EPOCH, E::PRODUCER_FENCED]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const ADD_OFFSETS_TO_TXN: Row = Row {
    api: A::ADD_OFFSETS_TO_TXN,
    scene: Scene::Transaction1,
    codes: &[
        (
            Recovers,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::CONCURRENT_TRANSACTIONS,
            ],
        ),
        (Fails(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
        (Ends(K::Authorization), &[E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED]),
        // What is unclear must never pass for a commit. UNKNOWN_PRODUCER_ID and INVALID_PRODUCER_ID_MAPPING are abortable in
        // Java: the id has expired, and a new producer takes its place.
        (
            Ends(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_TXN_STATE,
                E::INVALID_PRODUCER_ID_MAPPING,
                E::UNKNOWN_PRODUCER_ID,
                UNHEARD_OF,
            ],
        ),
        (Ends(K::Fenced), &[E::INVALID_PRODUCER_EPOCH, E::PRODUCER_FENCED]),
    ],
    faults: &[
        (Recovers, PASSING),
        // The call ends by `max.block.ms`; by then the coordinator has aborted (`transaction.timeout.ms`, a minute as well),
        // and in the older protocol who was timed out is fenced. As in Java.
        (Ends(K::Timeout), &[S::LostForEver, S::Silence]),
    ],
};

pub(in crate::matrix) const TXN_OFFSET_COMMIT: Row = Row {
    api: A::TXN_OFFSET_COMMIT,
    scene: Scene::Transaction2,
    codes: &[
        (
            Recovers,
            &[
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::REQUEST_TIMED_OUT,
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::CONCURRENT_TRANSACTIONS,
            ],
        ),
        (Fails(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        // The consumer is fenced, not the producer: abortable, as in Java.
        (Fails(K::Fenced), &[E::FENCED_INSTANCE_ID]),
        (Fails(K::Rebalanced), &[E::ILLEGAL_GENERATION, E::UNKNOWN_MEMBER_ID]),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
        (Ends(K::Authorization), &[E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED]),
        // Java's `fatalError` too.
        (
            Ends(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::OFFSET_METADATA_TOO_LARGE,
                E::INVALID_COMMIT_OFFSET_SIZE,
                UNHEARD_OF,
            ],
        ),
        (Ends(K::Fenced), &[E::INVALID_PRODUCER_EPOCH, E::PRODUCER_FENCED]),
        // Java's `fatalError` too.
        (Ends(K::InvalidRecord), &[E::UNSUPPORTED_FOR_MESSAGE_FORMAT]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const END_TXN: Row = Row {
    api: A::END_TXN,
    scene: Scene::Transaction2,
    codes: &[
        (
            Recovers,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::CONCURRENT_TRANSACTIONS,
            ],
        ),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
        (Ends(K::Authorization), &[E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED]),
        // UNKNOWN_SERVER_ERROR may be a commit (R9): only a new producer can tell. UNKNOWN_PRODUCER_ID and
        // INVALID_PRODUCER_ID_MAPPING are abortable in Java; after the last word of a transaction there is nothing to abort.
        (
            Ends(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_TXN_STATE,
                E::INVALID_PRODUCER_ID_MAPPING,
                E::UNKNOWN_PRODUCER_ID,
                UNHEARD_OF,
            ],
        ),
        (Ends(K::Fenced), &[E::INVALID_PRODUCER_EPOCH, E::PRODUCER_FENCED]),
    ],
    faults: &[
        (
            Recovers,
            &[
                S::LostBefore,
                S::LostAfter,
                S::Late,
                S::LateApplied,
                S::Cut,
                S::Throttled,
                S::WrongCorrelation,
            ],
        ),
        // The fate is unknown, and the producer goes on asking; by then the coordinator has aborted by timeout. As in Java.
        (Ends(K::Timeout), &[S::LostForEver, S::Silence]),
        // A transaction that began under KIP-890 cannot end without it.
        (Ends(K::UnsupportedVersion), &[S::VersionWithdrawn]),
    ],
};
