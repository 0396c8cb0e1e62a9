//! Who the producer is to the brokers.

use std::time::Instant;

use fastrand::Rng;
use milena_types::{ApiKey, ProducerEpoch, ProducerId};

use crate::disposition::{Reaction, reaction};
use crate::request::{Failure, RequestId};
use crate::{Backoff, Error, ErrorKind, Operation};

/// A producer id and its epoch: the name under which sequences count.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Identity {
    /// Given by the cluster.
    pub(crate) producer_id: ProducerId,
    /// Counted up by the producer itself where sequences broke.
    pub(crate) epoch: ProducerEpoch,
}

/// How the producer comes by its identity.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Idempotence is off: batches carry no sequence.
    Off,
    /// None yet, or the last one is used up; to be asked for from this moment on.
    Wanted { from: Option<Instant> },
    /// An InitProducerId is on its way.
    Asked(RequestId),
    /// New batches count under this one.
    Known(Identity),
    /// The cluster gives us none; nothing more can be sent.
    Refused(Error),
    /// Transactions have a coordinator that gives and changes it; nothing here does.
    Assigned(Option<Identity>),
}

/// The identity of a producer; of one with transactions it only holds what they came by.
///
/// ```text
/// Off      Wanted ⇄ Asked → Known → Known (epoch + 1)
///            ↑        ↓       │
///            │     Refused    │
///            └────────────────┘ epoch used up
/// ```
#[derive(Debug)]
pub(crate) struct Idempotence {
    state: State,
    backoff: Backoff,
}

impl Idempotence {
    pub(crate) fn new(is_on: bool, backoff: Backoff) -> Self {
        let state = if is_on { State::Wanted { from: None } } else { State::Off };
        Self { state, backoff }
    }

    /// The identity of a producer with transactions.
    pub(crate) fn of_transactions(backoff: Backoff) -> Self {
        Self { state: State::Assigned(None), backoff }
    }

    /// Takes over the identity that transactions have come by.
    pub(crate) fn assign(&mut self, identity: Identity) {
        debug_assert!(matches!(self.state, State::Assigned(_)), "assigned in {:?}", self.state);
        self.state = State::Assigned(Some(identity));
    }

    pub(crate) fn is_on(&self) -> bool {
        !matches!(self.state, State::Off)
    }

