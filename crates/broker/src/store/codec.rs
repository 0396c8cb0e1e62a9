//! How numbers, texts and lists are spelled in what is stored.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use milena_types::{
    LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp, Topic,
    TopicPartition, Uuid,
};

/// Something in a store that no version of this crate writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// What is still to be read.
#[derive(Debug)]
pub(crate) struct Source(Bytes);

/// A value with a spelling; numbers are big-endian, lists and bytes begin with their length.
pub(crate) trait Spelled: Sized {
    /// Writes the value.
    fn put(&self, to: &mut BytesMut);
    /// Reads it back.
    fn take(from: &mut Source) -> Result<Self, Malformed>;
}

/// Short for what all texts are.
pub(crate) type Text = String;

impl Source {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.0.try_get_u32().map_err(|_| Malformed)?);
        // Everything that is counted has a byte at least.
        count.ok().filter(|count| *count <= self.0.len()).ok_or(Malformed)
    }
}

macro_rules! number {
    ($($type:ty, $put:ident, $take:ident;)*) => {$(
        impl Spelled for $type {
            fn put(&self, to: &mut BytesMut) {
                to.$put(*self);
            }

            fn take(from: &mut Source) -> Result<Self, Malformed> {
                from.0.$take().map_err(|_| Malformed)
            }
        }
    )*};
}

number! {
    u8, put_u8, try_get_u8;
    u32, put_u32, try_get_u32;
    i16, put_i16, try_get_i16;
    i32, put_i32, try_get_i32;
    i64, put_i64, try_get_i64;
}

/// A newtype over a number of which some values are none of its own.
macro_rules! newtype {
    ($($type:ty, $raw:ty, $get:ident, $from:expr;)*) => {$(
        impl Spelled for $type {
            fn put(&self, to: &mut BytesMut) {
                self.$get().put(to);
            }

            fn take(from: &mut Source) -> Result<Self, Malformed> {
                let raw: $raw = Spelled::take(from)?;
                $from(raw).ok_or(Malformed)
            }
        }
    )*};
}

newtype! {
    LeaderEpoch, i32, get, LeaderEpoch::from_wire;
    NodeId, i32, get, NodeId::from_wire;
    Offset, i64, get, Offset::new;
    ProducerEpoch, i16, get, ProducerEpoch::from_wire;
    ProducerId, i64, get, ProducerId::from_wire;
    Sequence, i32, get, Sequence::from_wire;
    Timestamp, i64, millis, |raw| Some(Timestamp::from_millis(raw));
}

impl Spelled for bool {
    fn put(&self, to: &mut BytesMut) {
        u8::from(*self).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(u8::take(from)? != 0)
    }
}

impl Spelled for Uuid {
    fn put(&self, to: &mut BytesMut) {
        to.put_slice(self.as_bytes());
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let bytes = from.0.try_get_u128().map_err(|_| Malformed)?;
        Ok(Self::from_bytes(bytes.to_be_bytes()))
    }
}

impl Spelled for Bytes {
    fn put(&self, to: &mut BytesMut) {
        count(self.len()).put(to);
        to.put_slice(self);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let count = from.count()?;
        Ok(from.0.split_to(count))
    }
}

impl Spelled for Text {
    fn put(&self, to: &mut BytesMut) {
        count(self.len()).put(to);
        to.put_slice(self.as_bytes());
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Self::from_utf8(<Bytes as Spelled>::take(from)?.into()).map_err(|_| Malformed)
    }
}

impl Spelled for Topic {
    fn put(&self, to: &mut BytesMut) {
        self.as_str().to_owned().put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self::from(Text::take(from)?.as_str()))
    }
}

impl Spelled for TopicPartition {
    fn put(&self, to: &mut BytesMut) {
        self.topic.put(to);
        self.partition.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let topic = Topic::take(from)?;
        Ok(Self::new(topic, i32::take(from)?))
    }
}

impl<T: Spelled> Spelled for Option<T> {
    fn put(&self, to: &mut BytesMut) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl<T: Spelled> Spelled for Vec<T> {
    fn put(&self, to: &mut BytesMut) {
        count(self.len()).put(to);
        for value in self {
            value.put(to);
        }
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let count = from.count()?;
        (0..count).map(|_| T::take(from)).collect()
    }
}

impl<A: Spelled, B: Spelled> Spelled for (A, B) {
    fn put(&self, to: &mut BytesMut) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl Spelled for BTreeMap<Text, Text> {
    fn put(&self, to: &mut BytesMut) {
        count(self.len()).put(to);
        for (name, value) in self {
            name.put(to);
            value.put(to);
        }
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Vec::<(Text, Text)>::take(from)?.into_iter().collect())
    }
}

/// A request has less than 2 GiB, and so has whatever it brought.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_claims_more_than_there_is_allocates_nothing() {
        let mut source = Source::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]));
        assert_eq!(Vec::<u8>::take(&mut source), Err(Malformed));
    }

    #[test]
    fn what_is_put_is_taken() {
        let mut bytes = BytesMut::new();
        let value = (vec![Some("a".to_owned()), None], TopicPartition::new("t", 3));
        value.put(&mut bytes);
        let mut source = Source::new(bytes.freeze());
        assert_eq!(Spelled::take(&mut source), Ok(value));
        assert!(source.is_empty());
    }
}
