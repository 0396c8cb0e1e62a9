//! What Java's own serializers write.

use bytes::Bytes;
use milena_types::Uuid;

use super::{SerializeContext, Serializer};
use crate::{BoxError, Payload};

/// Text as UTF-8, bytes as they are, numbers big-endian: byte for byte what Java's own serializers write.
///
/// Which type is which of Java's is in the [module's table](super). Nothing is allocated for any of them.
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
