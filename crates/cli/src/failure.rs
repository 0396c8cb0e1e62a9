//! What went wrong, told to a person, and the exit status that a script reads.

use std::fmt;
use std::process::ExitCode;

use milena::{Error, ErrorKind};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    status: u8,
}

impl Failure {
    /// A failure in words of its own.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: FAILED }
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: USAGE }
    }

    /// Something that the command was given and that does not exist.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: NOT_FOUND }
    }

    /// A command that the user did not let end.
    pub(crate) fn interrupted(lost: &str) -> Self {
        Self { message: format!("interrupted: {lost}"), status: INTERRUPTED }
    }

    /// The same failure with words before it.
    pub(crate) fn prefixed(mut self, words: &str) -> Self {
        self.message.insert_str(0, words);
        self
    }

    /// Prints it and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("milena: {}", self.message);
        ExitCode::from(self.status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        // What was waited for in vain says more than that it was waited for.
        let mut is_missing = error.kind() == ErrorKind::UnknownTopic;
        while let Some(deeper) = cause {
            let deeper_error = deeper.downcast_ref::<Error>();
            is_missing |= deeper_error.is_some_and(|e| e.kind() == ErrorKind::UnknownTopic);
            message.push_str(&format!(": {deeper}"));
            cause = deeper.source();
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other failures end alike")]
        let status = match error.kind() {
            ErrorKind::Config | ErrorKind::Misuse => USAGE,
            ErrorKind::Authentication | ErrorKind::Authorization => REFUSED,
            _ if is_missing => NOT_FOUND,
            ErrorKind::Timeout => TIMED_OUT,
            _ => FAILED,
        };
        if error.kind() == ErrorKind::Connection {
            message.push_str("\n  start one with `milena dev`, or name another with -b");
        }
        Self { message, status }
    }
}

impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Self {
        Self::new(cause.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 4;
const REFUSED: u8 = 5;
const TIMED_OUT: u8 = 124;
/// What a shell gives a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
