//! What single groups may be configured with (Kafka's `GroupConfig`).

use super::streams::StreamsConfig;
use crate::share::ShareConfig;
use crate::topic::ConfigKind;

/// One name that a group's configuration may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupDefinition {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigKind,
    /// What gives the default: the broker's setting, or itself.
    pub(crate) synonym: &'static str,
    rule: Rule,
}

/// Which values there are.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// Numbers: no broker allows less than `least`; a broker that is not told otherwise allows those between.
    Number { least: i64, min: Option<i64>, max: Option<i64> },
    /// These words, all where there are none; and what is said of others.
    Words(&'static [&'static str], &'static str),
}

impl GroupDefinition {
    /// The definition of a name.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        Self::all().find(|definition| definition.name == name)
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        ShareConfig::DEFINITIONS.iter().chain(StreamsConfig::DEFINITIONS)
    }

    /// A whole number.
    pub(crate) const fn number(
        name: &'static str,
        synonym: &'static str,
        least: i64,
        (min, max): (Option<i64>, Option<i64>),
    ) -> Self {
        Self { name, kind: ConfigKind::Int, synonym, rule: Rule::Number { least, min, max } }
    }

    /// A text.
    pub(crate) const fn text(
        name: &'static str,
        synonym: &'static str,
        words: &'static [&'static str],
        otherwise: &'static str,
    ) -> Self {
        Self { name, kind: ConfigKind::String, synonym, rule: Rule::Words(words, otherwise) }
    }

    /// The same, of another kind.
    pub(crate) const fn of_kind(self, kind: ConfigKind) -> Self {
        Self { kind, ..self }
    }

    /// Why a value is not taken.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        let name = self.name;
        let invalid =
            |why: &str| Err(format!("Invalid value {value} for configuration {name}: {why}"));
        let (least, min, max) = match self.rule {
            Rule::Words(words, _) if words.is_empty() || words.contains(&value) => return Ok(()),
            Rule::Words(_, otherwise) => return invalid(otherwise),
            Rule::Number { least, min, max } => (least, min, max),
        };
        let (kind, number) = if self.kind == ConfigKind::Long {
            ("LONG", value.parse::<i64>().ok())
        } else {
            ("INT", value.parse::<i32>().ok().map(i64::from))
        };
        let Some(number) = number else {
            return invalid(&format!("Not a number of type {kind}"));
        };
        let (is_small, is_large) =
            (min.is_some_and(|min| number < min), max.is_some_and(|max| number > max));
        match (min, max) {
            _ if number < least => invalid(&format!("Value must be at least {least}")),
            _ if !is_small && !is_large => Ok(()),
            (Some(min), Some(max)) => {
                Err(format!("{name} must be in the range {min} to {max} inclusive."))
            }
            (Some(min), None) => Err(format!("{name} must be greater than or equal to {min}")),
            (_, max) => {
                Err(format!("{name} must be less than or equal to {}", max.unwrap_or(i64::MAX)))
            }
        }
    }
}
