//! Which names a topic may have.

/// Whether a topic may be called so: 1 to 249 of ASCII letters, digits, `.`, `_`, `-`, and not `.` or `..`.
pub(crate) fn is_legal_topic_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(is_legal)
}

/// What Kafka says of a name that [`is_legal_topic_name`] refuses.
pub(crate) fn why_illegal(name: &str) -> String {
    let why = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        long if long.len() > NAME_BYTES_MAX => {
            format!("the length of '{long}' is longer than the max allowed length {NAME_BYTES_MAX}")
        }
        _ => format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ),
    };
    format!("Topic name is invalid: {why}")
}

/// Leaves room for the partition's number in a folder's name of 255 bytes.
const NAME_BYTES_MAX: usize = 249;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kafka_does() {
        assert!(is_legal_topic_name("orders.v2_eu-west"));
        for bad in ["", ".", "..", "a b", "é", "a/b", &"x".repeat(250)] {
            assert!(!is_legal_topic_name(bad), "{bad:?}");
        }
    }
}
