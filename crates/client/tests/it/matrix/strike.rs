//! What may go wrong with one request, and how a cell makes it happen.

use std::fmt;
use std::time::Duration;

use milena_broker::{Broker, on};
use milena_types::{ApiKey, ErrorCode};

/// What becomes of the first request of an API, or of all of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Strike {
    /// The first is answered with this.
    Code(ErrorCode),
    /// The first is lost on its way.
    LostBefore,
    /// The first is carried out and its answer lost.
    LostAfter,
    /// The answer to the first comes when nobody waits for it any more.
    Late,
    /// The first is carried out when nobody waits for it any more.
    LateApplied,
    /// Half of the first answer comes.
    Cut,
    /// The first answer says that the client was throttled.
    Throttled,
    /// The first answer is another request's, by its correlation id.
    WrongCorrelation,
    /// The version of the API that the client would use is gone, for all time.
    VersionWithdrawn,
    /// All are lost on their way.
    LostForEver,
    /// Connections on which one was asked stand still.
    Silence,
    /// A byte of the first answer is another one. Nothing but TCP guards against that in most messages: whatever the
    /// client makes of it, it ends.
    Corrupt,
}

use Strike as S;

/// What passes and is asked again, nearly everywhere.
pub(super) const PASSING: &[Strike] = &[
    S::LostBefore,
    S::LostAfter,
    S::Late,
    S::LateApplied,
    S::Cut,
    S::Throttled,
    S::WrongCorrelation,
    S::VersionWithdrawn,
];

impl Strike {
    pub(super) const FAULTS: [Self; 11] = [
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
        S::Corrupt,
    ];

    /// Whether the broker's answer may say that records are stored which are not, or the other way round.
    pub(super) fn may_lie(self) -> bool {
        matches!(self, S::Code(ErrorCode::DUPLICATE_SEQUENCE_NUMBER) | S::Corrupt)
    }

    /// Lets it happen to requests of `api`.
    pub(super) fn lay(self, broker: &Broker, api: ApiKey) {
        // Of the requests for metadata those that the scene waits for: others are made in the background.
        let all = if api == ApiKey::METADATA { on(api).topic("t") } else { on(api) };
        let first = all.clone().nth(1);
        let rule = match self {
            S::Code(code) => first.error(code),
            S::LostBefore => first.drop_request(),
            S::LostAfter => first.apply_then_drop(),
            S::Late => first.delay_answer(TOO_LATE),
            S::LateApplied => first.delay_request(TOO_LATE),
            S::Cut => first.truncate(),
            S::Throttled => first.throttle(Duration::from_secs(3)),
            S::WrongCorrelation => first.wrong_correlation(),
            S::LostForEver => all.drop_request(),
            S::Silence => all.hang(),
            S::Corrupt => first.corrupt(),
            S::VersionWithdrawn => {
                broker.with(|cluster, _| cluster.withdraw_version(api));
                return;
            }
        };
        broker.add_fault(rule);
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Code(code) = self {
            f.write_str(code.name().unwrap_or("UNHEARD_OF"))
        } else {
            write!(f, "{self:?}")
        }
    }
}

/// Beyond `request.timeout.ms`, 30 s.
const TOO_LATE: Duration = Duration::from_secs(35);
