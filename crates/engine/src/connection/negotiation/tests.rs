use milena_wire::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use milena_wire::{decode_request, encode_response};

use super::*;

#[test]
fn a_newest_broker_is_asked_once() {
    let mut negotiation = Negotiation::new("app");
    let (version, request) = sent(negotiation.handle_connected());
    assert_eq!(version, newest());
    assert_eq!(&*request.client_software_name, "milena");
    assert!(!request.client_software_version.is_empty());
    let (versions, next) = done(negotiation.handle_frame(answer(&listing(9, 13), version, 0)));
    assert_eq!(versions.pick(ApiKey::METADATA, 0, i16::MAX), Some(13));
    assert_eq!(versions.finalized("transaction.version"), Some(2));
    assert_eq!(versions.finalized_epoch(), Some(5));
    assert_eq!(next, CorrelationId::FIRST.next());
}

/// Trap 40: the refusal has the shape of version 0, whatever was asked, and may say what would do.
#[test]
fn a_refusal_that_lists_a_version_is_followed() {
    let mut negotiation = Negotiation::new("");
    let _ = negotiation.handle_connected();
    let mut refusal = listing(0, 9);
    refusal.error_code = ErrorCode::UNSUPPORTED_VERSION;
    refusal.api_keys = vec![range(ApiKey::API_VERSIONS, 0, 2)];
    let (version, _) = sent(negotiation.handle_frame(answer(&refusal, 0, 0)));
    assert_eq!(version, 2);
    let (versions, next) = done(negotiation.handle_frame(answer(&listing(0, 9), 2, 1)));
    assert_eq!(versions.pick(ApiKey::METADATA, 0, i16::MAX), Some(9));
    assert_eq!(next.get(), 2);
}

#[test]
fn a_refusal_without_a_list_falls_back_to_version_0() {
    let mut negotiation = Negotiation::new("");
    let _ = negotiation.handle_connected();
    // Correlation id and code, and nothing more.
    let bare = Bytes::from_static(&[0, 0, 0, 0, 0, 35]);
    let (version, _) = sent(negotiation.handle_frame(bare));
    assert_eq!(version, 0);
    done(negotiation.handle_frame(answer(&listing(0, 9), 0, 1)));
}

/// A broker that refuses and lists what it refuses would be asked for ever.
#[test]
fn a_broker_that_refuses_everything_is_given_up() {
    let mut negotiation = Negotiation::new("");
    let mut step = negotiation.handle_connected();
    for correlation in 0..20 {
        if matches!(step, Step::Failed(_)) {
            return;
        }
        let mut refusal = listing(0, 9);
        refusal.error_code = ErrorCode::UNSUPPORTED_VERSION;
        refusal.api_keys = vec![range(ApiKey::API_VERSIONS, 0, i16::MAX)];
        step = negotiation.handle_frame(answer(&refusal, 0, correlation));
    }
    panic!("still asking");
}

/// Some brokers hang up on what they do not know; so do those that restart, for which version 0 tells too little.
#[test]
fn version_0_is_tried_after_two_hang_ups_and_nothing_after_three() {
    let mut negotiation = Negotiation::new("");
    assert_eq!(sent(negotiation.handle_connected()).0, newest());
    assert!(matches!(negotiation.handle_lost("reset"), Step::Reconnect));
    assert_eq!(sent(negotiation.handle_connected()).0, newest());
    assert!(matches!(negotiation.handle_lost("reset"), Step::Reconnect));
    assert_eq!(sent(negotiation.handle_connected()).0, 0);
    let Step::Failed(Failure::Unreachable(why)) = negotiation.handle_lost("reset") else {
        panic!()
    };
    assert!(why.contains("TLS"), "{why}");
}

#[test]
fn an_answer_to_another_request_is_malformed() {
    let mut negotiation = Negotiation::new("");
    let _ = negotiation.handle_connected();
    let step = negotiation.handle_frame(answer(&listing(0, 9), newest(), 77));
    assert!(matches!(step, Step::Failed(Failure::MalformedResponse(_))));
}

#[test]
fn no_bytes_make_it_panic() {
    for seed in 0..5000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut negotiation = Negotiation::new("");
        let _ = negotiation.handle_connected();
        let mut frame = answer(&listing(0, 9), newest(), 0).to_vec();
        let place = rng.usize(0..frame.len());
        frame[place] ^= 1 << rng.u32(0..8);
        frame.truncate(rng.usize(0..=frame.len()));
        let _ = negotiation.handle_frame(frame.into());
    }
}

/// KAFKA-18659: brokers claim Produce from 0 and refuse what is below 3.
#[test]
fn the_version_picked_is_one_that_both_speak() {
    let versions = Versions::new([
        (ApiKey::PRODUCE, 0, 7),
        (ApiKey::FETCH, 0, 3),
        (ApiKey::HEARTBEAT, 5, 2),
        (ApiKey::from_wire(9999), 0, 1),
    ]);
    assert_eq!(versions.pick(ApiKey::PRODUCE, 0, i16::MAX), Some(7));
    assert_eq!(versions.pick(ApiKey::PRODUCE, 0, 2), None);
    assert_eq!(versions.pick(ApiKey::PRODUCE, 8, i16::MAX), None);
    assert_eq!(versions.pick(ApiKey::FETCH, 0, i16::MAX), None);
    assert_eq!(versions.pick(ApiKey::HEARTBEAT, 0, i16::MAX), None);
    assert_eq!(versions.pick(ApiKey::JOIN_GROUP, 0, i16::MAX), None);
    assert_eq!(versions.pick(ApiKey::from_wire(9999), 0, i16::MAX), None);
}

fn range(api: ApiKey, min_version: i16, max_version: i16) -> ApiVersion {
    ApiVersion { api_key: api.get(), min_version, max_version }
}

fn listing(min: i16, max: i16) -> ApiVersionsResponse {
    ApiVersionsResponse {
        api_keys: vec![range(ApiKey::METADATA, min, max), range(ApiKey::API_VERSIONS, 0, 4)],
        finalized_features_epoch: 5,
        finalized_features: vec![FinalizedFeatureKey {
            name: "transaction.version".into(),
            max_version_level: 2,
            min_version_level: 0,
        }],
        ..ApiVersionsResponse::default()
    }
}

fn answer(response: &ApiVersionsResponse, version: i16, correlation: i32) -> Bytes {
    let response = Response::from(response.clone());
    let frame = encode_response(&response, version, CorrelationId::from_wire(correlation));
    frame.expect("well formed").into_bytes().slice(4..)
}

fn sent(step: Step) -> (i16, ApiVersionsRequest) {
    let Step::Send(frame) = step else { panic!("{step:?}") };
    let (header, body) = decode_request(frame.into_bytes().slice(4..)).expect("well formed");
    let Request::ApiVersions(request) = body else { panic!("{body:?}") };
    (header.api_version, request)
}

fn done(step: Step) -> (Versions, CorrelationId) {
    let Step::Done(versions, next) = step else { panic!("{step:?}") };
    (versions, next)
}
