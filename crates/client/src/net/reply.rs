//! Where an answer goes.

use milena_engine::request::{Answer, Failure, RequestId};
use milena_types::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Where an answer goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// To a driver, which has a machine that knows the request. Bounded by what the machine has in flight.
    Driver(mpsc::UnboundedSender<Answer>),
    /// To one caller that awaits it.
    Caller(oneshot::Sender<Answer>),
}

/// The duty to answer one request. Dropped without an answer, as when its task dies, it answers "in doubt".
#[derive(Debug)]
pub(super) struct Reply {
    id: RequestId,
    to: Option<ReplyTo>,
}

impl Reply {
    pub(super) fn new(id: RequestId, to: ReplyTo) -> Self {
        Self { id, to: Some(to) }
    }

    /// Hands over `answer`, under the id that the asking machine gave.
    pub(super) fn answer(mut self, answer: Answer) {
        self.send(answer);
    }

    /// Answers a request that no connection has seen.
    pub(super) fn fail(mut self, broker: Option<NodeId>, failure: Failure) {
        self.send(Answer::new(self.id, broker, 0, Instant::now().into_std(), Err(failure)));
    }

    fn send(&mut self, mut answer: Answer) {
        answer.id = self.id;
        // Who has gone away does not want to know.
        match self.to.take() {
            Some(ReplyTo::Driver(driver)) => drop(driver.send(answer)),
            Some(ReplyTo::Caller(caller)) => drop(caller.send(answer)),
            None => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.to.is_some() {
            let now = Instant::now().into_std();
            self.send(Answer::new(self.id, None, 0, now, Err(Failure::ConnectionLost)));
        }
    }
}
