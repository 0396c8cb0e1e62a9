//! What an answer to a request of a transaction comes to.

use milena_types::{ApiKey, ErrorCode};

use crate::disposition::{Reaction, reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::request::Failure;

/// What an answer to a request of a transaction comes to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is done.
    Done,
    /// The same request again, after a back-off.
    Retry(Error),
    /// The same request again, once the coordinator is found anew.
    Refind(Error),
    /// The transaction can only be aborted.
    Abort(Error),
    /// The producer cannot go on.
    Fatal(Error),
}

impl Verdict {
    /// What `code`, in an answer to `api`, means (trap 20).
    pub(super) fn of(api: ApiKey, code: ErrorCode) -> Self {
        let error = || Error::from_code(api, code).during(Operation::Transaction);
        match reaction(api, code) {
            Reaction::Accept => Self::Done,
            Reaction::Retry | Reaction::RefreshMetadata | Reaction::Rebootstrap => {
                Self::Retry(error())
            }
            Reaction::FindCoordinator => Self::Refind(error()),
            Reaction::Abort => Self::Abort(error().abortable()),
            // What nobody has decided about must never pass for done (trap 22).
            Reaction::SplitBatch
            | Reaction::RepairSequence
            | Reaction::ResetOffset
            | Reaction::ValidateOffset
            | Reaction::ResetSession
            | Reaction::AdoptMemberId
            | Reaction::Rejoin
            | Reaction::ResetGeneration
            | Reaction::ResetMember
            | Reaction::Fail
            | Reaction::Fatal => Self::Fatal(error().fatal()),
        }
    }

    /// What a request without an answer means.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        let error = Error::from_failure(failure).during(Operation::Transaction);
        if failure.is_passing() { Self::Refind(error) } else { Self::Fatal(error.fatal()) }
    }

    /// An answer that does not say what was asked.
    pub(super) fn malformed(detail: &'static str) -> Self {
        let error = Error::new(ErrorKind::Protocol).with_detail(detail);
        Self::Retry(error.during(Operation::Transaction))
    }

    /// How bad it is: of several answers the worst counts.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Retry(_) => 1,
            Self::Refind(_) => 2,
            Self::Abort(_) => 3,
            Self::Fatal(_) => 4,
        }
    }

    /// Whether a coordinator that says so may have done it all the same: it writes to its log first, and answers with
    /// these where it hears no more of that, as when it loses its leadership or its followers meanwhile
    /// (`TransactionStateManager.appendTransactionToLog`).
    pub(super) fn may_be_applied(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE)
        )
    }

    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Done => None,
            Self::Retry(error) | Self::Refind(error) | Self::Abort(error) | Self::Fatal(error) => {
                error.code()
            }
        }
    }

    pub(super) fn map_error(self, change: impl FnOnce(Error) -> Error) -> Self {
        match self {
            Self::Done => Self::Done,
            Self::Retry(error) => Self::Retry(change(error)),
            Self::Refind(error) => Self::Refind(change(error)),
            Self::Abort(error) => Self::Abort(change(error)),
            Self::Fatal(error) => Self::Fatal(change(error)),
        }
    }
}
