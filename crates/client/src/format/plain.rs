//! What Java's own serializers write, and its deserializers read.

use bytes::Bytes;
use milena_types::Uuid;

use super::{DeserializeContext, Deserializer, SerializeContext, Serializer};
use crate::{BoxError, Payload};

/// Text as UTF-8, bytes as they are, numbers big-endian: byte for byte what Java's own serializers write.
///
/// Which type is which of Java's is in the [module's table](super). Nothing is allocated to write any of them.
///
/// Reading is as strict as in Java: a number of another length is an error. Text that is not UTF-8 is one too, where
/// Java puts in replacement characters.
///
/// # Examples
/// ```no_run
/// # async fn example(producer: milena::Producer) -> milena::Result<()> {
/// // Integer keys and String values.
/// let producer = producer.typed::<i32, str>();
/// producer.send("orders", &42, "forty-two").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to set")]
pub struct Plain;

macro_rules! plain {
    ($($source:ty => |$value:ident| $made:expr;)+) => {$(
        impl Serializer<$source> for Plain {
            fn serialize<'a>(
                &self,
                $value: &'a $source,
                _: &mut SerializeContext<'_, 'a>,
            ) -> Result<Option<Payload<'a>>, BoxError> {
                Ok($made)
            }
        }
    )+};
}

plain! {
    str => |text| Some(text.into());
    String => |text| Some(text.into());
    [u8] => |bytes| Some(bytes.into());
    Vec<u8> => |bytes| Some(bytes.into());
    Bytes => |bytes| Some(bytes.into());
    i16 => |number| Some(number.to_be_bytes().into());
    i32 => |number| Some(number.to_be_bytes().into());
    i64 => |number| Some(number.to_be_bytes().into());
    f32 => |number| Some(number.to_be_bytes().into());
    f64 => |number| Some(number.to_be_bytes().into());
    bool => |truth| Some([u8::from(*truth)].into());
    Uuid => |id| Some(hyphenated(id).into());
    () => |_nothing| None;
}

impl<const N: usize> Serializer<[u8; N]> for Plain {
    fn serialize<'a>(
        &self,
        bytes: &'a [u8; N],
        _: &mut SerializeContext<'_, 'a>,
    ) -> Result<Option<Payload<'a>>, BoxError> {
        Ok(Some(bytes.into()))
    }
}

macro_rules! plain_numbers {
    ($($target:ty)+) => {$(
        impl Deserializer<$target> for Plain {
            fn deserialize(
                &self,
                bytes: &[u8],
                _: &DeserializeContext<'_>,
            ) -> Result<$target, BoxError> {
                let number = bytes.try_into().map_err(|_| length(bytes, size_of::<$target>()))?;
                Ok(<$target>::from_be_bytes(number))
            }
        }
    )+};
}

plain_numbers! { i16 i32 i64 f32 f64 }

impl Deserializer<String> for Plain {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<String, BoxError> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl Deserializer<Vec<u8>> for Plain {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<Vec<u8>, BoxError> {
        Ok(bytes.to_vec())
    }
}

impl Deserializer<Bytes> for Plain {
    /// Without a copy: they share the memory of the record.
    fn deserialize(&self, _: &[u8], context: &DeserializeContext<'_>) -> Result<Bytes, BoxError> {
        Ok(context.bytes())
    }
}

impl Deserializer<bool> for Plain {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<bool, BoxError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(format!("neither 0 nor 1 but {other}").into()),
            _ => Err(length(bytes, 1)),
        }
    }
}

impl Deserializer<Uuid> for Plain {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<Uuid, BoxError> {
        parse_hyphenated(bytes).ok_or_else(|| "no UUID of 36 characters".into())
    }
}

impl Deserializer<()> for Plain {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<(), BoxError> {
        Err(format!("{} bytes where null is expected", bytes.len()).into())
    }
}

fn length(bytes: &[u8], expected: usize) -> BoxError {
    format!("{} bytes where {expected} are expected", bytes.len()).into()
}

/// Reads what [`hyphenated`] writes, in either case of the letters.
fn parse_hyphenated(text: &[u8]) -> Option<Uuid> {
    let mut number = 0_u128;
    let mut digits = 0;
    for (place, &byte) in text.iter().enumerate() {
        if [8, 13, 18, 23].contains(&place) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        number = number << 4 | u128::from(char::from(byte).to_digit(16)?);
        digits += 1;
    }
    (digits == 32).then(|| Uuid::from_bytes(number.to_be_bytes()))
}

/// As `java.util.UUID.toString` writes it.
fn hyphenated(id: &Uuid) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|place| ![8, 13, 18, 23].contains(place));
    let nibbles = id.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, nibble) in places.zip(nibbles) {
        if let (Some(out), Some(digit)) = (text.get_mut(place), DIGITS.get(usize::from(nibble))) {
            *out = *digit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::format::Part;

    fn shown<T: ?Sized>(value: &T) -> String
    where
        Plain: Serializer<T>,
    {
        let mut record = Record::to("topic");
        let mut context = SerializeContext::new(&mut record, Part::Value);
        let payload = Plain.serialize(value, &mut context).unwrap();
        payload.map_or("null".to_owned(), |payload| {
            let digits = payload.as_bytes().iter().map(|byte| format!("{byte:02x}"));
            format!("0x{}", digits.collect::<String>())
        })
    }

    /// Printed by `tests/java/Serializers.java`.
    #[test]
    fn every_type_is_written_as_java_writes_it() {
        let id = Uuid::from_bytes(0x0f8f_ad5b_d9cb_469f_a165_7086_7728_950e_u128.to_be_bytes());
        let ours = [
            ("string-empty", shown("")),
            ("string", shown(&"Größe \0 🚀".to_owned())),
            ("int-42", shown(&42_i32)),
            ("int-min", shown(&i32::MIN)),
            ("long", shown(&0x0123_4567_89ab_cdef_i64)),
            ("long--1", shown(&-1_i64)),
            ("short", shown(&-2_i16)),
            ("float", shown(&1.5_f32)),
            ("float-nan", shown(&f32::NAN)),
            ("float--0", shown(&-0.0_f32)),
            ("double", shown(&std::f64::consts::PI)),
            ("double-max", shown(&f64::MAX)),
            ("double-nan", shown(&f64::NAN)),
            ("boolean-true", shown(&true)),
            ("boolean-false", shown(&false)),
            ("uuid", shown(&id)),
            ("bytes", shown(&[0, 0xff, 1])),
            ("void", shown(&())),
        ];
        let golden = include_str!("../../tests/golden/serializers.txt");
        for (name, ours) in &ours {
            let line = golden.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            assert_eq!(line, Some(ours.as_str()), "{name}");
        }
        assert_eq!(shown(&b"\0\xff\x01"[..]), shown(&vec![0_u8, 0xff, 1]));
        assert_eq!(shown(&Bytes::from_static(b"\0\xff\x01")), "0x00ff01");
    }
}
