//! Which release of Apache Kafka a cluster plays.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use milena_types::{ApiKey, ErrorCode};

/// A release of Apache Kafka from 2.1 to 4.4, without its patch number.
///
/// 4.0 is 4.0.0: JoinGroup 0 and 1 are there again from 4.0.1 on (KAFKA-19444), as in 4.1.
///
/// # Examples
/// ```
/// use milena_broker::Release;
///
/// let release: Release = "3.9".parse()?;
/// assert!(release < Release::NEWEST);
/// assert_eq!("3.9.2".parse(), Ok(release));
/// assert!("3.10".parse::<Release>().is_err());
/// # Ok::<(), milena_broker::UnknownRelease>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Release {
    major: u8,
    minor: u8,
}

/// A text that names no release that can be played.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownRelease {
    text: String,
}

/// A feature that a cluster has as a whole, as its brokers know it (KIP-584).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// The levels that it may be set to.
    pub(crate) min: i16,
    pub(crate) max: i16,
    /// That of a cluster which is made anew.
    pub(crate) level: i16,
}

impl Release {
    /// 2.1, the oldest.
    pub const OLDEST: Self = Self::of(2, 1);

    /// 4.4, the newest.
    pub const NEWEST: Self = Self::of(4, 4);

    pub(crate) const fn of(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }

