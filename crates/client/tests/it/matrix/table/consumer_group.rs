//! Groups of the consumer protocol (KIP-848).

use milena::ErrorKind as K;
use milena_types::{ApiKey as A, ErrorCode as E};

use crate::matrix::outcome::Outcome::{Ends, Fails, Recovers};
use crate::matrix::row::{Row, UNHEARD_OF};
use crate::matrix::scene::Scene;
use crate::matrix::strike::{PASSING, Strike as S};

pub(in crate::matrix) const CONSUMER_GROUP_HEARTBEAT: Row = Row {
    api: A::CONSUMER_GROUP_HEARTBEAT,
    scene: Scene::ConsumerGroup,
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
        // A right to a topic may be given; the member keeps its place. As in Java.
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED]),
        (Ends(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        // Java's `handleFatalFailure`, which UNKNOWN_SERVER_ERROR is too.
        (
            Ends(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::INVALID_REQUEST,
                E::GROUP_ID_NOT_FOUND,
                E::GROUP_MAX_SIZE_REACHED,
                E::UNSUPPORTED_ASSIGNOR,
                E::INVALID_REGULAR_EXPRESSION,
                UNHEARD_OF,
            ],
        ),
        // UNRELEASED_INSTANCE_ID: the instance of that id that was there first is not gone. Java is final too.
        (Ends(K::Fenced), &[E::FENCED_INSTANCE_ID, E::UNRELEASED_INSTANCE_ID]),
        (Ends(K::UnsupportedVersion), &[E::UNSUPPORTED_VERSION]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const OFFSET_COMMIT: Row = Row {
    api: A::OFFSET_COMMIT,
    scene: Scene::ConsumerGroup,
    codes: &[
        // STALE_MEMBER_EPOCH: the next heartbeat brings the right one, and the commit is made again (KIP-848).
        (
            Recovers,
            &[
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::REQUEST_TIMED_OUT,
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::REBALANCE_IN_PROGRESS,
                E::UNKNOWN_TOPIC_ID,
                E::STALE_MEMBER_EPOCH,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED, E::GROUP_AUTHORIZATION_FAILED]),
        (
            Fails(K::Broker),
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::OFFSET_METADATA_TOO_LARGE,
                E::INVALID_COMMIT_OFFSET_SIZE,
                E::GROUP_ID_NOT_FOUND,
                UNHEARD_OF,
            ],
        ),
        // As in a classic group.
        (Fails(K::Rebalanced), &[E::ILLEGAL_GENERATION, E::UNKNOWN_MEMBER_ID]),
        (Ends(K::Fenced), &[E::FENCED_INSTANCE_ID]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const OFFSET_FETCH: Row = Row {
    api: A::OFFSET_FETCH,
    scene: Scene::ConsumerGroup,
    codes: &[
        (
            Recovers,
            &[
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::UNKNOWN_MEMBER_ID,
                E::UNSTABLE_OFFSET_COMMIT,
                E::STALE_MEMBER_EPOCH,
            ],
        ),
        (Fails(K::Authorization), &[E::TOPIC_AUTHORIZATION_FAILED, E::GROUP_AUTHORIZATION_FAILED]),
        (Fails(K::Broker), &[E::UNKNOWN_SERVER_ERROR, UNHEARD_OF]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};
