//! How `consume` prints a record: a format string as kcat's, or one JSON object a line.

use std::io::Write;

use milena::MessageRef;

/// A parsed format.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// Pieces of a `-f` string.
    Pieces(Vec<Piece>),
    /// One JSON object a line.
    Ndjson,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Headers,
    Timestamp,
    KeyLength,
    ValueLength,
}

impl Format {
    /// What `consume` prints unless told otherwise: the value and a line break.
    pub(crate) fn value_lines() -> Self {
        Self::Pieces(vec![Piece::Value, Piece::Text(b"\n".to_vec())])
    }

    /// Reads a format: `%t` topic, `%p` partition, `%o` offset, `%k` key, `%v` or `%s` value, `%h` headers,
    /// `%T` timestamp, `%K` and `%S` lengths of key and value (-1 for null), `%%`; `\n \t \r \\ \0`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let piece = match c {
                '%' => match rest.next() {
                    Some('t') => Piece::Topic,
                    Some('p') => Piece::Partition,
                    Some('o') => Piece::Offset,
                    Some('k') => Piece::Key,
                    Some('v' | 's') => Piece::Value,
                    Some('h') => Piece::Headers,
                    Some('T') => Piece::Timestamp,
                    Some('K') => Piece::KeyLength,
                    Some('S') => Piece::ValueLength,
                    Some('%') => {
                        literal.push('%');
                        continue;
                    }
                    Some(other) => return Err(format!("%{other} is not known: {KNOWN}")),
                    None => return Err(format!("% ends the format: {KNOWN}")),
                },
                '\\' => {
                    literal.push(match rest.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some('0') => '\0',
                        Some('\\') => '\\',
                        Some(other) => return Err(format!("\\{other} is not known")),
                        None => return Err("a backslash ends the format".to_owned()),
                    });
                    continue;
                }
                other => {
                    literal.push(other);
                    continue;
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into_bytes()));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into_bytes()));
        }
        Ok(Self::Pieces(pieces))
    }

    /// Writes one record.
    pub(crate) fn write(
        &self,
        out: &mut impl Write,
        message: MessageRef<'_>,
    ) -> std::io::Result<()> {
        match self {
            Self::Ndjson => write_json(out, message),
            Self::Pieces(pieces) => {
                pieces.iter().try_for_each(|piece| write_piece(out, piece, message))
            }
        }
    }
}

const KNOWN: &str = "use %t %p %o %k %v %h %T %K %S or %%";

fn write_piece(
    out: &mut impl Write,
    piece: &Piece,
    message: MessageRef<'_>,
) -> std::io::Result<()> {
    let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    match piece {
        Piece::Text(text) => out.write_all(text),
        Piece::Topic => write!(out, "{}", message.topic()),
        Piece::Partition => write!(out, "{}", message.partition()),
        Piece::Offset => write!(out, "{}", message.offset()),
        // Kafka's own tools and kcat print a null key or value so.
        Piece::Key => out.write_all(message.key().unwrap_or(b"null")),
        Piece::Value => out.write_all(message.value().unwrap_or(b"null")),
        Piece::KeyLength => write!(out, "{}", length(message.key())),
        Piece::ValueLength => write!(out, "{}", length(message.value())),
        Piece::Timestamp => match message.timestamp() {
            Some(timestamp) => write!(out, "{timestamp}"),
            None => write!(out, "-1"),
        },
        Piece::Headers => {
            for (place, header) in message.headers().iter().enumerate() {
                let separator: &[u8] = if place == 0 { b"" } else { b"," };
                out.write_all(separator)?;
                out.write_all(header.key)?;
                out.write_all(b"=")?;
                out.write_all(header.value.unwrap_or(b"null"))?;
            }
            Ok(())
        }
    }
}

/// One line, as `{"topic":"t","partition":0,"offset":5,"timestamp":…,"headers":[["k","v"]],"key":"…","value":"…"}`;
/// bytes that are not UTF-8 become `{"b64":"…"}`.
fn write_json(out: &mut impl Write, message: MessageRef<'_>) -> std::io::Result<()> {
    write!(out, "{{\"topic\":")?;
    write_json_bytes(out, Some(message.topic().as_str().as_bytes()))?;
    let timestamp = message.timestamp().map_or(-1, milena::Timestamp::millis);
    write!(
        out,
        ",\"partition\":{},\"offset\":{},\"timestamp\":{timestamp},\"headers\":[",
        message.partition(),
        message.offset()
    )?;
    for (place, header) in message.headers().iter().enumerate() {
        out.write_all(if place == 0 { b"[" } else { b",[" })?;
        write_json_bytes(out, Some(header.key))?;
        out.write_all(b",")?;
        write_json_bytes(out, header.value)?;
        out.write_all(b"]")?;
    }
    out.write_all(b"],\"key\":")?;
    write_json_bytes(out, message.key())?;
    out.write_all(b",\"value\":")?;
    write_json_bytes(out, message.value())?;
    out.write_all(b"}\n")
}

fn write_json_bytes(out: &mut impl Write, bytes: Option<&[u8]>) -> std::io::Result<()> {
    match bytes.map(std::str::from_utf8) {
        None => out.write_all(b"null"),
        Some(Ok(text)) => Ok(serde_json::to_writer(out, text)?),
        Some(Err(_)) => write!(out, "{{\"b64\":\"{}\"}}", base64(bytes.unwrap_or_default())),
    }
}

/// RFC 4648's base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place) & 63) as usize).copied();
            text.push(if place <= chunk.len() { digit.map_or('=', char::from) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_cut_into_its_pieces() {
        let pieces = vec![
            Piece::Topic,
            Piece::Text(b"[".to_vec()),
            Piece::Partition,
            Piece::Text(b"]@".to_vec()),
            Piece::Offset,
            Piece::Text(b" 100% ".to_vec()),
            Piece::Key,
            Piece::Text(b"=".to_vec()),
            Piece::Value,
            Piece::Text(b"\n".to_vec()),
        ];
        assert_eq!(Format::parse("%t[%p]@%o 100%% %k=%s\\n"), Ok(Format::Pieces(pieces)));
        assert!(Format::parse("%q").is_err_and(|error| error.starts_with("%q is not known")));
        assert!(Format::parse("100%").is_err());
    }

    #[test]
    fn text_is_escaped_and_other_bytes_are_encoded() {
        let json = |bytes: Option<&[u8]>| {
            let mut out = Vec::new();
            write_json_bytes(&mut out, bytes).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(json(None), "null");
        assert_eq!(json(Some(b"a\"b\\\n\x01")), "\"a\\\"b\\\\\\n\\u0001\"");
        assert_eq!(json(Some(&[0xff])), "{\"b64\":\"/w==\"}");
    }

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_the_rfcs() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
