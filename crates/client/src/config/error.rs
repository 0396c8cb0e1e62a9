//! What can be wrong with a configuration.

use std::fmt;

use milena_engine::{Error, ErrorKind, Operation};

/// A configuration that cannot be used: which key, which value, and what to change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ConfigError(Fault);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Fault {
    Unknown { scope: Scope, key: String, hint: Hint },
    Malformed { key: String, value: String, expected: &'static str },
    OutOfRange { key: &'static str, value: String, range: &'static str },
    Conflict { first: &'static str, second: &'static str, rule: &'static str },
    Missing { key: &'static str, remedy: &'static str },
    Unsupported { key: String, reason: &'static str },
    Misplaced { key: String },
    Syntax { line: usize, problem: &'static str },
    Unreadable { path: String, problem: String },
}

/// Whose configuration a key belongs to, or is looked up in.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Scope {
    /// A handle that producers, consumers and admin calls share.
    Client,
    /// A producer.
    Producer,
    /// A consumer.
    Consumer,
    /// A share consumer.
    ShareConsumer,
}

/// What helps a user who wrote an unknown key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hint {
    /// A known key is spelled nearly so.
    DidYouMean(&'static str),
    /// The key exists elsewhere.
    BelongsTo(Scope),
    /// Nothing comes near.
    None,
}

impl ConfigError {
    pub(crate) fn unknown(scope: Scope, key: &str, hint: Hint) -> Self {
        Self(Fault::Unknown { scope, key: key.to_owned(), hint })
    }

    pub(crate) fn malformed(key: &str, value: &str, expected: &'static str) -> Self {
        Self(Fault::Malformed { key: key.to_owned(), value: value.to_owned(), expected })
    }

    pub(crate) fn out_of_range(key: &'static str, value: String, range: &'static str) -> Self {
        Self(Fault::OutOfRange { key, value, range })
    }

    pub(crate) fn conflict(first: &'static str, second: &'static str, rule: &'static str) -> Self {
        Self(Fault::Conflict { first, second, rule })
    }

    pub(crate) fn missing(key: &'static str, remedy: &'static str) -> Self {
        Self(Fault::Missing { key, remedy })
    }

    pub(crate) fn unsupported(key: &str, reason: &'static str) -> Self {
        Self(Fault::Unsupported { key: key.to_owned(), reason })
    }

    pub(crate) fn misplaced(key: &str) -> Self {
        Self(Fault::Misplaced { key: key.to_owned() })
    }

    pub(crate) fn syntax(line: usize, problem: &'static str) -> Self {
        Self(Fault::Syntax { line, problem })
    }

    pub(crate) fn unreadable(path: &std::path::Path, cause: &std::io::Error) -> Self {
        Self(Fault::Unreadable { path: path.display().to_string(), problem: cause.to_string() })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::ShareConsumer => "share consumer",
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::Unknown { scope, key, hint } => {
                write!(f, "unknown {scope} config \"{key}\"")?;
                match hint {
                    Hint::DidYouMean(name) => write!(f, "; did you mean \"{name}\"?"),
                    Hint::BelongsTo(owner) => write!(f, "; it belongs to a {owner}"),
                    Hint::None => Ok(()),
                }
            }
            Fault::Malformed { key, value, expected } => {
                write!(f, "config \"{key}\": \"{value}\" is not {expected}")
            }
            Fault::OutOfRange { key, value, range } => {
                write!(f, "config \"{key}\": {value} is out of range {range}")
            }
            Fault::Conflict { first, second, rule } => {
                write!(f, "configs \"{first}\" and \"{second}\" contradict each other: {rule}")
            }
            Fault::Missing { key, remedy } => write!(f, "config \"{key}\" is missing: {remedy}"),
            Fault::Unsupported { key, reason } => {
                write!(f, "config \"{key}\" is not supported: {reason}")
            }
            Fault::Misplaced { key } => write!(
                f,
                "config \"{key}\" holds for all connections: set it on `Kafka::builder()`"
            ),
            Fault::Syntax { line, problem } => write!(f, "properties line {line}: {problem}"),
            Fault::Unreadable { path, problem } => {
                write!(f, "properties file {path} cannot be read: {problem}")
            }
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::Config).during(Operation::Configure).with_detail(error.to_string())
    }
}
