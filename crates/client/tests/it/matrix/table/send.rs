//! Records that are sent.

use milena::ErrorKind as K;
use milena_types::{ApiKey as A, ErrorCode as E};

use crate::matrix::outcome::Outcome::{Ends, Fails, Recovers};
use crate::matrix::row::{Row, UNHEARD_OF};
use crate::matrix::scene::Scene;
use crate::matrix::strike::{PASSING, Strike as S};

pub(in crate::matrix) const API_VERSIONS: Row = Row {
    api: A::API_VERSIONS,
    scene: Scene::Connect,
    codes: &[
        // Whoever cannot say which versions he speaks is hung up on and asked anew, as in Java.
        (
            Recovers,
            &[E::UNKNOWN_SERVER_ERROR, E::UNSUPPORTED_VERSION, E::INVALID_REQUEST, UNHEARD_OF],
        ),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Connection), &[S::LostForEver, S::Silence])],
};

/// The code is that of the whole answer, as brokers have it since version 13: it is asked for again, elsewhere. What the
/// code of one topic does is in the engine, `whoever_waits_for_a_topic_hears_of_an_error_that_lasts`.
pub(in crate::matrix) const METADATA: Row = Row {
    api: A::METADATA,
    scene: Scene::Send,
    codes: &[(
        Recovers,
        &[
            E::UNKNOWN_SERVER_ERROR,
            E::UNKNOWN_TOPIC_OR_PARTITION,
            E::LEADER_NOT_AVAILABLE,
            E::INVALID_TOPIC_EXCEPTION,
            E::TOPIC_AUTHORIZATION_FAILED,
            E::REBOOTSTRAP_REQUIRED,
            UNHEARD_OF,
        ],
    )],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const PRODUCE: Row = Row {
    api: A::PRODUCE,
    scene: Scene::Send,
    codes: &[
        (
            Recovers,
            &[
                E::CORRUPT_MESSAGE,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::LEADER_NOT_AVAILABLE,
                E::NOT_LEADER_OR_FOLLOWER,
                E::REQUEST_TIMED_OUT,
                E::MESSAGE_TOO_LARGE,
                E::NOT_ENOUGH_REPLICAS,
                E::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                E::OUT_OF_ORDER_SEQUENCE_NUMBER,
                E::DUPLICATE_SEQUENCE_NUMBER,
                E::CONCURRENT_TRANSACTIONS,
                E::KAFKA_STORAGE_ERROR,
                E::UNKNOWN_PRODUCER_ID,
                E::UNKNOWN_TOPIC_ID,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        // UNKNOWN_SERVER_ERROR is not retriable in Java either: the batch may be stored.
        (
            Fails(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_TOPIC_EXCEPTION,
                E::INVALID_REQUIRED_ACKS,
                E::INVALID_TXN_STATE,
                UNHEARD_OF,
            ],
        ),
        // Nobody fences a producer without a transactional id: the next batch has a new epoch.
        (Fails(K::Fenced), &[E::INVALID_PRODUCER_EPOCH]),
        (
            Fails(K::InvalidRecord),
            &[E::INVALID_TIMESTAMP, E::UNSUPPORTED_FOR_MESSAGE_FORMAT, E::INVALID_RECORD],
        ),
        (Fails(K::RecordTooLarge), &[E::RECORD_LIST_TOO_LARGE]),
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
        // As in Java's `maybeTransitionToErrorState`.
        (
            Ends(K::Authorization),
            &[E::CLUSTER_AUTHORIZATION_FAILED, E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
        ),
        (Ends(K::Broker), &[E::INVALID_PRODUCER_ID_MAPPING]),
        (Ends(K::Fenced), &[E::PRODUCER_FENCED]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const INIT_PRODUCER_ID: Row = Row {
    api: A::INIT_PRODUCER_ID,
    scene: Scene::Send,
    codes: &[
        // A right that is missing fails what waits for the id, as in Java (KAFKA-13668): nothing does when it is asked for
        // first.
        (
            Recovers,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::CONCURRENT_TRANSACTIONS,
                E::CLUSTER_AUTHORIZATION_FAILED,
                E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            ],
        ),
        (Ends(K::Broker), &[E::UNKNOWN_SERVER_ERROR, E::INVALID_TRANSACTION_TIMEOUT, UNHEARD_OF]),
        (Ends(K::Fenced), &[E::INVALID_PRODUCER_EPOCH, E::PRODUCER_FENCED]),
        (Ends(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};
