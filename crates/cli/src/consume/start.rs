//! Where reading starts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use milena::{ConsumerHandle, Offset, Timestamp, TopicPartition};

use crate::failure::Failure;

/// Where reading starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    Beginning,
    End,
    At(Offset),
    /// So many records before the end of each partition.
    Last(i64),
    /// So long ago.
    Ago(Duration),
    /// At a time, in milliseconds since 1970.
    Time(i64),
}

impl Start {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let start = match text {
            "beginning" => Some(Self::Beginning),
            "end" => Some(Self::End),
            _ => match (text.strip_prefix("@-"), text.strip_prefix('@'), text.strip_prefix('-')) {
                (Some(ago), _, _) => duration(ago).map(Self::Ago),
                (None, Some(time), _) => time.parse().ok().filter(|ms| *ms >= 0).map(Self::Time),
                (None, None, Some(last)) => last.parse().ok().filter(|n| *n >= 0).map(Self::Last),
                (None, None, None) => text.parse().ok().and_then(Offset::new).map(Self::At),
            },
        };
        let forms = "beginning, end, an offset, -N for the last N records of each partition, @-1h, @MILLISECONDS";
        start.ok_or_else(|| format!("expected one of {forms}"))
    }

    /// Whether it is a place in the log that every partition has to be sought to.
    pub(super) fn is_sought(self) -> bool {
        !matches!(self, Self::Beginning | Self::End)
    }

    /// Moves `partitions` there.
    pub(super) async fn seek(
        self,
        handle: &ConsumerHandle,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), Failure> {
        let first = handle.beginning_offsets(partitions.clone()).await?;
        let ends = handle.end_offsets(partitions.clone()).await?;
        let time = match self {
            Self::Ago(age) => Some(
                now().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)).max(0),
            ),
            Self::Time(ms) => Some(ms),
            Self::Beginning | Self::End | Self::At(_) | Self::Last(_) => None,
        };
        let found = match time.and_then(Timestamp::from_wire) {
            Some(time) => {
                handle.offsets_for_times(partitions.into_iter().map(|tp| (tp, time))).await?
            }
            None => BTreeMap::new(),
        };
        for (partition, end) in ends {
            let first = first.get(&partition).copied().unwrap_or(end);
            let wanted = match self {
                Self::Beginning => first,
                Self::End => end,
                Self::At(offset) => offset,
                Self::Last(records) => {
                    Offset::new(end.get().saturating_sub(records)).unwrap_or(first)
                }
                // Without a record that young the next one is.
                Self::Ago(_) | Self::Time(_) => {
                    found.get(&partition).map_or(end, |found| found.offset)
                }
            };
            // Beyond the log there is nothing to reset to: the end is what comes next.
            handle.seek(partition, wanted.clamp(first, end.max(first))).await?;
        }
        Ok(())
    }
}

/// `90s`, `5m`, `1h`, `7d`.
fn duration(text: &str) -> Option<Duration> {
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[expect(clippy::disallowed_methods, reason = "the user means the time of this machine")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `0,2-5`: which partitions.
pub(super) fn partitions(text: &str) -> Result<Partitions, String> {
    let index = |text: &str| text.parse::<i32>().ok().filter(|index| *index >= 0);
    let ranges = text.split(',').map(|part| match part.split_once('-') {
        Some((first, last)) => {
            Some((index(first)?, index(last)?)).filter(|(first, last)| first <= last)
        }
        None => index(part).map(|index| (index, index)),
    });
    let ranges: Option<Vec<_>> = ranges.collect();
    ranges.map(Partitions).ok_or_else(|| "expected partitions as 0,2-5".to_owned())
}

/// Ranges of partitions, ends included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Partitions(Vec<(i32, i32)>);

impl Partitions {
    pub(super) fn has(&self, index: i32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_an_offset_a_count_or_a_time() {
        assert_eq!(Start::parse("beginning"), Ok(Start::Beginning));
        assert_eq!(Start::parse("end"), Ok(Start::End));
        assert_eq!(Start::parse("7"), Ok(Start::At(Offset::new(7).unwrap())));
        assert_eq!(Start::parse("-7"), Ok(Start::Last(7)));
        assert_eq!(Start::parse("@-2h"), Ok(Start::Ago(Duration::from_secs(7200))));
        assert_eq!(Start::parse("@1700000000000"), Ok(Start::Time(1_700_000_000_000)));
        for wrong in ["middle", "--7", "@-2", "@-h", "@", "@x", "-", "", "1h"] {
            assert!(Start::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn partitions_are_numbers_and_ranges() {
        let some = partitions("0,2-4").unwrap();
        let has: Vec<_> = (0..6).filter(|index| some.has(*index)).collect();
        assert_eq!(has, [0, 2, 3, 4]);
        for wrong in ["", "a", "4-2", "1,", "-1"] {
            assert!(partitions(wrong).is_err(), "{wrong}");
        }
    }
}
