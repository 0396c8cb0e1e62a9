//! Why bytes could not be read, or a message could not be written.

use std::fmt;

/// Bytes that are not the message that they should be.
///
/// Small on the happy path: the place is put together only while the error travels up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DecodeError(Box<Inner>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Inner {
    kind: DecodeErrorKind,
    offset: usize,
    path: String,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    Truncated,
    /// A length or count is negative where none may be, or claims more than the bytes that remain can hold.
    LengthOutOfRange,
    /// A variable-length number has more bits than its type.
    VarintOverflow,
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// A null where this version allows none.
    UnexpectedNull,
    /// Tags that do not ascend, or a tagged field longer or shorter than it says.
    InvalidTaggedFields,
    /// Bytes are left over after the last field.
    TrailingBytes,
    /// The message would hold far more memory than it has bytes.
    TooLarge,
    /// The schema knows no such API or version.
    UnsupportedVersion,
}

impl DecodeError {
    pub(crate) fn new(kind: DecodeErrorKind, offset: usize, field: &'static str) -> Self {
        Self(Box::new(Inner { kind, offset, path: field.to_owned() }))
    }

    /// Puts the field, and where it is an array the element, before the path so far.
    #[must_use]
    pub(crate) fn within(mut self, field: &'static str, index: Option<usize>) -> Self {
        let index = index.map(|index| format!("[{index}]")).unwrap_or_default();
        let dot = if self.0.path.is_empty() { "" } else { "." };
        self.0.path = format!("{field}{index}{dot}{}", self.0.path);
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// How many bytes into the frame.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// In which field, as `topics[3].partitions[0].records`.
    pub fn path(&self) -> &str {
        &self.0.path
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.kind {
            DecodeErrorKind::Truncated => "the bytes end early",
            DecodeErrorKind::LengthOutOfRange => "a length is out of range",
            DecodeErrorKind::VarintOverflow => "a variable-length number overflows",
            DecodeErrorKind::InvalidUtf8 => "text is not UTF-8",
            DecodeErrorKind::UnexpectedNull => "a null where none may be",
            DecodeErrorKind::InvalidTaggedFields => "tagged fields are malformed",
            DecodeErrorKind::TrailingBytes => "bytes are left over",
            DecodeErrorKind::TooLarge => "it would need far more memory than it has bytes",
            DecodeErrorKind::UnsupportedVersion => "no such API or version",
        };
        write!(f, "{what} at byte {}, field {}", self.0.offset, self.0.path)
    }
}

impl std::error::Error for DecodeError {}

/// A message that cannot be written in the version asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The field has a value that the version has no place for, and that must not be left out.
    UnsupportedField {
        /// The field's name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is null and the version allows none.
    UnexpectedNull {
        /// The field's name.
        field: &'static str,
    },
    /// Text, bytes, an array or the whole frame is longer than its length field can say.
    TooLong,
    /// The schema knows no such version.
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedField { field, version } => {
                write!(f, "version {version} has no field {field}, which is set")
            }
            Self::UnexpectedNull { field } => write!(f, "field {field} may not be null"),
            Self::TooLong => f.write_str("a value is longer than its length field can say"),
            Self::UnsupportedVersion { version } => write!(f, "no version {version}"),
        }
    }
}

impl std::error::Error for EncodeError {}
