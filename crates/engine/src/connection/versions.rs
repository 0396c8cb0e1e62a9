//! What a broker speaks.

use std::collections::BTreeMap;

use milena_types::ApiKey;
use milena_wire::Request;

/// What a broker said of itself: versions of its APIs, and features of its cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Versions {
    ranges: BTreeMap<ApiKey, Range>,
    supported: BTreeMap<Box<str>, Range>,
    finalized: BTreeMap<Box<str>, Range>,
    finalized_epoch: Option<i64>,
}

/// From the first to the last, both included.
type Range = (i16, i16);

impl Versions {
    /// A broker that speaks these ranges, as (api, lowest, highest).
    pub fn new(ranges: impl IntoIterator<Item = (ApiKey, i16, i16)>) -> Self {
        let ranges = ranges.into_iter().map(|(api, min, max)| (api, (min, max))).collect();
        Self { ranges, ..Self::default() }
    }

    /// The same with features: supported and finalized ones as (name, lowest, highest), and the epoch of the latter.
    #[must_use]
    pub fn with_features(
        self,
        supported: impl IntoIterator<Item = (String, i16, i16)>,
        finalized: impl IntoIterator<Item = (String, i16, i16)>,
        finalized_epoch: Option<i64>,
    ) -> Self {
        let named = |(name, min, max): (String, i16, i16)| (name.into_boxed_str(), (min, max));
        Self {
            supported: supported.into_iter().map(named).collect(),
            finalized: finalized.into_iter().map(named).collect(),
            finalized_epoch,
            ..self
        }
    }

    /// The highest version of `api` that the broker and this client speak, between `min` and `max`.
    pub fn pick(&self, api: ApiKey, min: i16, max: i16) -> Option<i16> {
        let ours = Request::versions(api)?;
        let (theirs_min, theirs_max) = *self.ranges.get(&api)?;
        let lowest = min.max(*ours.start()).max(theirs_min);
        let highest = max.min(*ours.end()).min(theirs_max);
        (lowest <= highest).then_some(highest)
    }

    /// The highest level of a feature that the cluster has agreed on (KIP-584), as of `transaction.version`.
    pub fn finalized(&self, feature: &str) -> Option<i16> {
        self.finalized.get(feature).map(|(_, max)| *max)
    }

    /// The levels of a feature that this broker supports.
    pub fn supported(&self, feature: &str) -> Option<(i16, i16)> {
        self.supported.get(feature).copied()
    }

    /// Counts the changes of the finalized features: of two brokers the higher one knows better.
    pub fn finalized_epoch(&self) -> Option<i64> {
        self.finalized_epoch
    }
}
