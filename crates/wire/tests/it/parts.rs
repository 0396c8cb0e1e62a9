//! Record sets pass through frames where they lie.

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId};
use milena_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::{FetchResponse, ProduceRequest};
use milena_wire::{
    FrameReader, Records, Request, Response, decode_response, encode_request, encode_response,
};

/// A copy of every batch would cost more than all the rest of sending.
#[test]
fn a_produce_request_is_written_around_its_batches() {
    let head = Bytes::from(vec![1; 61]);
    let bodies = [Bytes::from(vec![2; 20_000]), Bytes::from(vec![3; 5_000])];
    let partition = |index, body: &Bytes| PartitionProduceData {
        index,
        records: Some(Records { head: head.clone(), body: body.clone() }),
    };
    let request: Request = ProduceRequest {
        topic_data: vec![TopicProduceData {
            name: "orders".into(),
            partition_data: vec![partition(0, &bodies[0]), partition(1, &bodies[1])],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
    .into();
    for version in 3..=12 {
        let frame = encode_request(&request, version, CorrelationId::FIRST, Some("c")).unwrap();
        for body in &bodies {
            let is_it = |part: &&Bytes| part.as_ptr() == body.as_ptr() && part.len() == body.len();
            assert_eq!(frame.parts().iter().filter(is_it).count(), 1, "version {version}");
        }
        assert_eq!(frame.parts().len(), 4 + usize::from(version >= 9), "version {version}");
    }
}

#[test]
fn a_fetched_record_set_is_a_slice_of_its_frame() {
    let records = Records::from(Bytes::from(vec![7; 10_000]));
    let response: Response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "orders".into(),
            partitions: vec![PartitionData { records: Some(records), ..PartitionData::default() }],
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    }
    .into();
    let frame =
        encode_response(&response, 12, CorrelationId::FIRST).unwrap().into_bytes().slice(4..);
    let within = frame.as_ptr_range();
    let (_, read) = decode_response(ApiKey::FETCH, 12, frame.clone()).unwrap();
    let Response::Fetch(read) = read else { panic!("another response") };
    let records = read.responses[0].partitions[0].records.clone().unwrap();
    assert_eq!(records.len(), 10_000);
    assert!(within.contains(&records.head.as_ptr()), "the records were copied");
}

/// A length is a claim: nothing is reserved for it before bytes come.
#[test]
fn a_frame_is_given_out_once_it_is_whole() {
    let reader = FrameReader::new(1_000);
    let mut received = bytes::BytesMut::new();
    for byte in [0, 0, 0, 2, 9] {
        received.extend_from_slice(&[byte]);
        assert_eq!(reader.read(&mut received), Ok(None));
    }
    received.extend_from_slice(&[8, 1]);
    assert_eq!(reader.read(&mut received), Ok(Some(Bytes::from_static(&[9, 8]))));
    assert_eq!(received.len(), 1);
    for length in [-1, 1_001, i32::MAX, i32::MIN] {
        let mut received = bytes::BytesMut::from(&length.to_be_bytes()[..]);
        assert_eq!(reader.read(&mut received).map_err(|e| e.length), Err(length));
    }
}
