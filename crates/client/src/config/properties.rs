//! Java's `.properties` text.

use super::ConfigError;

/// Reads the pairs of a `.properties` text in order, as `java.util.Properties.load` does: comments by `#` or `!`,
/// `=`, `:` or white space after the key, a backslash at the end of a line joins the next, `\t \n \r \f \uXXXX`.
///
/// # Errors
/// Names the line of a `\u` that four hexadecimal digits do not follow.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut pairs = Vec::new();
    for (number, line) in logical_lines(text) {
        let (key, value) = split(&line);
        pairs.push((unescape(number, key)?, unescape(number, value)?));
    }
    Ok(pairs)
}

/// Lines without comments and blanks, continued ones joined; each with the number it starts at, from 1.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, natural) in text.lines().enumerate() {
        let natural = natural.trim_start_matches([' ', '\t', '\x0c']);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let (number, mut line) = open.take().unwrap_or((index + 1, String::new()));
        // An even number of backslashes at the end are escaped ones, an odd number ends in a continuation.
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            line.push_str(natural.strip_suffix('\\').unwrap_or(natural));
            open = Some((number, line));
        } else {
            line.push_str(natural);
            lines.push((number, line));
        }
    }
    lines.extend(open);
    lines
}

/// Cuts a line at the first separator that no backslash escapes.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find_map(|(at, c)| {
        let ends = !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c');
        escaped = !escaped && c == '\\';
        ends.then_some(at)
    });
    let Some((key, rest)) = end.and_then(|at| line.split_at_checked(at)) else {
        return (line, "");
    };
    let blank = [' ', '\t', '\x0c'];
    let rest = rest.trim_start_matches(blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(blank))
}

fn unescape(line: usize, text: &str) -> Result<String, ConfigError> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let mut buffer = [0; 2];
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        match rest.next() {
            Some('t') => units.push(u16::from(b'\t')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('f') => units.push(0x0c),
            Some('u') => {
                let digits = rest.as_str().get(..4);
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                units.push(unit.ok_or_else(|| {
                    ConfigError::syntax(line, "four hexadecimal digits must follow \\u")
                })?);
                rest.nth(3);
            }
            Some(other) => units.extend_from_slice(other.encode_utf16(&mut buffer)),
            None => {}
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn every_separator_of_java_ends_the_key() {
        let expected = vec![pair("a", "1"), pair("b", "2"), pair("c", "3"), pair("d", "")];
        assert_eq!(pairs("a=1\n b : 2\nc 3\nd\n"), expected);
    }

    #[test]
    fn comments_and_blank_lines_do_not_count() {
        assert_eq!(pairs("# one\n\n  ! two\nkey=#value"), vec![pair("key", "#value")]);
    }

    /// `sasl.jaas.config` is written so in every tutorial.
    #[test]
    fn a_backslash_at_the_end_joins_the_next_line() {
        assert_eq!(pairs("k=one \\\n   two\nl=3"), vec![pair("k", "one two"), pair("l", "3")]);
        assert_eq!(pairs("path=c:\\\\\nl=3"), vec![pair("path", "c:\\"), pair("l", "3")]);
    }

    #[test]
    fn escapes_are_javas() {
        assert_eq!(pairs("a\\=b=\\u00e9\\t\\z"), vec![pair("a=b", "é\tz")]);
        let error = parse("x=1\ny=\\u00").unwrap_err();
        assert_eq!(error.to_string(), "properties line 2: four hexadecimal digits must follow \\u");
    }
}
