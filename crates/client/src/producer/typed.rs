//! A producer of values rather than bytes.

use std::fmt;
use std::marker::PhantomData;

use super::{Producer, Record, Send};
use crate::format::{Part, Plain, Serializer};

/// A producer whose keys are `K` and whose values are `V`, with the formats that write them; made by
/// [`Producer::typed`].
///
/// It is a view of its producer: close and flush that.
///
/// # Examples
/// ```no_run
/// # async fn example(producer: milena::Producer) -> milena::Result<()> {
/// use milena::Record;
///
/// let counts = producer.typed::<str, i64>();
/// counts.send("counts", "page-1", &17).await?;
/// // With all that a record may have, and in any of the ways to send it.
/// let record = Record::to("counts").partition(2).header("trace", "abc");
/// counts.send(record, "page-2", &4).detach();
/// // A tombstone.
/// counts.send("counts", "page-1", None).await?;
/// # Ok(()) }
/// ```
pub struct TypedProducer<K: ?Sized, V: ?Sized, F = Plain, G = Plain> {
    producer: Producer,
    key_format: F,
    value_format: G,
    types: PhantomData<Types<K, V>>,
}

impl<K: ?Sized, V: ?Sized> TypedProducer<K, V> {
    pub(super) fn new(producer: Producer) -> Self {
        Self { producer, key_format: Plain, value_format: Plain, types: PhantomData }
    }
}

impl<K: ?Sized, V: ?Sized, F, G> TypedProducer<K, V, F, G> {
    /// Writes keys in this format.
    pub fn key_format<N: Serializer<K>>(self, format: N) -> TypedProducer<K, V, N, G> {
        let Self { producer, value_format, .. } = self;
        TypedProducer { producer, key_format: format, value_format, types: PhantomData }
    }

    /// Writes values in this format.
    pub fn value_format<N: Serializer<V>>(self, format: N) -> TypedProducer<K, V, F, N> {
        let Self { producer, key_format, .. } = self;
        TypedProducer { producer, key_format, value_format: format, types: PhantomData }
    }

    /// The producer of bytes beneath.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }
}

impl<K: ?Sized, V: ?Sized, F: Serializer<K>, G: Serializer<V>> TypedProducer<K, V, F, G> {
    /// Sends `key` and `value` in `record`, which is a topic or a [`Record`] with what else there is to it; its own key
    /// and value are replaced. `None` for the key is no key, for the value a tombstone.
    ///
    /// As [`Producer::send`]: await it, or choose another way on it. Both are written at once; a failure shows as the
    /// result of sending.
    ///
    /// # Errors
    /// As [`Producer::send`], and `Serialization`.
    pub fn send<'a>(
        &'a self,
        record: impl Into<Record<'a>>,
        key: impl Into<Option<&'a K>>,
        value: impl Into<Option<&'a V>>,
    ) -> Send<'a> {
        let mut record = record.into().without_contents();
        let mut written = Ok(());
        if let Some(key) = key.into() {
            written = record.write(Part::Key, &self.key_format, key);
        }
        if let (Some(value), Ok(())) = (value.into(), &written) {
            written = record.write(Part::Value, &self.value_format, value);
        }
        Send::failing(&self.producer, record, written.err())
    }
}

impl<K: ?Sized, V: ?Sized, F: Clone, G: Clone> Clone for TypedProducer<K, V, F, G> {
    fn clone(&self) -> Self {
        let (key_format, value_format) = (self.key_format.clone(), self.value_format.clone());
        Self { producer: self.producer.clone(), key_format, value_format, types: PhantomData }
    }
}

impl<K: ?Sized, V: ?Sized, F, G> fmt::Debug for TypedProducer<K, V, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedProducer").field("producer", &self.producer).finish_non_exhaustive()
    }
}

/// Takes both, holds neither: whether they can be sent to other tasks is no matter.
type Types<K, V> = fn(&K, &V);
