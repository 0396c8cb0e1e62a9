//! Frames: what may stand in them, and how they are taken off a stream.

use bytes::BytesMut;
use milena_types::{ApiKey, CorrelationId};
use milena_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use milena_wire::messages::{FetchRequest, FetchResponse};
use milena_wire::{
    DecodeErrorKind, EncodeError, FrameReader, Response, decode_response, encode_request,
    encode_response,
};

#[test]
fn an_error_says_which_field_of_which_element() {
    let mut response = FetchResponse::default();
    let partitions = vec![PartitionData::default(), PartitionData::default()];
    let topic = FetchableTopicResponse { partitions, ..FetchableTopicResponse::default() };
    response.responses = vec![FetchableTopicResponse::default(), topic];
    let frame = encode_response(&Response::from(response), 4, CorrelationId::FIRST).unwrap();
    let frame = frame.into_bytes();
    let cut = frame.slice(4..frame.len() - 1);
    let error = decode_response(ApiKey::FETCH, 4, cut.clone()).unwrap_err();
    assert_eq!(error.path(), "responses[1].partitions[1].records");
    assert_eq!(error.kind(), DecodeErrorKind::Truncated);
    assert_eq!(error.offset(), cut.len() - 3, "the length begins here");
}

#[test]
fn a_field_that_the_version_lacks_is_left_out_only_where_it_may_be() {
    let encode = |request: FetchRequest, version| {
        encode_request(&request.into(), version, CorrelationId::FIRST, None).map(drop)
    };
    // Ignorable, so a version that lacks it is written without it.
    let rack = FetchRequest { rack_id: "rack".into(), ..FetchRequest::default() };
    assert_eq!(encode(rack, 4), Ok(()));
    let mut forgotten = FetchRequest::default();
    forgotten.forgotten_topics_data.push(Default::default());
    let error = EncodeError::UnsupportedField { field: "forgotten_topics_data", version: 4 };
    assert_eq!(encode(forgotten, 4), Err(error));
    let unknown = EncodeError::UnsupportedVersion { version: 99 };
    assert_eq!(encode(FetchRequest::default(), 99), Err(unknown));
}

#[test]
fn frames_are_taken_off_a_stream_however_it_is_cut() {
    let stream = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0, 0, 0, 1], b"d"].concat();
    for step in 1..=stream.len() {
        let reader = FrameReader::default();
        let (mut received, mut frames) = (BytesMut::new(), Vec::new());
        for bytes in stream.chunks(step) {
            received.extend_from_slice(bytes);
            while let Some(frame) = reader.read(&mut received).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, [&b"abc"[..], b"", b"d"], "in steps of {step}");
        assert!(received.is_empty());
    }
}

#[test]
fn a_stated_length_is_checked_and_never_reserved() {
    let read = |length: i32| {
        let mut received = BytesMut::from(&length.to_be_bytes()[..]);
        let result = FrameReader::new(1 << 20).read(&mut received);
        assert!(received.capacity() < 1024, "nothing is reserved for {length}");
        result
    };
    assert_eq!(read(1 << 20), Ok(None));
    assert_eq!(read((1 << 20) + 1).unwrap_err().length, (1 << 20) + 1);
    assert_eq!(read(-1).unwrap_err().length, -1);
    assert!(read(i32::MAX).is_err());
}