    /// Under which identity new batches count; `None` while it is unknown, and where idempotence is off.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self.state {
            State::Known(identity) => Some(identity),
            State::Assigned(identity) => identity,
            State::Off | State::Wanted { .. } | State::Asked(_) | State::Refused(_) => None,
        }
    }

    /// Why there will never be an identity.
    pub(crate) fn refusal(&self) -> Option<&Error> {
        match &self.state {
            State::Refused(error) => Some(error),
            State::Off
            | State::Wanted { .. }
            | State::Asked(_)
            | State::Known(_)
            | State::Assigned(_) => None,
        }
    }

    /// Whether an InitProducerId is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Wanted { from } if from.is_none_or(|from| from <= now))
    }

    /// When an InitProducerId falls due that is not due yet.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match self.state {
            State::Wanted { from } => from,
            State::Off
            | State::Asked(_)
            | State::Known(_)
            | State::Refused(_)
            | State::Assigned(_) => None,
        }
    }

    /// An InitProducerId was sent as `request`.
    pub(crate) fn asked(&mut self, request: RequestId) {
        debug_assert!(matches!(self.state, State::Wanted { .. }), "asked in {:?}", self.state);
        self.state = State::Asked(request);
    }

    /// Whether `request` is the InitProducerId under way.
    pub(crate) fn is_asked_by(&self, request: RequestId) -> bool {
        matches!(self.state, State::Asked(asked) if asked == request)
    }

    /// The cluster gave us an identity.
    pub(crate) fn given(&mut self, identity: Identity) {
        self.backoff.reset();
        self.state = State::Known(identity);
    }

    /// The broker answered with an error. Returns what whoever waits for the identity is to hear, where it is asked for
    /// again all the same: a right that is missing may be given (KAFKA-13668).
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        code: milena_types::ErrorCode,
        rng: &mut Rng,
    ) -> Option<Error> {
        let error = Error::from_code(ApiKey::INIT_PRODUCER_ID, code);
        let reaction = reaction(ApiKey::INIT_PRODUCER_ID, code);
        let is_passing = matches!(
            reaction,
            Reaction::Retry
                | Reaction::RefreshMetadata
                | Reaction::FindCoordinator
                | Reaction::Rebootstrap
        );
        if reaction == Reaction::Abort && error.kind() == ErrorKind::Authorization {
            self.retry(now, rng);
            return Some(error.during(Operation::InitProducerId).plain());
        }
        if is_passing {
            self.retry(now, rng)
        } else {
            self.refuse(error)
        }
        None
    }

    /// The request has no answer.
    pub(crate) fn failed(&mut self, now: Instant, failure: &Failure, rng: &mut Rng) {
        match failure {
            Failure::UnsupportedVersion
            | Failure::AuthenticationFailed(_)
            | Failure::Closed
            | Failure::Unencodable(_) => self.refuse(Error::from_failure(failure)),
            // An id that was given to a lost answer is simply never used.
            Failure::NotSent
            | Failure::Unreachable(_)
            | Failure::ConnectionLost
            | Failure::TimedOut
            | Failure::MalformedResponse(_) => self.retry(now, rng),
        }
    }

    /// Makes sure that there is, or will be, an identity newer than `old`: counts the epoch up, or asks for a new id
    /// where the epoch is used up (KIP-360).
    pub(crate) fn leave(&mut self, old: Identity) {
        if let State::Known(identity) = self.state
            && identity == old
        {
            self.state = match identity.epoch.bump() {
                Some(epoch) => State::Known(Identity { epoch, ..identity }),
                None => State::Wanted { from: None },
            };
        }
    }

    fn retry(&mut self, now: Instant, rng: &mut Rng) {
        self.state = State::Wanted { from: Some(now + self.backoff.next_wait(rng)) };
    }

    fn refuse(&mut self, error: Error) {
        let error = error.during(Operation::InitProducerId).fatal();
        self.state = State::Refused(error);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milena_types::ErrorCode;

    use super::*;
    use crate::request::RequestIds;

    fn identity(producer_id: i64, epoch: i16) -> Identity {
        let producer_id = ProducerId::from_wire(producer_id).unwrap();
        Identity { producer_id, epoch: ProducerEpoch::from_wire(epoch).unwrap() }
    }

    fn idempotence() -> Idempotence {
        Idempotence::new(
            true,
            Backoff::new(Duration::from_millis(100), Duration::from_millis(1000)),
        )
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn without_idempotence_nothing_is_ever_asked() {
        let off = Idempotence::new(false, Backoff::new(Duration::ZERO, Duration::ZERO));
        assert!(!off.is_on() && !off.is_due(now()) && off.timeout().is_none());
    }

    #[test]
    fn a_broker_that_is_not_ready_is_asked_again_later() {
        let (now, mut rng) = (now(), Rng::with_seed(1));
        for lost in [false, true] {
            let mut idempotence = idempotence();
            let request = RequestIds::default().deal();
            assert!(idempotence.is_due(now));
            idempotence.asked(request);
            assert!(idempotence.is_asked_by(request) && !idempotence.is_due(now));
            if lost {
                idempotence.failed(now, &Failure::ConnectionLost, &mut rng);
            } else {
                let code = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
                assert!(idempotence.answered(now, code, &mut rng).is_none());
            }
            assert!(!idempotence.is_due(now));
            assert!(idempotence.is_due(idempotence.timeout().unwrap()));
        }
    }

    #[test]
    fn a_refusal_is_final() {
        let (now, mut rng) = (now(), Rng::with_seed(1));
        let mut idempotence = idempotence();
        idempotence.asked(RequestIds::default().deal());
        assert!(idempotence.answered(now, ErrorCode::PRODUCER_FENCED, &mut rng).is_none());
        assert!(idempotence.refusal().unwrap().is_fatal());
        assert!(!idempotence.is_due(now + Duration::from_secs(3600)));
    }

    /// Whoever waits hears of it, and does not wait for the administrator.
    #[test]
    fn a_right_that_is_missing_is_told_and_asked_for_again() {
        let (now, mut rng) = (now(), Rng::with_seed(1));
        let mut idempotence = idempotence();
        idempotence.asked(RequestIds::default().deal());
        let code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        let error = idempotence.answered(now, code, &mut rng).unwrap();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Authorization, Some(code)));
        assert!(!error.is_fatal() && !error.is_abortable() && idempotence.refusal().is_none());
        assert!(!idempotence.is_due(now), "after a wait");
        assert!(idempotence.is_due(idempotence.timeout().unwrap()));
    }

    /// A broker that cannot be spoken to at all gives no identity either.
    #[test]
    fn only_failures_that_pass_are_tried_again() {
        let (now, mut rng) = (now(), Rng::with_seed(1));
        for (failure, passes) in [
            (Failure::NotSent, true),
            (Failure::Unreachable("x".into()), true),
            (Failure::ConnectionLost, true),
            (Failure::TimedOut, true),
            (Failure::MalformedResponse("x".into()), true),
            (Failure::UnsupportedVersion, false),
            (Failure::AuthenticationFailed("x".into()), false),
            (Failure::Closed, false),
            (Failure::Unencodable("x".into()), false),
        ] {
            let mut idempotence = idempotence();
            idempotence.asked(RequestIds::default().deal());
            idempotence.failed(now, &failure, &mut rng);
            let is_tried = idempotence.timeout().is_some_and(|at| idempotence.is_due(at));
            assert_eq!(
                (is_tried, idempotence.refusal().is_none()),
                (passes, passes),
                "{failure:?}"
            );
        }
    }

    /// Transactions ask for theirs themselves, and nothing here changes it.
    #[test]
    fn an_identity_that_was_assigned_is_never_left() {
        let mut idempotence =
            Idempotence::of_transactions(Backoff::new(Duration::ZERO, Duration::ZERO));
        assert!(idempotence.is_on() && !idempotence.is_due(now()));
        assert_eq!((idempotence.identity(), idempotence.timeout()), (None, None));
        idempotence.assign(identity(7, 3));
        idempotence.leave(identity(7, 3));
        assert_eq!(idempotence.identity(), Some(identity(7, 3)));
        assert!(idempotence.refusal().is_none() && !idempotence.is_due(now()));
    }

    #[test]
    fn the_epoch_counts_up_once_for_all_who_leave_the_same_identity() {
        let mut idempotence = idempotence();
        idempotence.given(identity(7, 3));
        idempotence.leave(identity(6, 3));
        assert_eq!(idempotence.identity(), Some(identity(7, 3)), "nobody counts under it");
        idempotence.leave(identity(7, 3));
        idempotence.leave(identity(7, 3));
        assert_eq!(idempotence.identity(), Some(identity(7, 4)));
    }

    /// Reusing an epoch would let the broker take new records for old ones.
    #[test]
    fn after_the_last_epoch_comes_a_new_id() {
        let mut idempotence = idempotence();
        idempotence.given(identity(7, i16::MAX));
        idempotence.leave(identity(7, i16::MAX));
        assert_eq!(idempotence.identity(), None);
        assert!(idempotence.is_due(now()));
    }
}
