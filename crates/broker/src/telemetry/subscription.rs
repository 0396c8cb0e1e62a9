//! One subscription to clients' metrics: a resource of the kind CLIENT_METRICS, and what is configured of it.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::ErrorCode;
use regex::{Regex, RegexBuilder};

use super::Attributes;
use crate::state::Refused;
use crate::topic::ConfigKind;

/// Which clients are to tell what, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    set: BTreeMap<String, String>,
    metrics: Vec<String>,
    interval_ms: i32,
    patterns: BTreeMap<Attribute, Regex>,
}

/// One name that a subscription's configuration may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubscriptionDefinition {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigKind,
    default: &'static str,
}

/// What clients are told apart by.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Attribute {
    InstanceId,
    ClientId,
    SoftwareName,
    SoftwareVersion,
    Address,
    Port,
}

impl Subscription {
    /// Every name, in the alphabet's order.
    pub(crate) const DEFINITIONS: &[SubscriptionDefinition] = DEFINITIONS;

    /// A subscription with these settings, the others by default.
    ///
    /// # Errors
    /// What Kafka's `ClientMetricsConfigs` says is wrong with them, in its order.
    pub(crate) fn new(set: BTreeMap<String, String>) -> Result<Self, Refused> {
        let is_known = |name: &&String| DEFINITIONS.iter().any(|known| known.name == **name);
        if let Some(unknown) = set.keys().find(|name| !is_known(name)) {
            let why = format!("Unknown client metrics configuration: {unknown}");
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        }
        let metrics = list(METRICS, set.get(METRICS))?;
        let interval = set.get(INTERVAL).map_or(Ok(INTERVAL_MS_DEFAULT), |value| {
            let why = || {
                format!(
                    "Invalid value {value} for configuration {INTERVAL}: Not a number of type INT"
                )
            };
            value.trim().parse().map_err(|_| invalid(why()))
        });
        let interval_ms = interval?;
        let matched = list(MATCH, set.get(MATCH))?;
        if !(INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&interval_ms) {
            let why = format!(
                "Invalid value {interval_ms} for {INTERVAL}, interval must be between 100 and 3600000 (1 hour)"
            );
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        }
        let patterns = matched.iter().map(|pattern| read_pattern(pattern));
        let patterns = patterns.collect::<Result<_, _>>()?;
        Ok(Self { set, metrics, interval_ms, patterns })
    }

    /// What is set, by name.
    pub(crate) fn set(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    /// The prefixes of the names of the metrics.
    pub(super) fn metrics(&self) -> &[String] {
        &self.metrics
    }

    pub(super) fn interval_ms(&self) -> i32 {
        self.interval_ms
    }

    /// Whether a client is meant: whatever is asked for of it is so.
    pub(super) fn takes(&self, client: &Attributes) -> bool {
        self.patterns.iter().all(|(attribute, pattern)| {
            client.get(*attribute).is_some_and(|value| pattern.is_match(value))
        })
    }
}

impl SubscriptionDefinition {
    /// The value as DescribeConfigs tells it, and whether it is set.
    pub(crate) fn value(&self, of: Option<&Subscription>) -> (String, bool) {
        let set = of.and_then(|subscription| subscription.set.get(self.name));
        let Some(set) = set else { return (self.default.to_owned(), false) };
        let told = if self.kind == ConfigKind::List {
            parts(set).collect::<Vec<_>>().join(",")
        } else {
            set.trim().parse::<i32>().map_or_else(|_| set.clone(), |number| number.to_string())
        };
        (told, true)
    }
}

impl Attribute {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "client_instance_id" => Self::InstanceId,
            "client_id" => Self::ClientId,
            "client_software_name" => Self::SoftwareName,
            "client_software_version" => Self::SoftwareVersion,
            "client_source_address" => Self::Address,
            "client_source_port" => Self::Port,
            _ => return None,
        })
    }
}

fn invalid(why: String) -> Refused {
    Refused::new(ErrorCode::INVALID_CONFIG, why)
}

/// The parts of a list, as Java's configurations are read: what comes up again is left out.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    let value = value.trim();
    let mut seen = BTreeSet::new();
    let parts = value.split(',').map(str::trim).filter(move |_| !value.is_empty());
    parts.filter(move |part| seen.insert(*part))
}

