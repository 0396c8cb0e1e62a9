//! What holds for any records at all.

use bytes::Bytes;
use milena_records::{
    Batch, BatchBuilder, Buffer, Compression, CompressionType, Compressor, Decompressor, Header,
    RecordSet,
};
use milena_types::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Given {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn records() -> impl Strategy<Value = Vec<Given>> {
    let bytes = || vec(any::<u8>(), 0..40);
    let headers = vec((bytes(), option::of(bytes())), 0..4);
    let record = (any::<i64>(), option::of(bytes()), option::of(bytes()), headers)
        .prop_map(|(timestamp, key, value, headers)| Given { timestamp, key, value, headers });
    vec(record, 1..60)
}

fn compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(CompressionType::ALL.to_vec()).prop_map(Compression::new)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_records_come_back(given in records(), compression in compression()) {
        let mut builder = BatchBuilder::new(Buffer::default());
        for record in &given {
            let at = Timestamp::from_millis(record.timestamp);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let size = builder.encoded_size(at, key, value, headers(record));
            let before = builder.size();
            builder.append(at, key, value, headers(record)).unwrap();
            prop_assert_eq!(builder.size(), before + size);
        }
        let sealed = builder.seal(compression, &mut Compressor::new()).unwrap();
        prop_assert!(sealed.size() <= sealed.uncompressed_size());
        let batch = Batch::parse(sealed.stamp(None).to_bytes()).unwrap();
        let decoded = batch.decode(&mut Decompressor::default()).unwrap();
        let mut count = 0;
        for (record, given) in decoded.iter().map(Result::unwrap).zip(&given) {
            prop_assert_eq!(record.offset().get(), count);
            let expected = Timestamp::from_wire(given.timestamp);
            prop_assert_eq!(record.timestamp(), expected);
            prop_assert_eq!(record.key(), given.key.as_deref());
            prop_assert_eq!(record.value(), given.value.as_deref());
            prop_assert!(record.headers().iter().eq(headers(given)));
            count += 1;
        }
        prop_assert_eq!(count as usize, given.len());
    }

    #[test]
    fn any_bytes_are_walked_to_an_end(bytes in vec(any::<u8>(), 0..600), magic in 0u8..4) {
        let mut bytes = bytes;
        // Else nearly all would end at the length.
        if let Some(front) = bytes.first_chunk_mut::<17>() {
            front[..12].fill(0);
            front[16] = magic;
        }
        let length = bytes.len().saturating_sub(12) as u32;
        if let Some(place) = bytes.get_mut(8..12) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        let mut decompressor = Decompressor::default();
        for batch in RecordSet::new(Bytes::from(bytes)).flatten() {
            if let Ok(decoded) = batch.decode_unverified(&mut decompressor) {
                let _ = decoded.iter().count();
            }
        }
    }
}

fn headers(given: &Given) -> impl Iterator<Item = Header<'_>> + Clone {
    given.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() })
}
