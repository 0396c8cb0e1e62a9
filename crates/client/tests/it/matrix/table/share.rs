//! Share groups.

use milena::ErrorKind as K;
use milena_types::{ApiKey as A, ErrorCode as E};

use crate::matrix::outcome::Outcome::{Ends, Fails, Recovers};
use crate::matrix::row::{Row, UNHEARD_OF};
use crate::matrix::scene::Scene;
use crate::matrix::strike::Strike as S;

pub(in crate::matrix) const SHARE_GROUP_HEARTBEAT: Row = Row {
    api: A::SHARE_GROUP_HEARTBEAT,
    scene: Scene::ShareGroup,
    codes: &[
        (
            Recovers,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::UNKNOWN_MEMBER_ID,
                E::FENCED_MEMBER_EPOCH,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        (Ends(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        (
            Ends(K::Broker),
            &[E::UNKNOWN_SERVER_ERROR, E::INVALID_REQUEST, E::GROUP_MAX_SIZE_REACHED, UNHEARD_OF],
        ),
        (Ends(K::UnsupportedVersion), &[E::UNSUPPORTED_VERSION]),
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
        (Fails(K::Timeout), &[S::LostForEver, S::Silence]),
        // It has one version: without it there are no share groups.
        (Ends(K::UnsupportedVersion), &[S::VersionWithdrawn]),
    ],
};

pub(in crate::matrix) const SHARE_FETCH: Row = Row {
    api: A::SHARE_FETCH,
    scene: Scene::ShareGroup,
    codes: &[
        (
            Recovers,
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::NOT_LEADER_OR_FOLLOWER,
                E::KAFKA_STORAGE_ERROR,
                E::UNKNOWN_TOPIC_ID,
                E::SHARE_SESSION_NOT_FOUND,
                E::INVALID_SHARE_SESSION_EPOCH,
                E::SHARE_SESSION_LIMIT_REACHED,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        (Fails(K::Broker), &[E::INVALID_REQUEST, E::INVALID_RECORD_STATE]),
        (Fails(K::InvalidRecord), &[E::CORRUPT_MESSAGE]),
        (Ends(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        // Java throws an IllegalStateException for ever.
        (Ends(K::Broker), &[UNHEARD_OF]),
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

/// The code is that of the whole answer. Nothing is said twice: what is not known to be accepted is told to the user as
/// failed, and comes again with the locks. A second try could speak of records that are somebody else's by then.
pub(in crate::matrix) const SHARE_ACKNOWLEDGE: Row = Row {
    api: A::SHARE_ACKNOWLEDGE,
    scene: Scene::ShareGroup,
    codes: &[
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED, E::GROUP_AUTHORIZATION_FAILED]),
        (
            Fails(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::NOT_LEADER_OR_FOLLOWER,
                E::INVALID_REQUEST,
                E::KAFKA_STORAGE_ERROR,
                E::INVALID_RECORD_STATE,
                E::SHARE_SESSION_NOT_FOUND,
                E::INVALID_SHARE_SESSION_EPOCH,
                UNHEARD_OF,
            ],
        ),
        (Fails(K::UnknownTopic), &[E::UNKNOWN_TOPIC_OR_PARTITION, E::UNKNOWN_TOPIC_ID]),
    ],
    faults: &[
        (Recovers, &[S::Throttled, S::VersionWithdrawn]),
        // The broker lets go of what a connection had acquired when it ends.
        (Fails(K::Connection), &[S::LostBefore, S::LostAfter, S::Cut, S::LostForEver]),
        (Fails(K::Protocol), &[S::WrongCorrelation]),
        (Fails(K::Timeout), &[S::Late, S::LateApplied, S::Silence]),
    ],
};
