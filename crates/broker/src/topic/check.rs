//! Which values settings of topics may have.

use super::config::{ConfigKind, Definition, LogDefaults};
use crate::broker_definition::{limits_of, words_of};
use crate::release::Release;

use std::collections::BTreeMap;

impl Definition {
    /// Why a topic may not have this value. The validators are those of `LogConfig` in 4.4.0, 3.9.2, 2.8.2 and 2.1.1, asked of its
    /// classes; what came between is known from the first of them that has it.
    pub(super) fn check(&self, value: &str, release: Release) -> Result<(), String> {
        let name = self.name;
        self.kind.check(name, value)?;
        let normal = self.kind.normal(value);
        let wrong =
            |what: &str| Err(format!("Invalid value {normal} for configuration {name}: {what}"));
        let number = normal.parse::<f64>().unwrap_or_default();
        if name == "compression.gzip.level" && number != -1.0 && !(1.0..=9.0).contains(&number) {
            return wrong("Value must be between 1 and 9 or equal to -1");
        }
        let (least, most) = self.limits(release);
        if let Some(least) = least.filter(|least| number < *least as f64) {
            return wrong(&format!("Value must be at least {least}"));
        }
        if let Some(most) = most.filter(|most| number > *most as f64) {
            return wrong(&format!("Value must be no more than {most}"));
        }
        match name {
            "cleanup.policy" if release >= Release::of(4, 1) && has_gap(&normal) => {
                Err(format!("Configuration '{name}' values must not be empty."))
            }
            "remote.storage.enable" if normal == "true" => Err(NOT_TIERED.to_owned()),
            FOLLOWERS_THROTTLED | LEADERS_THROTTLED if !are_replicas(&normal) => {
                let form = match release >= Release::of(2, 8) {
                    true => "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    false => "[partitionId],[brokerId]:[partitionId],[brokerId]:...",
                };
                let listed = normal.replace(',', ", ");
                let what = "must be the literal '*' or a list of replicas in the following format:";
                Err(format!(
                    "Invalid value [{listed}] for configuration {name}: {name} {what} {form}"
                ))
            }
            _ => self.check_words(name, value),
        }
    }

    /// Why none of the words of the value, or all of it, may be said of brokers or topics.
    pub(crate) fn check_words(&self, name: &str, value: &str) -> Result<(), String> {
        let normal = self.kind.normal(value);
        let words = match self.name {
            "cleanup.policy" => &["compact", "delete"],
            "message.timestamp.type" => &["CreateTime", "LogAppendTime"],
            _ => words_of(self.name).unwrap_or_default(),
        };
        let is_list = self.kind == ConfigKind::List;
        if is_list && normal.is_empty() {
            return Ok(());
        }
        let mut said = if is_list { normal.split(',').collect() } else { vec![&*normal] };
        said.retain(|word| !words.is_empty() && !words.contains(word));
        match said.first() {
            None => Ok(()),
            Some(word) => Err(format!(
                "Invalid value {word} for configuration {name}: String must be one of: {}",
                words.join(", ")
            )),
        }
    }

