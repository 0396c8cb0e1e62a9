//! Differences that are meant.

use super::differences::Allowed;

/// Each with its reason; one that no answer needs is an error.
pub(super) const ALLOWED: &[Allowed] = &[Allowed {
    request: "ApiVersions",
    path: "finalized_features_epoch",
    reason: "an offset of the metadata log, which differs from one start to the next",
}];
