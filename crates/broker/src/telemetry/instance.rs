//! One client as a node knows it that was told what to push.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Uuid};

use super::subscriptions::Demand;
use super::{Attribute, Subscriptions};

/// What there is to know of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes(BTreeMap<Attribute, String>);

/// A client, what it was told and when it spoke.
#[derive(Debug)]
pub(crate) struct Instance {
    attributes: Attributes,
    demand: Demand,
    /// How often subscriptions had been changed when it was told.
    changes: u64,
    asked_at: Option<Instant>,
    pushed_at: Option<Instant>,
    is_terminating: bool,
    last_error: ErrorCode,
    pub(super) expires_at: Instant,
}

/// What of a push is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    pub(crate) subscription_id: i32,
    pub(crate) is_terminating: bool,
    pub(crate) is_compression_known: bool,
    pub(crate) bytes: usize,
    pub(crate) bytes_max: usize,
}

impl Attributes {
    pub(crate) fn new<'a>(known: impl IntoIterator<Item = (Attribute, &'a str)>) -> Self {
        Self(known.into_iter().map(|(attribute, value)| (attribute, value.to_owned())).collect())
    }

    pub(super) fn get(&self, attribute: Attribute) -> Option<&str> {
        self.0.get(&attribute).map(String::as_str)
    }
}

impl Instance {
    pub(super) fn new(
        now: Instant,
        id: Uuid,
        attributes: Attributes,
        subscriptions: &Subscriptions,
    ) -> Self {
        Self {
            demand: subscriptions.demand(id, &attributes),
            attributes,
            changes: subscriptions.changes(),
            asked_at: None,
            pushed_at: None,
            is_terminating: false,
            last_error: ErrorCode::NONE,
            expires_at: now,
        }
    }

    /// The same client, as it is to be told anew.
    pub(super) fn anew(&self, now: Instant, id: Uuid, subscriptions: &Subscriptions) -> Self {
        Self::new(now, id, self.attributes.clone(), subscriptions)
    }

    /// Whether subscriptions were changed since it was told.
    pub(super) fn is_outdated(&self, subscriptions: &Subscriptions) -> bool {
        self.changes < subscriptions.changes()
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.demand.interval_ms).unwrap_or_default())
    }

    /// The client asks what to push: not more often than it is to push, unless it was refused for want of knowledge.
    pub(crate) fn ask(&mut self, now: Instant) -> Result<&Demand, ErrorCode> {
        let last = self.asked_at.max(self.pushed_at);
        if self.is_due(now, last) {
            self.asked_at = Some(now);
        } else if !matches!(
            self.last_error,
            ErrorCode::UNKNOWN_SUBSCRIPTION_ID | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
        ) {
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        self.last_error = ErrorCode::NONE;
        Ok(&self.demand)
    }

    /// The client pushes.
    pub(crate) fn push(&mut self, now: Instant, push: Push) -> Result<(), ErrorCode> {
        let judged = self.judge(now, push);
        self.is_terminating = push.is_terminating;
        self.last_error = judged.err().unwrap_or(ErrorCode::NONE);
        judged
    }

    /// In Kafka's order.
    fn judge(&mut self, now: Instant, push: Push) -> Result<(), ErrorCode> {
        if self.is_terminating {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        // The first push after the question comes at a random time of the interval.
        let may = self.asked_at > self.pushed_at || self.is_due(now, self.pushed_at);
        if may {
            self.pushed_at = Some(now);
        } else if !push.is_terminating {
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        if push.subscription_id != self.demand.subscription_id {
            return Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID);
        }
        if !push.is_compression_known {
            return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        }
        if push.bytes > push.bytes_max {
            return Err(ErrorCode::TELEMETRY_TOO_LARGE);
        }
        Ok(())
    }

    /// Takes note that something else is wrong with what it pushed.
    pub(crate) fn refuse(&mut self, code: ErrorCode) -> ErrorCode {
        self.last_error = code;
        code
    }

    fn is_due(&self, now: Instant, last: Option<Instant>) -> bool {
        last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval())
    }
}