    /// How a topic's value is described: as it was read.
    pub(crate) fn told(&self, value: &str, release: Release) -> String {
        let normal = self.kind.normal(value);
        if self.name != "cleanup.policy" || release < Release::of(4, 1) {
            return normal;
        }
        let mut words: Vec<&str> = Vec::new();
        for word in normal.split(',') {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words.join(",")
    }

    /// From where to where a topic's value may go.
    fn limits(&self, release: Release) -> (Option<i64>, Option<i64>) {
        match self.name {
            "flush.ms" | "segment.jitter.ms" => (Some(0), None),
            "segment.ms" => (Some(1), None),
            "retention.ms" if release >= Release::of(2, 8) => (Some(-1), None),
            "retention.ms" => (None, None),
            // KIP-1030, which came to topics after brokers.
            "segment.bytes" if release < Release::of(4, 1) => (Some(14), None),
            "flush.messages" | "segment.index.bytes" if release < Release::of(3, 0) => {
                (Some(0), None)
            }
            _ => self.broker_name().map_or((None, None), |name| limits_of(name, release)),
        }
    }
}

/// Why these values do not go together.
pub(super) fn check_together(
    set: &BTreeMap<String, String>,
    defaults: &LogDefaults,
    release: Release,
) -> Result<(), String> {
    let lag = |name: &str| {
        let default = Definition::of(name, release)?.default;
        let of_brokers = || defaults.get(name).map_or(default, String::as_str);
        set.get(name).map_or_else(of_brokers, String::as_str).trim().parse::<i64>().ok()
    };
    match (lag(MIN_LAG), lag(MAX_LAG)) {
        (Some(min), Some(max)) if min > max => {
            Err(format!("conflict topic config setting {MIN_LAG} ({min}) > {MAX_LAG} ({max})"))
        }
        _ => Ok(()),
    }
}

impl ConfigKind {
    /// Why a value is not of this kind.
    pub(crate) fn check(self, name: &str, value: &str) -> Result<(), String> {
        let trimmed = value.trim();
        let (is_well_typed, what) = match self {
            Self::Boolean => {
                let is_one = |word: &&str| trimmed.eq_ignore_ascii_case(word);
                let is_known = ["true", "false"].iter().any(is_one);
                (is_known, "Expected value to be either true or false")
            }
            Self::Int => (trimmed.parse::<i32>().is_ok(), "Not a number of type INT"),
            Self::Short => (trimmed.parse::<i16>().is_ok(), "Not a number of type SHORT"),
            Self::Long => (trimmed.parse::<i64>().is_ok(), "Not a number of type LONG"),
            Self::Double => (trimmed.parse::<f64>().is_ok(), "Not a number of type DOUBLE"),
            Self::String | Self::List | Self::Class | Self::Password | Self::Unknown => (true, ""),
        };
        match is_well_typed {
            true => Ok(()),
            false => Err(format!("Invalid value {value} for configuration {name}: {what}")),
        }
    }

    /// How Kafka writes what it read of a value (`ConfigDef.convertToString`).
    pub(crate) fn normal(self, value: &str) -> String {
        let trimmed = value.trim();
        match self {
            Self::Boolean => trimmed.to_ascii_lowercase(),
            Self::Int | Self::Short | Self::Long => {
                trimmed.parse::<i64>().map_or_else(|_| trimmed.to_owned(), |n| n.to_string())
            }
            Self::Double => trimmed.parse().map_or_else(|_| trimmed.to_owned(), java_double),
            Self::List => trimmed.split(',').map(str::trim).collect::<Vec<_>>().join(","),
            Self::String | Self::Class | Self::Password | Self::Unknown => trimmed.to_owned(),
        }
    }
}

/// As Java writes such a number: with a fraction, and with an exponent below a thousandth and from ten millions on.
fn java_double(number: f64) -> String {
    let is_plain = number == 0.0 || (1e-3..1e7).contains(&number.abs());
    if is_plain || !number.is_finite() {
        return format!("{number:?}").replace("inf", "Infinity");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, power)) if !digits.contains('.') => format!("{digits}.0E{power}"),
        _ => text,
    }
}

/// Whether there is nothing between two commas of it.
fn has_gap(list: &str) -> bool {
    !list.is_empty() && list.split(',').any(str::is_empty)
}

/// Replicas as partition and broker, or all of them.
fn are_replicas(list: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_replica = |text: &str| {
        let parts = text.split_once(':');
        text.is_empty() || parts.is_some_and(|(at, of)| is_number(at) && is_number(of))
    };
    list.split(',').all(is_replica) || list.replace(',', "") == "*"
}

const FOLLOWERS_THROTTLED: &str = "follower.replication.throttled.replicas";
const LEADERS_THROTTLED: &str = "leader.replication.throttled.replicas";
const MIN_LAG: &str = "min.compaction.lag.ms";
const MAX_LAG: &str = "max.compaction.lag.ms";

const NOT_TIERED: &str = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_in_the_table_is_a_legal_value_in_its_release() {
        for release in Release::all() {
            for definition in Definition::all(release) {
                let checked = definition.check(definition.default, release);
                assert_eq!(checked, Ok(()), "{} in {release}", definition.name);
            }
        }
    }

    /// `Double.toString` of OpenJDK.
    #[test]
    fn values_are_written_as_java_does() {
        use ConfigKind::{Boolean, Double, List, Long};
        for (kind, text, normal) in [
            (Double, "7", "7.0"),
            (Double, ".5", "0.5"),
            (Double, "1e-4", "1.0E-4"),
            (Double, "12345678", "1.2345678E7"),
            (Long, " 0060000", "60000"),
            (Boolean, "TRUE ", "true"),
            (List, " compact , delete", "compact,delete"),
            (List, " ", ""),
        ] {
            assert_eq!(kind.normal(text), normal);
        }
    }
}
