//! One key of the configuration, and the table that parser, setters and docs come from.

use super::Scope;

/// What is known of a configuration key.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Key {
    /// Whose key it is. A handle takes the keys of producers and consumers too, as defaults of those that it builds.
    pub scope: Scope,
    /// Java's name, as `linger.ms`.
    pub name: &'static str,
    /// The builder's method; empty for a key without effect.
    pub setter: &'static str,
    /// Java's type: `boolean`, `int`, `long`, `string`, `list`, `double`, `short`, `class` or `password`.
    pub kind: &'static str,
    /// The default as Java writes it; empty for none.
    pub default: &'static str,
    /// The values allowed: a range of numbers, as `1..=17`, or words; empty for a key without effect.
    pub valid: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Whether it has an effect here.
    pub support: Support,
}

/// Whether a key of the Java client has an effect here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Support {
    /// It does what it does in Java.
    Implemented,
    /// It is taken so that Java's files load, and ignored for this reason.
    Ignored(&'static str),
    /// It is refused for this reason: ignoring it would do harm.
    Refused(&'static str),
    /// It is taken with this one value, which is how things are here; another is refused.
    Only {
        /// The value, in either case of its letters.
        value: &'static str,
        /// Why another is refused.
        why: &'static str,
    },
}

impl Key {
    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        self.kind == "password"
    }

    const fn without_effect(
        scope: Scope,
        (name, kind): (&'static str, &'static str),
        doc: &'static str,
        support: Support,
    ) -> Self {
        Self { scope, name, setter: "", kind, default: "", valid: "", doc, support }
    }

    /// A key that may be ignored.
    pub(super) const fn ignored(
        scope: Scope,
        name: &'static str,
        kind: &'static str,
        why: &'static str,
    ) -> Self {
        Self::without_effect(scope, (name, kind), why, Support::Ignored(why))
    }

    /// A key that must not be ignored in silence.
    pub(super) const fn refused(
        scope: Scope,
        name: &'static str,
        kind: &'static str,
        why: &'static str,
    ) -> Self {
        Self::without_effect(scope, (name, kind), why, Support::Refused(why))
    }

    /// A key of which one value says how things are.
    pub(super) const fn only(
        scope: Scope,
        name: &'static str,
        kind: &'static str,
        value: &'static str,
        why: &'static str,
    ) -> Self {
        Self {
            default: value,
            valid: value,
            ..Self::without_effect(scope, (name, kind), why, Support::Only { value, why })
        }
    }
}

/// Java's name for a type: a `long` that is held to the range of an `int` is one there.
pub(super) const fn kind(kind: &'static str, range: &str) -> &'static str {
    let int_max = matches!(
        range.as_bytes(),
        [.., b'=', b'2', b'1', b'4', b'7', b'4', b'8', b'3', b'6', b'4', b'7']
    );
    if int_max { "int" } else { kind }
}

/// The known key that is spelled most like `wrong`; `None` where nothing comes near.
pub(super) fn nearest(
    wrong: &str,
    names: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    // A right first word is worth two letters: "buffer.byte" is nearer to "buffer.memory" than to
    // "send.buffer.bytes". Half of the letters wrong is not a slip of the pen.
    let cost = |name: &&str| {
        let same_word = name.split('.').next() == wrong.split('.').next();
        edits(wrong, name).saturating_sub(if same_word { 2 } else { 0 })
    };
    // A text many times as long as any name, which is no key at all, would be compared for seconds and to no end.
    let near = |name: &&str| wrong.len() <= 2 * (name.len() + 2);
    let best = names.filter(near).min_by_key(cost)?;
    (cost(&best) * 2 <= wrong.len().max(2)).then_some(best)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour.
fn edits(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut a_last = None;
    for (i, &a_byte) in a.as_bytes().iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        let mut b_last = None;
        for (j, &b_byte) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, j) + usize::from(a_byte != b_byte);
            let mut best = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if a_last == Some(b_byte) && b_last == Some(a_byte) {
                best = best.min(at(&before, j.wrapping_sub(1)) + 1);
            }
            row.push(best);
            b_last = Some(b_byte);
        }
        before = std::mem::replace(&mut last, row);
        a_last = Some(a_byte);
    }
    last.last().copied().unwrap_or(0)
}

