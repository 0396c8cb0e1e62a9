//! Reads back what `Debug` shows of a message.
//!
//! So the fields of a message can be held against Kafka's own JSON without a line of JSON in the library.

use serde_json::{Map, Value};

/// The message as JSON: structures are objects, newtypes what they hold, bytes base64.
pub(crate) fn parse(text: &str) -> Value {
    let mut parser = Parser { rest: text };
    let value = parser.value();
    assert_eq!(parser.rest, "", "all of it was read");
    value
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn value(&mut self) -> Value {
        match self.peek() {
            '"' => Value::String(String::from_utf8(self.quoted()).unwrap()),
            'b' if self.rest.starts_with("b\"") => {
                self.expect("b");
                Value::String(base64(&self.quoted()))
            }
            '[' => self.list('[', ']'),
            c if c == '-' || c.is_ascii_digit() => {
                let word = self.word();
                if let Ok(whole) = word.parse::<i64>() {
                    Value::from(whole)
                } else if let Ok(number) = word.parse::<f64>() {
                    Value::from(number)
                } else {
                    Value::String(word)
                }
            }
            _ => self.named(),
        }
    }

    /// `None`, `true`, `Name { field: value }`, `Name(value)`.
    fn named(&mut self) -> Value {
        let name = self.word();
        if self.rest.starts_with(" {") {
            self.expect(" { ");
            let mut fields = Map::new();
            loop {
                let field = self.word();
                self.expect(": ");
                fields.insert(field, self.value());
                if !self.rest.starts_with(", ") {
                    break;
                }
                self.expect(", ");
            }
            self.expect(" }");
            return Value::Object(fields);
        }
        if self.rest.starts_with('(') {
            let Value::Array(mut values) = self.list('(', ')') else { unreachable!() };
            let value = values.pop().unwrap();
            assert!(values.is_empty(), "{name} holds one value");
            return value;
        }
        match name.as_str() {
            "None" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if name.len() == UUID_CHARACTERS => Value::String(name),
            // A structure without fields.
            _ => Value::Object(Map::new()),
        }
    }

    fn list(&mut self, open: char, close: char) -> Value {
        self.expect(open.encode_utf8(&mut [0; 4]));
        let mut values = Vec::new();
        while self.peek() != close {
            values.push(self.value());
            if self.rest.starts_with(", ") {
                self.expect(", ");
            }
        }
        self.expect(close.encode_utf8(&mut [0; 4]));
        Value::Array(values)
    }

    fn quoted(&mut self) -> Vec<u8> {
        self.expect("\"");
        let mut bytes = Vec::new();
        loop {
            match self.next() {
                '"' => return bytes,
                '\\' => match self.next() {
                    'x' => {
                        let (digits, rest) = self.rest.split_at(2);
                        self.rest = rest;
                        bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    }
                    '0' => bytes.push(0),
                    'n' => bytes.push(b'\n'),
                    'r' => bytes.push(b'\r'),
                    't' => bytes.push(b'\t'),
                    other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
                },
                other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
    }

    fn word(&mut self) -> String {
        let ends = |c: char| !(c.is_alphanumeric() || "_.-#".contains(c));
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    fn peek(&self) -> char {
        self.rest.chars().next().unwrap()
    }

    fn next(&mut self) -> char {
        let c = self.peek();
        self.rest = &self.rest[c.len_utf8()..];
        c
    }

    fn expect(&mut self, text: &str) {
        self.rest = self.rest.strip_prefix(text).unwrap_or_else(|| {
            panic!("expected {text:?} at {:?}", &self.rest.chars().take(40).collect::<String>())
        });
    }
}

fn base64(bytes: &[u8]) -> String {
    let digits: Vec<char> =
        ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(digits[(bits >> (18 - 6 * digit)) as usize & 63]);
        }
        text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    text
}

/// Kafka and we show a uuid as so many characters, without quotes.
const UUID_CHARACTERS: usize = 22;
