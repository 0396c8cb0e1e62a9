//! How keys and values become bytes, and bytes keys and values.
//!
//! A [`Serializer`] turns a value of one type into the bytes of a key or a value, with the topic and the headers at
//! hand. [`Plain`] writes text, bytes and numbers as Java's own serializers do; with the feature `json`, `Json` writes
//! whatever `serde` can. [`Producer::typed`](crate::Producer::typed) binds them to a producer.
//!
//! A [`Deserializer`] does the reverse, and the same formats read what they write: [`Consumer::typed`](crate::Consumer::typed)
//! binds them to a consumer, [`Message::value_as`](crate::Message::value_as) reads a single record.
//!
//! | Java, and likewise each `Deserializer` | here |
//! | --- | --- |
//! | `StringSerializer` (UTF-8) | `Plain` for `str`, `String` |
//! | `ByteArraySerializer`, `BytesSerializer`, `ByteBufferSerializer` | `Plain` for `[u8]`, `Vec<u8>`, `Bytes` |
//! | `IntegerSerializer`, `LongSerializer`, `ShortSerializer` | `Plain` for `i32`, `i64`, `i16` |
//! | `FloatSerializer`, `DoubleSerializer`, `BooleanSerializer` | `Plain` for `f32`, `f64`, `bool` |
//! | `UUIDSerializer` | `Plain` for [`Uuid`](crate::Uuid), as its 36 characters |
//! | `VoidSerializer` | `Plain` for `()`: null |

mod context;
#[cfg(feature = "json")]
mod json;
mod plain;

pub(crate) use context::Cause;
pub use context::{DeserializeContext, Part, SerializeContext};
#[cfg(feature = "json")]
pub use json::Json;
pub use plain::Plain;

use crate::{BoxError, Payload};

/// Turns values of type `T` into the bytes of keys or values.
///
/// # Examples
/// A format of one's own, which says in a header what it wrote:
/// ```
/// use milena::format::{SerializeContext, Serializer};
/// use milena::{BoxError, Payload};
///
/// struct Celsius(f64);
/// struct Tenths;
///
/// impl Serializer<Celsius> for Tenths {
///     fn serialize<'a>(
///         &self,
///         value: &'a Celsius,
///         context: &mut SerializeContext<'_, 'a>,
///     ) -> Result<Option<Payload<'a>>, BoxError> {
///         if !value.0.is_finite() {
///             return Err(format!("no temperature for {}: {}", context.topic(), value.0).into());
///         }
///         context.add_header("unit", "dC");
///         let tenths = (value.0 * 10.0).round() as i32;
///         Ok(Some(tenths.to_be_bytes().into()))
///     }
/// }
/// ```
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// The bytes of `value`, borrowed from it where they lie there already; `None` is null.
    ///
    /// Called in the task that sends, before the record is admitted, and after any headers that the record has were
    /// added.
    ///
    /// # Errors
    /// Whatever keeps the value from being written: the record is not sent, and `send` fails with
    /// [`ErrorKind::Serialization`](crate::ErrorKind::Serialization) and this as its cause.
    fn serialize<'a>(
        &self,
        value: &'a T,
        context: &mut SerializeContext<'_, 'a>,
    ) -> Result<Option<Payload<'a>>, BoxError>;
}

impl<T: ?Sized, S: Serializer<T> + ?Sized> Serializer<T> for std::sync::Arc<S> {
    fn serialize<'a>(
        &self,
        value: &'a T,
        context: &mut SerializeContext<'_, 'a>,
    ) -> Result<Option<Payload<'a>>, BoxError> {
        (**self).serialize(value, context)
    }
}

/// Makes values of type `T` of the bytes of keys or values. Null has no bytes and is no business of a format.
///
/// # Examples
/// The other side of the format at [`Serializer`]:
/// ```
/// use milena::BoxError;
/// use milena::format::{DeserializeContext, Deserializer};
///
/// struct Celsius(f64);
/// struct Tenths;
///
/// impl Deserializer<Celsius> for Tenths {
///     fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<Celsius, BoxError> {
///         let tenths = i32::from_be_bytes(bytes.try_into()?);
///         match context.headers().last("unit").and_then(|header| header.value) {
///             Some(b"dC") => Ok(Celsius(f64::from(tenths) / 10.0)),
///             unit => Err(format!("an unknown unit: {unit:?}").into()),
///         }
///     }
/// }
/// ```
pub trait Deserializer<T>: Send + Sync {
    /// The value that lies in `bytes`.
    ///
    /// Called in the task that reads.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being understood: reading fails with
    /// [`ErrorKind::Serialization`](crate::ErrorKind::Serialization) and this as its cause.
    fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<T, BoxError>;
}

impl<T, S: Deserializer<T> + ?Sized> Deserializer<T> for std::sync::Arc<S> {
    fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<T, BoxError> {
        (**self).deserialize(bytes, context)
    }
}