    /// All of them, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let minors = LAST_MINORS
            .iter()
            .flat_map(|&(major, last)| (0..=last).map(move |minor| Self::of(major, minor)));
        minors.filter(|release| *release >= Self::OLDEST)
    }

    /// The versions of each API that its brokers list.
    pub(crate) fn apis(self) -> BTreeMap<ApiKey, RangeInclusive<i16>> {
        lines().filter_map(|(api, history)| Some((api, versions(history, self)?))).collect()
    }

    /// The features that its brokers know and that change what is answered.
    pub(crate) fn features(self) -> impl Iterator<Item = Feature> {
        let feature = |name, [min, max, level]: [i16; 3]| Feature { name, min, max, level };
        let since = |first: Self| (self >= first).then_some(());
        let metadata_min = if self >= Self::of(4, 0) { METADATA_LEVEL_MIN } else { 1 };
        let metadata = METADATA_LEVELS.iter().find(|(release, _)| *release == self);
        let metadata =
            metadata.map(|(_, level)| feature(METADATA_VERSION, [metadata_min, *level, *level]));
        let transaction = since(Self::of(4, 0)).map(|()| feature(TRANSACTION_VERSION, [0, 2, 2]));
        let group = since(Self::of(4, 0)).map(|()| feature(GROUP_VERSION, [0, 1, 1]));
        let share = SHARE_LEVELS.iter().rfind(|(release, _)| *release <= self);
        let share = share.map(|(_, [max, level])| feature(SHARE_VERSION, [0, *max, *level]));
        let streams = STREAMS_LEVELS.iter().rfind(|(release, _)| *release <= self);
        let streams = streams.map(|(_, [max, level])| feature(STREAMS_VERSION, [0, *max, *level]));
        [metadata, transaction, group, share, streams].into_iter().flatten()
    }

    /// The level that a feature has in a cluster which is made anew; 0 for one that its brokers do not know.
    pub(crate) fn level(self, feature: &str) -> i16 {
        self.features().find(|known| known.name == feature).map_or(0, |known| known.level)
    }

    /// Whether the answer to an ApiVersions that is too new says which versions there are (KIP-511).
    pub(crate) fn tells_own_range(self) -> bool {
        self >= Self::of(2, 4)
    }

    /// Whether groups are coordinated as before the coordinator was written anew for KIP-848.
    pub(crate) fn has_first_coordinator(self) -> bool {
        self < Self::of(4, 0)
    }

    /// Whether groups have settings, which one may be allowed to see and to change (KIP-1043).
    pub(crate) fn has_group_configs(self) -> bool {
        self >= Self::of(4, 0)
    }

    /// Whether features are set, and refused, one by one.
    pub(crate) fn sets_features_apart(self) -> bool {
        self < Self::of(4, 0)
    }

    /// Whether Metadata makes a coordinator's topic that is not there, also where the client does not want topics made (before
    /// KAFKA-9751).
    pub(crate) fn makes_internal_topics_unasked(self) -> bool {
        self < Self::of(2, 8)
    }

    /// Whether brokers keep to ZooKeeper, and the controller is one of them.
    pub(crate) fn has_zookeeper(self) -> bool {
        self < Self::of(3, 3)
    }

    /// Whether the code INVALID_RECORD is there, for which CORRUPT_MESSAGE stood before.
    pub(crate) fn has_invalid_record(self) -> bool {
        self >= Self::of(2, 4)
    }

    /// Whether a Produce in which no batch can be found ends the connection, since it is read before it is judged.
    pub(crate) fn closes_on_unreadable_records(self) -> bool {
        self < Self::of(2, 8)
    }

    /// Whether a producer of which a partition knows nothing must begin at sequence 0 (up to KIP-360).
    pub(crate) fn refuses_unknown_producers(self) -> bool {
        self < Self::of(2, 5)
    }

    /// Whether Produce looks whether the partition takes part in the transaction (KIP-890).
    pub(crate) fn verifies_transactions(self) -> bool {
        self >= Self::of(3, 6)
    }

    /// Whether TxnOffsetCommit looks whether the group takes part in the transaction (KIP-890).
    pub(crate) fn verifies_offsets(self) -> bool {
        self >= Self::of(3, 7)
    }

    /// Whether offsets of a producer that was overtaken are refused: at first by the log that they go to.
    pub(crate) fn refuses_offsets_of_the_overtaken(self) -> bool {
        self >= Self::of(2, 5)
    }

    /// Whether a member may show itself while the leader assigns; before, it was to join anew.
    pub(crate) fn beats_while_assigning(self) -> bool {
        self >= Self::of(2, 6)
    }

    /// Whether a JoinGroup that is refused is answered no generation; before, one of 0.
    pub(crate) fn tells_no_generation(self) -> bool {
        self >= Self::of(2, 2)
    }

    /// Whether FindCoordinator says `NONE` of a success, and answers a kind of key that there is not.
    pub(crate) fn words_coordinators(self) -> bool {
        self >= Self::of(2, 3)
    }

    /// Whether DescribeConfigs tells empty words where it has none, and the kind of resource that it was asked for.
    pub(crate) fn words_configs(self) -> bool {
        self >= Self::of(2, 7)
    }

    /// Whether whoever makes a topic may leave count and factor to the brokers (KIP-464).
    pub(crate) fn has_topic_defaults(self) -> bool {
        self >= Self::of(2, 4)
    }

    /// Whether one request makes no more than 10,000 partitions.
    pub(crate) fn bounds_new_partitions(self) -> bool {
        self >= Self::of(3, 9)
    }

    /// Whether one request adds no more than those.
    pub(crate) fn bounds_added_partitions(self) -> bool {
        self >= Self::of(4, 0)
    }

    /// Whether a CreatePartitions that adds more than those is told so in words of its own.
    pub(crate) fn words_added_partitions(self) -> bool {
        self >= Self::of(4, 4)
    }

    /// What a topic's setting without value is refused with: the oldest controllers fall over it.
    pub(crate) fn null_setting(self) -> ErrorCode {
        match self {
            _ if self < Self::of(2, 6) => ErrorCode::UNKNOWN_SERVER_ERROR,
            _ if self.has_zookeeper() => ErrorCode::INVALID_REQUEST,
            _ => ErrorCode::INVALID_CONFIG,
        }
    }

    /// Whether settings of a topic that is not there are UNKNOWN_SERVER_ERROR.
    pub(crate) fn falls_over_unknown_topics(self) -> bool {
        self < Self::of(2, 6)
    }

    /// Whether ListOffsets tells epochs, for which it had a place before.
    pub(crate) fn lists_epochs(self) -> bool {
        self >= Self::of(2, 2)
    }

    /// Whether a time that stands for nothing is refused, and not looked for.
    pub(crate) fn refuses_unknown_times(self) -> bool {
        self >= Self::of(3, 9)
    }

    /// Whether a Fetch that knows no zstd is told of each unknown topic that it may have such.
    pub(crate) fn suspects_zstd(self) -> bool {
        self < Self::of(2, 2)
    }

    /// Whether a Fetch that knows no zstd gets nothing of a topic whose codec that is.
    pub(crate) fn keeps_zstd_back(self) -> bool {
        self < Self::of(4, 0)
    }

    /// Whether ListOffsets says of a partition that is asked for twice as often that this is not done.
    pub(crate) fn tells_each_double(self) -> bool {
        self >= Self::of(2, 8) && self < Self::of(4, 0)
    }

    /// Whether DescribeLogDirs names each topic of a directory, with no partitions where none was asked for.
    pub(crate) fn names_every_log(self) -> bool {
        self >= Self::of(2, 6) && self < Self::of(3, 8)
    }

    /// Whether CreateTopics and DeleteTopics answer a topic as often as it was asked for.
    pub(crate) fn answers_doubles(self) -> bool {
        self >= Self::of(2, 4) && self.has_zookeeper()
    }

    /// Whether of who commits in a transaction each thing is looked at that he says, and nothing that he does not.
    pub(crate) fn judges_committers_in_part(self) -> bool {
        self < Self::of(3, 0)
    }

    /// Whether no more replicas must be in sync than a partition has (KAFKA-15583).
    pub(crate) fn asks_for_no_more_than_all(self) -> bool {
        self >= Self::of(3, 7)
    }

    /// Whether a Fetch of what is unknown is answered an empty list of aborted transactions; before, none.
    pub(crate) fn lists_no_aborted(self) -> bool {
        self >= Self::of(3, 0)
    }

    /// Whether directories may be closed to new replicas (KIP-1066).
    pub(crate) fn cordons_directories(self) -> bool {
        self >= Self::of(4, 3)
    }

    /// Whether ApiVersions tells the features and the epoch at which they were finalized (KIP-584).
    pub(crate) fn tells_features(self) -> bool {
        self >= Self::of(2, 7)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Release {
    type Err = UnknownRelease;

    /// Reads `3.9` or `3.9.2`; the patch number changes nothing, so that `4.0.2` lists what 4.0.0 does.
    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        let release = release_of(text).filter(|release| Self::all().any(|known| known == *release));
        release.ok_or_else(|| UnknownRelease { text: text.to_owned() })
    }
}

