//! What administrators ask.

use milena::ErrorKind as K;
use milena_types::{ApiKey as A, ErrorCode as E};

use crate::matrix::outcome::Outcome::{Fails, Recovers};
use crate::matrix::row::{Row, UNHEARD_OF};
use crate::matrix::scene::Scene;
use crate::matrix::strike::Strike as S;

pub(in crate::matrix) const CREATE_TOPICS: Row = Row {
    api: A::CREATE_TOPICS,
    scene: Scene::Admin,
    codes: &[
        // REQUEST_TIMED_OUT: Java fails; here the second try tells whether it is there.
        (Recovers, &[E::REQUEST_TIMED_OUT, E::NOT_CONTROLLER, E::THROTTLING_QUOTA_EXCEEDED]),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        // Whatever a broker says of the topic is told; Java likewise.
        (
            Fails(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_TOPIC_EXCEPTION,
                E::TOPIC_ALREADY_EXISTS,
                E::INVALID_PARTITIONS,
                E::INVALID_REPLICATION_FACTOR,
                E::INVALID_REPLICA_ASSIGNMENT,
                E::INVALID_CONFIG,
                E::INVALID_REQUEST,
                E::POLICY_VIOLATION,
                UNHEARD_OF,
            ],
        ),
    ],
    faults: &[
        (Recovers, &[S::LostBefore, S::LateApplied, S::Throttled, S::VersionWithdrawn]),
        // TOPIC_ALREADY_EXISTS: it was made by the first try, of which no answer came. As in Java.
        (Fails(K::Broker), &[S::LostAfter, S::Late, S::Cut]),
        (Fails(K::Protocol), &[S::WrongCorrelation]),
        (Fails(K::Timeout), &[S::LostForEver, S::Silence]),
    ],
};

pub(in crate::matrix) const DELETE_TOPICS: Row = Row {
    api: A::DELETE_TOPICS,
    scene: Scene::Admin,
    codes: &[
        (Recovers, &[E::NOT_CONTROLLER, E::THROTTLING_QUOTA_EXCEEDED]),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        (
            Fails(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_TOPIC_EXCEPTION,
                E::INVALID_REQUEST,
                E::TOPIC_DELETION_DISABLED,
                UNHEARD_OF,
            ],
        ),
        // As in Java: a second try would say that there is no such topic.
        (Fails(K::Timeout), &[E::REQUEST_TIMED_OUT]),
        (Fails(K::UnknownTopic), &[E::UNKNOWN_TOPIC_OR_PARTITION]),
    ],
    faults: &[
        (Recovers, &[S::LostBefore, S::LateApplied, S::Throttled, S::VersionWithdrawn]),
        (Fails(K::Protocol), &[S::WrongCorrelation]),
        (Fails(K::Timeout), &[S::LostForEver, S::Silence]),
        // It was deleted by the first try, of which no answer came. As in Java.
        (Fails(K::UnknownTopic), &[S::LostAfter, S::Late, S::Cut]),
    ],
};

/// A topic is described without its settings where they are not to be had.
pub(in crate::matrix) const DESCRIBE_CONFIGS: Row = Row {
    api: A::DESCRIBE_CONFIGS,
    scene: Scene::Admin,
    codes: &[(
        Recovers,
        &[E::UNKNOWN_SERVER_ERROR, E::TOPIC_AUTHORIZATION_FAILED, E::INVALID_REQUEST, UNHEARD_OF],
    )],
    faults: &[(
        Recovers,
        &[
            S::LostBefore,
            S::LostAfter,
            S::Late,
            S::LateApplied,
            S::Cut,
            S::Throttled,
            S::WrongCorrelation,
            S::VersionWithdrawn,
            S::LostForEver,
            S::Silence,
        ],
    )],
};

pub(in crate::matrix) const LIST_GROUPS: Row = Row {
    api: A::LIST_GROUPS,
    scene: Scene::Admin,
    codes: &[
        (Recovers, &[E::COORDINATOR_LOAD_IN_PROGRESS, E::COORDINATOR_NOT_AVAILABLE]),
        (Fails(K::Broker), &[E::UNKNOWN_SERVER_ERROR, UNHEARD_OF]),
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
        (Fails(K::Protocol), &[S::WrongCorrelation]),
        (Fails(K::Timeout), &[S::LostForEver, S::Silence]),
    ],
};

pub(in crate::matrix) const DESCRIBE_GROUPS: Row = Row {
    api: A::DESCRIBE_GROUPS,
    scene: Scene::Admin,
    codes: &[
        (
            Recovers,
            &[E::COORDINATOR_LOAD_IN_PROGRESS, E::COORDINATOR_NOT_AVAILABLE, E::NOT_COORDINATOR],
        ),
        (Fails(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        (Fails(K::Broker), &[E::UNKNOWN_SERVER_ERROR, UNHEARD_OF]),
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
        (Fails(K::Protocol), &[S::WrongCorrelation]),
        (Fails(K::Timeout), &[S::LostForEver, S::Silence]),
    ],
};
