//! What a cell says comes of it, and what came.

use std::fmt;
use std::time::Duration;

use milena::{Error, ErrorKind};
use milena_broker::Broker;
use tokio::time::Instant;

/// What the user sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Nothing but time: every call succeeds, and the cluster holds what it holds without the fault.
    Recovers,
    /// A call fails so, and the same call succeeds when it is made again.
    Fails(ErrorKind),
    /// A call fails so, and so does every later one: there has to be a new producer, consumer or client.
    Ends(ErrorKind),
    /// Any of them, in time.
    Any,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails(kind) => write!(f, "Fails({kind:?})"),
            Self::Ends(kind) => write!(f, "Ends({kind:?})"),
            Self::Recovers | Self::Any => write!(f, "{self:?}"),
        }
    }
}

/// The calls of a scene: each is made a second time where it fails, without the fault.
pub(super) struct Calls<'a> {
    broker: &'a Broker,
    first: Option<Error>,
    has_ended: bool,
}

impl<'a> Calls<'a> {
    pub(super) fn new(broker: &'a Broker) -> Self {
        Self { broker, first: None, has_ended: false }
    }

    /// Makes a call; `None` where it failed twice, with which the scene is over.
    pub(super) async fn make<T>(
        &mut self,
        mut call: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Option<T> {
        match timed(CALL_MAX, call()).await {
            Ok(value) => return Some(value),
            Err(error) => self.first.get_or_insert(error),
        };
        self.broker.clear_faults();
        let again = timed(CALL_MAX, call()).await;
        self.has_ended = again.is_err();
        again.ok()
    }

    /// Of a failure that the scene saw itself.
    pub(super) fn failed(&mut self, error: Error) {
        self.broker.clear_faults();
        self.first.get_or_insert(error);
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.first {
            None => Outcome::Recovers,
            Some(error) if self.has_ended => Outcome::Ends(error.kind()),
            Some(error) => Outcome::Fails(error.kind()),
        }
    }
}

/// What comes of a call, which may take `limit`.
pub(super) async fn timed<T>(limit: Duration, call: impl IntoFuture<Output = T>) -> T {
    let begun = Instant::now();
    let value = call.await;
    assert!(begun.elapsed() <= limit + SLACK, "a call took {:?} of {limit:?}", begun.elapsed());
    value
}

/// A call of a scene may be a few of the client's: to send three records may wait for metadata three times, 60 s each, and
/// then two minutes for the deliveries.
const CALL_MAX: Duration = Duration::from_secs(310);

/// Timers go off late, never early.
const SLACK: Duration = Duration::from_secs(1);