impl fmt::Display for UnknownRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (oldest, newest) = (Release::OLDEST, Release::NEWEST);
        write!(f, "{:?} is no release of Kafka from {oldest} to {newest}, as 3.9", self.text)
    }
}

impl std::error::Error for UnknownRelease {}

fn release_of(text: &str) -> Option<Release> {
    let mut numbers = text.split('.').map(str::parse::<u8>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let patch = numbers.next();
    let is_whole = patch.is_none_or(|patch| patch.is_ok()) && numbers.next().is_none();
    is_whole.then_some(Release::of(major, minor))
}

/// Each API of the table with its history.
fn lines() -> impl Iterator<Item = (ApiKey, &'static str)> {
    TABLE.lines().filter_map(|line| {
        let (name, history) = line.split_once(' ')?;
        let api = ApiKey::ALL.iter().find(|api| api.name() == Some(name))?;
        Some((*api, history))
    })
}

/// What a history as `2.1:0-7 2.4:0-8` says of a release.
fn versions(history: &str, at: Release) -> Option<RangeInclusive<i16>> {
    let entries = history.split_whitespace().filter_map(|entry| {
        let (since, range) = entry.split_once(':')?;
        let (min, max) = range.split_once('-')?;
        Some((release_of(since)?, min.parse().ok()?..=max.parse().ok()?))
    });
    let of_release = entries.take_while(|(since, _)| *since <= at).last();
    of_release.map(|(_, versions)| versions)
}

pub(crate) const METADATA_VERSION: &str = "metadata.version";
pub(crate) const TRANSACTION_VERSION: &str = "transaction.version";
pub(crate) const GROUP_VERSION: &str = "group.version";
pub(crate) const SHARE_VERSION: &str = "share.version";
pub(crate) const STREAMS_VERSION: &str = "streams.version";

/// The last minor release of each major one.
const LAST_MINORS: &[(u8, u8)] = &[(2, 8), (3, 9), (4, 4)];

/// The APIs that the cluster answers, with the versions that each release lists.
const TABLE: &str = include_str!("release.txt");

/// The level of `metadata.version`; releases before play a cluster with ZooKeeper, which has none.
const METADATA_LEVELS: &[(Release, i16)] = &[
    (Release::of(3, 3), 7),
    (Release::of(3, 4), 8),
    (Release::of(3, 5), 11),
    (Release::of(3, 6), 14),
    (Release::of(3, 7), 19),
    (Release::of(3, 8), 20),
    (Release::of(3, 9), 21),
    (Release::of(4, 0), 25),
    (Release::of(4, 1), 27),
    (Release::of(4, 2), 29),
    (Release::of(4, 3), 30),
    (Release::of(4, 4), 33),
];

/// 3.3-IV3 is the oldest metadata that Kafka 4 knows.
const METADATA_LEVEL_MIN: i16 = 7;

/// The greatest level of `share.version` and that of a new cluster, since when.
const SHARE_LEVELS: &[(Release, [i16; 2])] =
    &[(Release::of(4, 1), [1, 0]), (Release::of(4, 2), [1, 1]), (Release::of(4, 4), [2, 2])];

/// The same of `streams.version`.
const STREAMS_LEVELS: &[(Release, [i16; 2])] = &[(Release::of(4, 2), [1, 1])];

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that cannot be read would take its API away from every release without a word.
    #[test]
    fn every_line_of_the_table_is_read_whole() {
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let (name, history) = line.split_once(' ').expect("a name and its history");
            assert!(lines().any(|(api, _)| api.name() == Some(name)), "{name} is no API");
            let mut before = None;
            for entry in history.split(' ') {
                let since = entry.split_once(':').and_then(|(since, _)| since.parse().ok());
                let since: Release = since.expect(entry);
                assert!(before < Some(since), "{line}: {entry} comes late");
                let read = versions(entry, since).expect(entry);
                assert_eq!(entry, format!("{since}:{}-{}", read.start(), read.end()));
                before = Some(since);
            }
        }
    }

    #[test]
    fn every_api_that_is_answered_is_in_the_table() {
        let newest = Release::NEWEST.apis();
        for (api, answered) in crate::api::APIS {
            let listed = newest.get(api).unwrap_or_else(|| panic!("{api:?} is not listed"));
            assert!(listed.contains(&answered.max), "{api:?} is answered beyond {listed:?}");
        }
    }

    #[test]
    fn releases_are_read_and_printed() {
        let texts: Vec<_> = Release::all().map(|release| release.to_string()).collect();
        assert_eq!(texts.len(), 23);
        assert_eq!((texts[0].as_str(), texts[22].as_str()), ("2.1", "4.4"));
        for text in &texts {
            assert_eq!(text.parse::<Release>().expect(text).to_string(), *text);
        }
        for text in ["2.0", "3.10", "4.5", "4", "", "3.9.x", "3.9.2.1"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
    }
}
