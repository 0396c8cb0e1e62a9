//! What can be read of a record that was received, whichever consumer received it.

use std::fmt;

use milena_records::Record;
use milena_types::TopicPartition;

/// Gives a type with the fields `partition` and `record` what can be read of them.
macro_rules! received {
    ($message:ty) => {
        impl $message {
            /// The topic.
            pub fn topic(&self) -> &milena_types::Topic {
                &self.partition.topic
            }

            /// The partition's index.
            pub fn partition(&self) -> i32 {
                self.partition.partition
            }

            /// The topic and the partition.
            pub fn topic_partition(&self) -> &milena_types::TopicPartition {
                &self.partition
            }

            /// The record's place in its partition.
            pub fn offset(&self) -> milena_types::Offset {
                self.record.offset()
            }

            /// When it was made, or appended where the topic says so; `None` where the producer gave no time.
            pub fn timestamp(&self) -> Option<milena_types::Timestamp> {
                self.record.timestamp()
            }

            /// The key; null and empty differ.
            pub fn key(&self) -> Option<&[u8]> {
                self.record.key()
            }

            /// The value; null (a tombstone) and empty differ.
            pub fn value(&self) -> Option<&[u8]> {
                self.record.value()
            }

            /// The key as bytes of their own, without a copy.
            pub fn key_bytes(&self) -> Option<bytes::Bytes> {
                self.record.key_bytes()
            }

            /// The value as bytes of their own, without a copy.
            pub fn value_bytes(&self) -> Option<bytes::Bytes> {
                self.record.value_bytes()
            }

            /// The headers, in order.
            pub fn headers(&self) -> milena_records::Headers<'_> {
                self.record.headers()
            }

            /// The key as `format` reads it; `None` where it is null.
            ///
            /// # Errors
            /// `Serialization` with partition and offset, if the format fails.
            pub fn key_as<K>(
                &self,
                format: &impl crate::format::Deserializer<K>,
            ) -> Result<Option<K>, crate::Error> {
                let part = crate::format::Part::Key;
                crate::format::DeserializeContext::read(&self.partition, &self.record, part, format)
            }

            /// The value as `format` reads it; `None` where it is null, which is a tombstone.
            ///
            /// # Errors
            /// As [`key_as`](Self::key_as).
            ///
            /// # Examples
            /// ```no_run
            #[doc = concat!("# fn example(message: milena::", stringify!($message), ") -> milena::Result<()> {")]
            /// let count: Option<i64> = message.value_as(&milena::format::Plain)?;
            /// println!("{count:?}");
            /// # Ok(()) }
            /// ```
            pub fn value_as<V>(
                &self,
                format: &impl crate::format::Deserializer<V>,
            ) -> Result<Option<V>, crate::Error> {
                let part = crate::format::Part::Value;
                crate::format::DeserializeContext::read(&self.partition, &self.record, part, format)
            }
        }
    };
}
pub(crate) use received;

/// Sizes alone: contents are the user's secret, and a batch's memory is no line of a log.
pub(crate) fn describe<'a, 'f>(
    f: &'a mut fmt::Formatter<'f>,
    name: &str,
    partition: &TopicPartition,
    record: Record<'_>,
) -> fmt::DebugStruct<'a, 'f> {
    let mut told = f.debug_struct(name);
    told.field("partition", &format_args!("{partition}"))
        .field("offset", &record.offset().get())
        .field("key_bytes", &record.key().map(<[u8]>::len))
        .field("value_bytes", &record.value().map(<[u8]>::len));
    told
}
