//! Records that are read.

use milena::ErrorKind as K;
use milena_types::{ApiKey as A, ErrorCode as E};

use crate::matrix::outcome::Outcome::{Fails, Recovers};
use crate::matrix::row::{Row, UNHEARD_OF};
use crate::matrix::scene::Scene;
use crate::matrix::strike::{PASSING, Strike as S};

pub(in crate::matrix) const FETCH: Row = Row {
    api: A::FETCH,
    scene: Scene::Read,
    codes: &[
        // OFFSET_OUT_OF_RANGE resets to the earliest offset, which is where it was.
        (
            Recovers,
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::OFFSET_OUT_OF_RANGE,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::NOT_LEADER_OR_FOLLOWER,
                E::REPLICA_NOT_AVAILABLE,
                E::KAFKA_STORAGE_ERROR,
                E::FETCH_SESSION_ID_NOT_FOUND,
                E::INVALID_FETCH_SESSION_EPOCH,
                E::FENCED_LEADER_EPOCH,
                E::UNKNOWN_LEADER_EPOCH,
                E::OFFSET_NOT_AVAILABLE,
                E::UNKNOWN_TOPIC_ID,
                E::INCONSISTENT_TOPIC_ID,
                E::FETCH_SESSION_TOPIC_ID_ERROR,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        // Java throws an IllegalStateException.
        (Fails(K::Broker), &[UNHEARD_OF]),
        (Fails(K::InvalidRecord), &[E::CORRUPT_MESSAGE, E::UNSUPPORTED_COMPRESSION_TYPE]),
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
                S::VersionWithdrawn,
            ],
        ),
        // Told once, and asked again on a new connection.
        (Fails(K::Protocol), &[S::WrongCorrelation]),
        (Fails(K::Timeout), &[S::LostForEver, S::Silence]),
    ],
};

pub(in crate::matrix) const LIST_OFFSETS: Row = Row {
    api: A::LIST_OFFSETS,
    scene: Scene::Read,
    codes: &[
        (
            Recovers,
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::LEADER_NOT_AVAILABLE,
                E::NOT_LEADER_OR_FOLLOWER,
                E::REPLICA_NOT_AVAILABLE,
                E::KAFKA_STORAGE_ERROR,
                E::FENCED_LEADER_EPOCH,
                E::UNKNOWN_LEADER_EPOCH,
                E::OFFSET_NOT_AVAILABLE,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        // Java asks again, in silence. A code that nobody knows is not probably retriable: it is told, once.
        (Fails(K::Broker), &[UNHEARD_OF]),
        // Java asks for ever and says nothing: only formats before 0.10 have no timestamps.
        (Fails(K::InvalidRecord), &[E::UNSUPPORTED_FOR_MESSAGE_FORMAT]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const OFFSET_FOR_LEADER_EPOCH: Row = Row {
    api: A::OFFSET_FOR_LEADER_EPOCH,
    scene: Scene::ReadOn,
    codes: &[
        (
            Recovers,
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::LEADER_NOT_AVAILABLE,
                E::NOT_LEADER_OR_FOLLOWER,
                E::REPLICA_NOT_AVAILABLE,
                E::KAFKA_STORAGE_ERROR,
                E::FENCED_LEADER_EPOCH,
                E::UNKNOWN_LEADER_EPOCH,
                E::OFFSET_NOT_AVAILABLE,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        // As with ListOffsets.
        (Fails(K::Broker), &[UNHEARD_OF]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};
