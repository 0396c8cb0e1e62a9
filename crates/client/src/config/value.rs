//! How a setting's value is read from Java's text and written back.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A list of names.
pub(super) type Strings = Vec<String>;
/// A time that may be without limit.
pub(super) type Limit = Option<Duration>;
/// A size that may be left to the operating system.
pub(super) type SocketBuffer = Option<u32>;
/// Text that may be absent.
pub(super) type Text = Option<String>;

/// A value that a key may hold.
pub(super) trait Value: Sized {
    /// Java's name for the type.
    const TYPE: &'static str;
    /// What the text must be, for the error of one that is not.
    const EXPECTED: &'static str;
    /// The numbers that Java's type has: a typed setter may be given more.
    const RANGE: RangeInclusive<i64> = i64::MIN..=i64::MAX;

    /// The value that a typed setter takes over: no time may be longer than text can say, or no clock could reckon with it.
    fn within_bounds(self) -> Self {
        self
    }

    /// Reads the value; `None` where the text is not one.
    fn parse(text: &str) -> Option<Self>;

    /// The value as Java writes it.
    fn show(&self) -> String;

    /// The number that a range is held against, for values that have one.
    fn number(&self) -> Option<i64> {
        None
    }
}

impl Value for bool {
    const TYPE: &'static str = "boolean";
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Some(true),
            _ if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for i32 {
    const TYPE: &'static str = "int";
    const EXPECTED: &'static str = "a whole number";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn number(&self) -> Option<i64> {
        Some(i64::from(*self))
    }
}

/// Sizes and counts: Java's `int` without the negative half.
impl Value for u32 {
    const TYPE: &'static str = "int";
    const EXPECTED: &'static str = "a whole number from 0 to 2147483647";
    const RANGE: RangeInclusive<i64> = 0..=2_147_483_647;

    fn parse(text: &str) -> Option<Self> {
        text.parse::<i32>().ok().and_then(|number| number.try_into().ok())
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn number(&self) -> Option<i64> {
        Some(i64::from(*self))
    }
}

impl Value for u64 {
    const TYPE: &'static str = "long";
    const EXPECTED: &'static str = "a whole number, 0 or more";

    fn parse(text: &str) -> Option<Self> {
        text.parse::<i64>().ok().and_then(|number| number.try_into().ok())
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn number(&self) -> Option<i64> {
        Some(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

/// A buffer's size, -1 for what the operating system chooses.
impl Value for Option<u32> {
    const TYPE: &'static str = "int";
    const EXPECTED: &'static str = "a number of bytes, or -1 for the operating system's choice";
    const RANGE: RangeInclusive<i64> = -1..=2_147_483_647;

    fn parse(text: &str) -> Option<Self> {
        if text == "-1" { Some(None) } else { u32::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.map_or_else(|| "-1".to_owned(), |number| number.to_string())
    }

    fn number(&self) -> Option<i64> {
        Some(self.map_or(-1, i64::from))
    }
}

impl Value for Duration {
    const TYPE: &'static str = "long";
    const EXPECTED: &'static str = "a whole number of milliseconds, 0 or more";

    fn parse(text: &str) -> Option<Self> {
        u64::parse(text).map(Self::from_millis)
    }

    fn show(&self) -> String {
        self.as_millis().to_string()
    }

    fn within_bounds(self) -> Self {
        self.min(Self::from_millis(i64::MAX.unsigned_abs()))
    }

    fn number(&self) -> Option<i64> {
        Some(i64::try_from(self.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A time limit, negative for none.
impl Value for Option<Duration> {
    const TYPE: &'static str = "long";
    const EXPECTED: &'static str = "a whole number of milliseconds, or -1 for no limit";

    fn parse(text: &str) -> Option<Self> {
        let number = text.parse::<i64>().ok()?;
        Some(u64::try_from(number).ok().map(Duration::from_millis))
    }

    fn show(&self) -> String {
        self.map_or_else(|| "-1".to_owned(), |limit| limit.show())
    }

    fn within_bounds(self) -> Self {
        self.map(Value::within_bounds)
    }

    fn number(&self) -> Option<i64> {
        Some(self.and_then(|limit| limit.number()).unwrap_or(-1))
    }
}

impl Value for String {
    const TYPE: &'static str = "string";
    const EXPECTED: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Text whose absence differs from the empty one; no text stands for it.
impl Value for Option<String> {
    const TYPE: &'static str = "string";
    const EXPECTED: &'static str = "text of at least one letter";

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { Some(Some(text.to_owned())) }
    }

    fn show(&self) -> String {
        self.clone().unwrap_or_default()
    }
}

/// Comma-separated; spaces around the commas do not count.
impl Value for Vec<String> {
    const TYPE: &'static str = "list";
    const EXPECTED: &'static str = "names separated by commas";

    fn parse(text: &str) -> Option<Self> {
        Some(list(text))
    }

    fn show(&self) -> String {
        self.join(",")
    }
}

/// The names in `text`, which may have spaces around its commas.
pub(super) fn list(text: &str) -> Strings {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

/// Java's words for the variants of an enum; the first of each is written, the others are read as well.
macro_rules! words {
    ($name:ident: $expected:literal { $($variant:ident = $text:literal $(| $alias:literal)*,)+ }) => {
        impl $crate::config::value::Value for $name {
            const TYPE: &'static str = "string";
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                $(
                    if text.eq_ignore_ascii_case($text) $(|| text == $alias)* {
                        return Some(Self::$variant);
                    }
                )+
                None
            }

            fn show(&self) -> String {
                #[allow(unreachable_patterns, reason = "some of these enums may grow")]
                match self {
                    $(Self::$variant => $text.to_owned(),)+
                    _ => String::new(),
                }
            }
        }
    };
}
pub(super) use words;