/// Declares a configuration once: its struct of values, their Java names, types, defaults and ranges, the typed
/// setters of its builder with their docs, and the table of keys.
///
/// A type is one word, which is what lets the macro tell text and lists (read by reference) from the rest; `as into`
/// after it makes the setter take `impl Into` of it, `as list` the text of a list, `as text` what becomes text.
macro_rules! keys {
    (
        $(#[$doc:meta])*
        pub struct $config:ident of $scope:ident, built by $builder:ident;
        $(
            $(#[doc = $field_doc:literal])+
            $field:ident: $ty:ident $(as $into:ident)? = $name:literal, $default:tt $(, $range:expr)?;
        )+
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $config {
            $($field: $ty,)+
            /// Which keys were set, by the typed setter or by name.
            explicit: std::collections::BTreeSet<&'static str>,
        }

        impl $config {
            /// The keys with an effect, in the order of their declaration.
            const KEYS: &'static [$crate::config::Key] = &[$(
                $crate::config::Key {
                    scope: $crate::config::Scope::$scope,
                    name: $name,
                    setter: stringify!($field),
                    kind: $crate::config::key::kind(
                        <$ty as $crate::config::value::Value>::TYPE,
                        keys!(@valid $ty $(, $range)?),
                    ),
                    default: $default,
                    valid: keys!(@valid $ty $(, $range)?),
                    doc: concat!($($field_doc, "\n"),+),
                    support: $crate::config::Support::Implemented,
                },
            )+];

            $(
                #[doc = concat!("`", $name, "`: see [`", stringify!($builder), "::", stringify!($field), "`].")]
                pub fn $field(&self) -> keys!(@get $ty) {
                    keys!(@read self.$field, $ty)
                }
            )+

            /// Whether `key` was set, rather than left at its default.
            #[allow(dead_code, reason = "not every configuration has rules about defaults")]
            pub(super) fn is_explicit(&self, key: &str) -> bool {
                self.explicit.contains(key)
            }

            /// Sets the value of `key`; false where it is none of this table.
            fn set_own(
                &mut self,
                key: &str,
                value: &str,
            ) -> Result<bool, $crate::config::ConfigError> {
                use $crate::config::value::Value;
                let text = value.trim();
                match key {
                    $($name => {
                        let expected = <$ty as Value>::EXPECTED;
                        self.$field = <$ty as Value>::parse(text).ok_or_else(|| {
                            $crate::config::ConfigError::malformed($name, value, expected)
                        })?;
                        self.explicit.insert($name);
                        keys!(@check self.$field, $ty, $name $(, $range)?);
                    })+
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// Holds every value against its range: typed setters do not fail, so that this is their check.
            fn check_ranges(&self) -> Result<(), $crate::config::ConfigError> {
                $(keys!(@check self.$field, $ty, $name $(, $range)?);)+
                Ok(())
            }

            /// Every key with its value, as Java writes them.
            fn own_values(&self) -> Vec<(&'static str, String)> {
                use $crate::config::value::Value;
                vec![$(($name, self.$field.show())),+]
            }
        }

        /// Every key with its value, one a line, as in a `.properties` file.
        impl std::fmt::Display for $config {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.own_values().iter().try_for_each(|(key, value)| writeln!(f, "{key}={value}"))
            }
        }

        impl Default for $config {
            fn default() -> Self {
                use $crate::config::value::Value;
                Self {
                    $($field: <$ty as Value>::parse($default).expect("a test builds every default"),)+
                    explicit: std::collections::BTreeSet::new(),
                }
            }
        }

        impl $builder {
            $(
                $(#[doc = $field_doc])+
                #[doc = ""]
                #[doc = concat!("Java name `", $name, "`; default ", keys!(@default $default), $("; range `", stringify!($range), "`",)? ".")]
                pub fn $field(mut self, $field: keys!(@arg $ty $(, $into)?)) -> Self {
                    let config: &mut $config = self.config_mut();
                    let value: $ty = keys!(@convert $field $(, $into)?);
                    config.$field = $crate::config::value::Value::within_bounds(value);
                    config.explicit.insert($name);
                    self
                }
            )+
        }
    };

    (@default "") => { "none" };
    (@default $default:tt) => { concat!("`", $default, "`") };
    (@valid $ty:ident) => { <$ty as $crate::config::value::Value>::EXPECTED };
    (@valid $ty:ident, $range:expr) => { stringify!($range) };
    (@check $value:expr, $ty:ident, $name:literal) => {
        let is_outside = |number| !<$ty as $crate::config::value::Value>::RANGE.contains(&number);
        if <$ty as $crate::config::value::Value>::number(&$value).is_some_and(is_outside) {
            let shown = <$ty as $crate::config::value::Value>::show(&$value);
            let expected = <$ty as $crate::config::value::Value>::EXPECTED;
            return Err($crate::config::ConfigError::malformed($name, &shown, expected));
        }
    };
    (@check $value:expr, $ty:ident, $name:literal, $range:expr) => {
        keys!(@check $value, $ty, $name);
        if !<$ty as $crate::config::value::Value>::number(&$value).is_none_or(|number| ($range).contains(&number)) {
            let shown = <$ty as $crate::config::value::Value>::show(&$value);
            return Err($crate::config::ConfigError::out_of_range($name, shown, stringify!($range)));
        }
    };
    (@arg $ty:ident) => { $ty };
    (@arg $ty:ident, into) => { impl Into<$ty> };
    (@arg $ty:ident, list) => { &str };
    (@arg $ty:ident, text) => { impl Into<String> };
    (@convert $field:ident) => { $field };
    (@convert $field:ident, into) => { $field.into() };
    (@convert $field:ident, text) => { Some($field.into()) };
    (@convert $field:ident, list) => { $crate::config::value::list($field) };
    (@get String) => { &str };
    (@get Strings) => { &[String] };
    (@get Strategies) => { &[milena_engine::consumer::AssignmentStrategy] };
    (@get Text) => { Option<&str> };
    (@get Partitioning) => { &Partitioning };
    (@get $ty:ident) => { $ty };
    (@read $self:ident.$field:ident, String) => { &$self.$field };
    (@read $self:ident.$field:ident, Strings) => { &$self.$field };
    (@read $self:ident.$field:ident, Strategies) => { &$self.$field };
    (@read $self:ident.$field:ident, Text) => { $self.$field.as_deref() };
    (@read $self:ident.$field:ident, Partitioning) => { &$self.$field };
    (@read $self:ident.$field:ident, $ty:ident) => { $self.$field };
}
pub(super) use keys;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_put_in_left_out_replaced_or_swapped_are_one_edit_each() {
        assert_eq!(edits("acks", "acks"), 0);
        assert_eq!(edits("asks", "acks"), 1);
        assert_eq!(edits("akcs", "acks"), 1);
        assert_eq!(edits("heartbeat.internval.ms", "heartbeat.interval.ms"), 1);
        assert_eq!(edits("", "abc"), 3);
    }

    #[test]
    fn what_resembles_nothing_gets_no_suggestion() {
        assert_eq!(nearest(&"acks".repeat(1 << 20), ["acks", "retries"].into_iter()), None);
        assert_eq!(nearest("completely.different", ["acks", "retries"].into_iter()), None);
    }
}
