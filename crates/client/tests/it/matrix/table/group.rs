//! Classic groups.

use milena::ErrorKind as K;
use milena_types::{ApiKey as A, ErrorCode as E};

use crate::matrix::outcome::Outcome::{Ends, Fails, Recovers};
use crate::matrix::row::{Row, UNHEARD_OF};
use crate::matrix::scene::Scene;
use crate::matrix::strike::{PASSING, Strike as S};

pub(in crate::matrix) const FIND_COORDINATOR: Row = Row {
    api: A::FIND_COORDINATOR,
    scene: Scene::Group,
    codes: &[
        (Recovers, &[E::COORDINATOR_LOAD_IN_PROGRESS, E::COORDINATOR_NOT_AVAILABLE]),
        (Fails(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        // As in Java: the poll fails, the next one asks again.
        (Fails(K::Broker), &[E::UNKNOWN_SERVER_ERROR, E::INVALID_REQUEST, UNHEARD_OF]),
        // No broker answers a group so.
        (Fails(K::TransactionAborted), &[E::TRANSACTION_ABORTABLE]),
        // No broker answers a group so.
        (Ends(K::Authorization), &[E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED]),
        (Ends(K::Broker), &[E::INVALID_GROUP_ID]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const JOIN_GROUP: Row = Row {
    api: A::JOIN_GROUP,
    scene: Scene::Group,
    codes: &[
        (
            Recovers,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::UNKNOWN_MEMBER_ID,
                E::REBALANCE_IN_PROGRESS,
                E::MEMBER_ID_REQUIRED,
            ],
        ),
        // Java's next poll would ask again; in groups of the consumer protocol it is final in Java too.
        (Ends(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        // As in Java: told, and joined again by whoever polls on.
        (Fails(K::Broker), &[E::UNKNOWN_SERVER_ERROR]),
        // Java's poll throws a KafkaException, and joins again if the program polls on. Here whoever is refused for a reason
        // that time does not heal is told so by every poll.
        (
            Ends(K::Broker),
            &[
                E::INCONSISTENT_GROUP_PROTOCOL,
                E::INVALID_GROUP_ID,
                E::INVALID_SESSION_TIMEOUT,
                E::GROUP_MAX_SIZE_REACHED,
                UNHEARD_OF,
            ],
        ),
        (Ends(K::Fenced), &[E::FENCED_INSTANCE_ID]),
        (Ends(K::UnsupportedVersion), &[E::UNSUPPORTED_VERSION]),
    ],
    faults: &[
        (Recovers, PASSING),
        (Fails(K::Timeout), &[S::LostForEver]),
        // A JoinGroup waits as long as a rebalance may take (`max.poll.interval.ms`, five minutes) before it is given up, as
        // in Java: longer than this scene lasts.
        (Ends(K::Timeout), &[S::Silence]),
    ],
};

pub(in crate::matrix) const SYNC_GROUP: Row = Row {
    api: A::SYNC_GROUP,
    scene: Scene::Group,
    codes: &[
        (
            Recovers,
            &[
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::ILLEGAL_GENERATION,
                E::UNKNOWN_MEMBER_ID,
                E::REBALANCE_IN_PROGRESS,
            ],
        ),
        // As with JoinGroup.
        (Ends(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        // As with JoinGroup.
        (Fails(K::Broker), &[E::UNKNOWN_SERVER_ERROR]),
        (Ends(K::Broker), &[UNHEARD_OF]),
        (Ends(K::Fenced), &[E::FENCED_INSTANCE_ID]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const HEARTBEAT: Row = Row {
    api: A::HEARTBEAT,
    scene: Scene::Group,
    codes: &[
        (
            Recovers,
            &[
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::ILLEGAL_GENERATION,
                E::UNKNOWN_MEMBER_ID,
                E::REBALANCE_IN_PROGRESS,
                E::UNKNOWN_SERVER_ERROR,
            ],
        ),
        // Java heartbeats on until the session ends and its JoinGroup is refused: told 45 s later, after others have read the
        // same records.
        (Ends(K::Authorization), &[E::GROUP_AUTHORIZATION_FAILED]),
        // Java takes a code of the future too for a heartbeat that was lost, until the session ends. Here it is told at once,
        // and a new consumer has to be made.
        (Ends(K::Broker), &[UNHEARD_OF]),
        (Ends(K::Fenced), &[E::FENCED_INSTANCE_ID]),
    ],
    faults: &[
        (Recovers, PASSING),
        // The session ends without them: it is the commit that fails, and the member comes back.
        (Fails(K::Rebalanced), &[S::LostForEver, S::Silence]),
    ],
};

pub(in crate::matrix) const LEAVE_GROUP: Row = Row {
    api: A::LEAVE_GROUP,
    scene: Scene::Group,
    codes: &[
        // A farewell that is refused or lost is not the user's business: the session ends by itself, 45 s later. As in Java.
        (
            Recovers,
            &[
                E::UNKNOWN_SERVER_ERROR,
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::UNKNOWN_MEMBER_ID,
                E::GROUP_AUTHORIZATION_FAILED,
                E::FENCED_INSTANCE_ID,
                UNHEARD_OF,
            ],
        ),
    ],
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

pub(in crate::matrix) const OFFSET_COMMIT: Row = Row {
    api: A::OFFSET_COMMIT,
    scene: Scene::Group,
    codes: &[
        // REBALANCE_IN_PROGRESS ends Java's commit with a RebalanceInProgressException where it is waited for; here it waits
        // for the rebalance, and the records are still this member's.
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
        // Java's CommitFailedException; the next poll joins again.
        (Fails(K::Rebalanced), &[E::ILLEGAL_GENERATION, E::UNKNOWN_MEMBER_ID]),
        // Another instance has our id: Java finds out by the next heartbeat.
        (Ends(K::Fenced), &[E::FENCED_INSTANCE_ID]),
    ],
    faults: &[(Recovers, PASSING), (Fails(K::Timeout), &[S::LostForEver, S::Silence])],
};

pub(in crate::matrix) const OFFSET_FETCH: Row = Row {
    api: A::OFFSET_FETCH,
    scene: Scene::Group,
    codes: &[
        // UNKNOWN_TOPIC_OR_PARTITION: Java throws; a broker that has not heard of a new topic yet is not worth a failed poll.
        // UNKNOWN_MEMBER_ID joins again.
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
