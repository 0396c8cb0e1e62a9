//! What the coordinators answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, ProducerEpoch, ProducerId};
use milena_wire::Response;
use milena_wire::messages::{EndTxnResponse, InitProducerIdResponse};

use super::calls::Wish;
use super::machine::{Asked, Begun, Event, Transactions};
use super::request::What;
use super::state::State;
use super::verdict::Verdict;
use super::version::TransactionVersion;
use crate::coordinator::Found;
use crate::idempotence::Identity;
use crate::request::{Answer, Failure};
use crate::{Error, Operation};

impl Transactions {
    /// Takes an answer, if it is to a request of this machine; gives any other back.
    ///
    /// # Errors
    /// The answer, where it is not this machine's.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: Answer,
        rng: &mut Rng,
    ) -> Result<(), Box<Answer>> {
        let answer = match self.coordinator.handle_answer(now, answer, rng) {
            Ok(found) => {
                self.found(found);
                return Ok(());
            }
            Err(answer) => *answer,
        };
        let answer = match &mut self.group {
            None => answer,
            Some((_, lookup)) => match lookup.handle_answer(now, answer, rng) {
                Ok(found) => {
                    self.found_group(found);
                    return Ok(());
                }
                Err(answer) => *answer,
            },
        };
        // The answer to a request that is given up ends nothing any more (R7).
        match self.asked.take_if(|asked| asked.id == answer.id) {
            Some(asked) => self.answered(now, &asked, answer, rng),
            None => return Err(Box::new(answer)),
        }
        Ok(())
    }

    fn found_group(&mut self, found: Found) {
        let wanted = self.offsets.first().map(|first| &first.group.group_id);
        let is_wanted = self.group.as_ref().map(|(group, _)| group) == wanted;
        // What is refused to a transaction that has ended since is not the next one's matter.
        if is_wanted || !matches!(&found, Found::Failed(error) if !error.is_fatal()) {
            self.found(found);
        }
    }

    fn found(&mut self, found: Found) {
        match found {
            Found::Coordinator(broker) => self.events.push_back(Event::Coordinator(broker)),
            Found::NotYet(error) => self.trouble = Some(error),
            Found::Failed(error) if error.is_fatal() => self.broken(&error),
            Found::Failed(error) => self.cannot(&error),
        }
    }

    fn answered(&mut self, now: Instant, asked: &Asked, answer: Answer, rng: &mut Rng) {
        // A refusal says that the request did not begin the transaction; silence says nothing.
        let is_certain = match &answer.result {
            Ok(answer) => answer.is_some(),
            Err(failure) => !failure.may_be_applied(),
        };
        let verdict = match (asked.what, answer.result) {
            (What::Init, Ok(Some(Response::InitProducerId(response)))) => {
                self.initialized(&response)
            }
            (What::Partitions, Ok(Some(Response::AddPartitionsToTxn(response)))) => {
                self.enrollment.answered(&response)
            }
            (What::Group, Ok(Some(Response::AddOffsetsToTxn(response)))) => {
                Verdict::of(ApiKey::ADD_OFFSETS_TO_TXN, response.error_code)
            }
            (What::Offsets, Ok(Some(Response::TxnOffsetCommit(response)))) => {
                match self.offsets.first() {
                    Some(first) => first.answered(&response),
                    // They were dropped meanwhile, and the transaction with them.
                    None => Verdict::Done,
                }
            }
            (What::End, Ok(Some(Response::EndTxn(response)))) => self.end_answered(&response),
            (_, Ok(_)) => {
                self.unanswered(asked, &Failure::MalformedResponse("another API's".into()))
            }
            (_, Err(failure)) => self.unanswered(asked, &failure),
        };
        if verdict.may_be_applied() {
            self.doubt(asked.what);
        } else if is_certain && self.begun == Begun::Maybe && !matches!(verdict, Verdict::Done) {
            self.begun = asked.begun_before;
        }
        let verdict = verdict.map_error(|error| {
            let error = error.with_broker(asked.node);
            match error.group() {
                Some(_) => error,
                None => error.with_group(Arc::clone(&self.settings.transactional_id)),
            }
        });
        self.heed(now, asked, verdict, rng);
    }

    /// Does what the verdict asks for.
    fn heed(&mut self, now: Instant, asked: &Asked, verdict: Verdict, rng: &mut Rng) {
        match verdict {
            Verdict::Done => {
                self.backoff.reset();
                self.trouble = None;
                if let Some(lookup) = self.lookup(asked.what) {
                    lookup.prove();
                }
                self.done(asked.what);
            }
            Verdict::Retry(error) => {
                self.wait(now, asked, &error, rng);
                self.trouble = Some(error);
            }
            Verdict::Refind(error) => {
                if let Some(lookup) = self.lookup(asked.what) {
                    lookup.forget(now, asked.node, rng);
                }
                self.wait(now, asked, &error, rng);
                self.trouble = Some(error);
            }
            // Nothing is left to do about an abort that must be aborted (trap 20).
            Verdict::Abort(error) if asked.what == What::End && self.state == State::Aborting => {
                self.broken(&error.fatal());
            }
            Verdict::Abort(error) => {
                self.cannot(&error);
                self.wait(now, asked, &error, rng);
            }
            Verdict::Fatal(error) => {
                let was_none = asked.what == What::End
                    && self.state == State::Aborting
                    && self.begun == Begun::Maybe
                    && error.code() == Some(ErrorCode::INVALID_TXN_STATE);
                // Until the markers of the last transaction are written, the coordinator says so of the next epoch, if
                // nothing of this transaction has come to it. Who is fenced indeed hears it as he asks for an epoch.
                let is_early = asked.what == What::End
                    && self.state == State::Aborting
                    && self.version == TransactionVersion::Two
                    && self.outcome().is_some()
                    && !self.is_acknowledged
                    && error.code() == Some(ErrorCode::PRODUCER_FENCED);
                self.is_doubtful |= is_early;
                // Or the request that would have begun it was lost: there was nothing to abort.
                if was_none || is_early { self.ended() } else { self.broken(&error) }
            }
        }
    }

    fn done(&mut self, what: What) {
        match what {
            What::Init => {
                self.become_(State::Ready);
            }
            What::Partitions => {
                self.begun = Begun::Yes;
                self.events.push_back(Event::Enrolled);
            }
            What::Group => {
                self.begun = Begun::Yes;
                self.offsets.group_added();
            }
            What::Offsets => {
                if self.version == TransactionVersion::Two {
                    self.begun = Begun::Yes;
                }
                self.is_acknowledged = true;
                if let Some(commit) = self.offsets.pop() {
                    self.calls.finish(commit.call, Ok(()));
                }
            }
            What::End => self.ended(),
        }
    }

    fn initialized(&mut self, response: &InitProducerIdResponse) -> Verdict {
        let verdict = Verdict::of(ApiKey::INIT_PRODUCER_ID, response.error_code)
            .map_error(|error| error.during(Operation::InitProducerId));
        if let Verdict::Done = verdict {
            match identity(response.producer_id, response.producer_epoch) {
                Some(identity) => self.identify(identity),
                None => return Verdict::malformed("no producer id"),
            }
        }
        verdict
    }

    fn end_answered(&mut self, response: &EndTxnResponse) -> Verdict {
        let verdict = Verdict::of(ApiKey::END_TXN, response.error_code).map_error(|error| {
            if error.code() == Some(ErrorCode::INVALID_TXN_STATE) {
                // So do 4.x brokers; older ones say that the producer is fenced.
                let detail = "was it open for longer than transaction.timeout.ms?";
                error.with_detail(detail)
            } else {
                error
            }
        });
        if let (Verdict::Done, TransactionVersion::Two) = (&verdict, self.version) {
            match identity(response.producer_id, response.producer_epoch) {
                Some(identity) => {
                    self.identify(identity);
                    // What was done was done under the identity before.
                    self.begun = Begun::No;
                }
                // The next transaction needs an epoch of its own all the same.
                None => self.is_doubtful = true,
            }
        }
        verdict
    }

    /// The coordinator may have done `what`, though it has not said so.
    fn doubt(&mut self, what: What) {
        self.is_doubtful |= what != What::Init;
        self.end.is_lost |= what == What::End;
    }

    /// There is no answer that counts.
    fn unanswered(&mut self, asked: &Asked, failure: &Failure) -> Verdict {
        if failure.may_be_applied() {
            self.doubt(asked.what);
        }
        let verdict = Verdict::of_failure(failure);
        match (verdict, asked.what) {
            // Before Kafka 2.5 offsets cannot be committed in a member's name; the transaction is as good as it was.
            (Verdict::Fatal(error), What::Offsets) if *failure == Failure::UnsupportedVersion => {
                Verdict::Abort(error.abortable())
            }
            (verdict, _) => verdict,
        }
    }

    /// The transaction, or the wish for one, fails.
    fn cannot(&mut self, error: &Error) {
        if self.state == State::Starting {
            for wish in [Wish::Settle, Wish::Begin] {
                self.calls.finish_all(wish, &Err(error.clone()));
            }
        }
        self.fail(error);
    }

    fn broken(&mut self, error: &Error) {
        self.break_off(error);
        self.events.push_back(Event::Broken(self.failure()));
    }

    fn wait(&mut self, now: Instant, asked: &Asked, error: &Error, rng: &mut Rng) {
        let wait = self.backoff.next_wait(rng);
        // The markers of the last transaction are still being written: a matter of milliseconds.
        let is_soon = error.code() == Some(ErrorCode::CONCURRENT_TRANSACTIONS)
            && asked.what != What::Init
            && asked.begun_before == Begun::No;
        self.not_before = Some(now + if is_soon { wait.min(MARKERS_WAIT) } else { wait });
    }
}

fn identity(producer_id: i64, epoch: i16) -> Option<Identity> {
    let producer_id = ProducerId::from_wire(producer_id)?;
    Some(Identity { producer_id, epoch: ProducerEpoch::from_wire(epoch)? })
}

/// Java's `ADD_PARTITIONS_RETRY_BACKOFF_MS`.
const MARKERS_WAIT: Duration = Duration::from_millis(20);
