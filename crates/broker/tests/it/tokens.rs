//! Delegation tokens (KIP-48), of which there are none.

use milena_types::ErrorCode;
use milena_wire::{Response, messages as m};

use crate::world::World;

/// As with Kafka, which wants to know first who asks.
#[test]
fn nobody_gets_a_token_over_a_connection_that_proves_nothing() {
    let mut world = World::new();
    let refused = ErrorCode::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    let connection = world.connect_leader();
    let owned = m::CreateDelegationTokenRequest {
        owner_principal_type: Some("User".into()),
        owner_principal_name: Some("alice".into()),
        ..Default::default()
    };
    for (request, owner) in
        [(owned, "alice"), (m::CreateDelegationTokenRequest::default(), "ANONYMOUS")]
    {
        let Response::CreateDelegationToken(told) = world.ask(connection, 3, request) else {
            panic!("another answer")
        };
        assert_eq!(told.error_code, refused);
        assert_eq!(&*told.principal_name, owner);
        assert_eq!(&*told.token_requester_principal_name, "ANONYMOUS");
        assert!(told.token_id.is_empty() && told.hmac.is_empty(), "{told:?}");
    }
    let request = m::RenewDelegationTokenRequest::default();
    let Response::RenewDelegationToken(told) = world.ask(connection, 2, request) else {
        panic!("another answer")
    };
    assert_eq!((told.error_code, told.expiry_timestamp_ms), (refused, -1));
    let request = m::ExpireDelegationTokenRequest::default();
    let Response::ExpireDelegationToken(told) = world.ask(connection, 2, request) else {
        panic!("another answer")
    };
    assert_eq!((told.error_code, told.expiry_timestamp_ms), (refused, -1));
    let request = m::DescribeDelegationTokenRequest { owners: None };
    let Response::DescribeDelegationToken(told) = world.ask(connection, 3, request) else {
        panic!("another answer")
    };
    assert_eq!((told.error_code, told.tokens.len()), (refused, 0));
}