fn list(name: &str, value: Option<&String>) -> Result<Vec<String>, Refused> {
    let list: Vec<_> =
        value.into_iter().flat_map(|value| parts(value)).map(str::to_owned).collect();
    if list.iter().any(String::is_empty) {
        return Err(invalid(format!("Configuration '{name}' values must not be empty.")));
    }
    Ok(list)
}

fn read_pattern(text: &str) -> Result<(Attribute, Regex), Refused> {
    let illegal = || invalid(format!("Illegal client matching pattern: {text}"));
    // What Java's `split` makes of it: what is empty at the end is no part.
    let parts: Vec<_> = text.trim_end_matches('=').split('=').collect();
    let [name, pattern] = parts.as_slice() else { return Err(illegal()) };
    let attribute = Attribute::of(name.trim()).ok_or_else(illegal)?;
    let whole = format!(r"\A(?:{})\z", pattern.trim());
    if whole.len() > PATTERN_BYTES_MAX {
        return Err(illegal());
    }
    let built = RegexBuilder::new(&whole).size_limit(COMPILED_BYTES_MAX).build();
    Ok((attribute, built.map_err(|_| illegal())?))
}

const METRICS: &str = "metrics";
const INTERVAL: &str = "interval.ms";
const MATCH: &str = "match";

const DEFINITIONS: &[SubscriptionDefinition] = &[
    SubscriptionDefinition { name: INTERVAL, kind: ConfigKind::Int, default: "300000" },
    SubscriptionDefinition { name: MATCH, kind: ConfigKind::List, default: "" },
    SubscriptionDefinition { name: METRICS, kind: ConfigKind::List, default: "" },
];

/// Five minutes: how often clients push that nobody says more about.
pub(super) const INTERVAL_MS_DEFAULT: i32 = 300_000;
const INTERVAL_MS_MIN: i32 = 100;
const INTERVAL_MS_MAX: i32 = 3_600_000;

/// Names and versions of clients are shorter.
const PATTERN_BYTES_MAX: usize = 1_000;

/// Enough for every pattern of that length that does not repeat itself out of hand.
const COMPILED_BYTES_MAX: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(set: &[(&str, &str)]) -> Result<Subscription, String> {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Subscription::new(set.collect()).map_err(|refused| refused.message)
    }

    #[test]
    fn a_client_is_meant_where_all_is_so_and_as_a_whole() {
        let java = subscription(&[("match", " client_software_name = apache-.* , client_id=a|b ")]);
        let java = java.expect("legal");
        let client = |id: &str, name: &str| {
            Attributes::new([(Attribute::ClientId, id), (Attribute::SoftwareName, name)])
        };
        assert!(java.takes(&client("b", "apache-kafka-java")));
        assert!(!java.takes(&client("ab", "apache-kafka-java")), "as a whole");
        assert!(!java.takes(&client("a", "librdkafka")));
        assert!(!java.takes(&Attributes::new([(Attribute::ClientId, "a")])), "who says no name");
        assert!(subscription(&[]).expect("legal").takes(&client("", "")), "everybody");
    }

    #[test]
    fn what_is_wrong_is_told_in_kafkas_words() {
        for (name, value, why) in [
            ("no.such", "1", "Unknown client metrics configuration: no.such"),
            (
                "interval.ms",
                "99",
                "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
            ),
            (
                "interval.ms",
                "soon",
                "Invalid value soon for configuration interval.ms: Not a number of type INT",
            ),
            ("metrics", "a,,b", "Configuration 'metrics' values must not be empty."),
            ("match", "client_id", "Illegal client matching pattern: client_id"),
            ("match", "client_id=", "Illegal client matching pattern: client_id="),
            ("match", "client_id=a=b", "Illegal client matching pattern: client_id=a=b"),
            ("match", "nation=x", "Illegal client matching pattern: nation=x"),
            ("match", "client_id=(", "Illegal client matching pattern: client_id=("),
        ] {
            assert_eq!(subscription(&[(name, value)]).expect_err(value), why);
        }
    }

    #[test]
    fn lists_are_told_without_blanks_and_without_what_comes_again() {
        let set =
            subscription(&[("metrics", " a , b,a"), ("interval.ms", " 100 ")]).expect("legal");
        let told = DEFINITIONS.iter().map(|one| one.value(Some(&set)));
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [("100".to_owned(), true), (String::new(), false), ("a,b".to_owned(), true)]
        );
    }
}
