//! The end of a share consumer: say what is left to say, release, leave, within a deadline.

use std::time::{Duration, Instant};

use super::machine::ShareConsumer;
use super::output::Output;
use super::state::MemberState;
use crate::error::{Error, ErrorKind, Operation};

/// How far a share consumer has gone to its end.
#[derive(Debug)]
pub(super) enum Phase {
    Open,
    Closing { deadline: Instant, result: Result<(), Error> },
    Closed,
}

impl ShareConsumer {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    pub(super) fn begin_close(&mut self, now: Instant, timeout: Duration) {
        let until = now + timeout.min(TIMEOUT_MAX);
        match &mut self.phase {
            Phase::Open => {
                self.buffer.close();
                self.phase = Phase::Closing { deadline: until, result: Ok(()) };
            }
            // Who is in more of a hurry decides.
            Phase::Closing { deadline, .. } => *deadline = until.min(*deadline),
            Phase::Closed => {}
        }
    }

    /// The first failure of an acknowledgement since closing began is what the close comes to.
    pub(super) fn note_close(&mut self, error: &Error) {
        if let Phase::Closing { result, .. } = &mut self.phase
            && result.is_ok()
        {
            *result = Err(error.clone());
        }
    }

    /// Goes on with closing: sessions first, by their requests; then the group.
    pub(super) fn drive_close(&mut self, now: Instant) {
        let Phase::Closing { deadline, .. } = &self.phase else { return };
        let late = *deadline <= now;
        if !self.sessions.is_empty() && !late {
            return;
        }
        self.member.leave();
        self.drive_member(now);
        if self.member.state() == MemberState::Left || late {
            self.finish_close(now, late);
        }
    }

    fn finish_close(&mut self, now: Instant, late: bool) {
        let unanswered = || {
            let late = Error::new(ErrorKind::Timeout).during(Operation::Close);
            late.with_detail("the last acknowledgements were not answered in time")
        };
        // The connections end with the driver, and with them the sessions: brokers release what is left.
        let brokers: Vec<_> = self.sessions.keys().copied().collect();
        for broker in brokers {
            let flight = self.sessions.get_mut(&broker).and_then(|session| session.flight.take());
            for parcel in flight.into_iter().flat_map(|flight| flight.parcels) {
                let (partition, offsets) = (parcel.partition.clone(), parcel.offsets());
                self.report(partition, offsets, Err(unanswered()));
            }
            self.reset_session(broker, &unanswered());
        }
        self.sessions.clear();
        for (id, result) in self.commits.take_over(now, unanswered) {
            self.outputs.push_back(Output::Committed { id, result });
        }
        if late {
            tracing::warn!("closing took longer than its time-out");
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        let result = match phase {
            Phase::Closing { result, .. } => result,
            Phase::Open | Phase::Closed => Ok(()),
        };
        self.timeout = None;
        self.outputs.push_back(Output::Closed { result });
    }

    pub(super) fn close_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Closing { deadline, .. } => Some(*deadline),
            Phase::Open | Phase::Closed => None,
        }
    }
}

/// As good as never; what is longer may not fit into an `Instant`.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
