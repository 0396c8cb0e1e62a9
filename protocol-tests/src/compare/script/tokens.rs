//! CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken, of a client that is nobody.

use milena_types::ApiKey;
use milena_wire::messages as m;

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) async fn run(on: &mut Recorder) -> Result {
    let key = ApiKey::CREATE_DELEGATION_TOKEN;
    let renewer = |kind: &str| {
        message!(m::create_delegation_token_request::CreatableRenewers {
            principal_type: kind.into(),
            principal_name: "bob".into(),
        })
    };
    for (what, kind) in [("renewed by a user", "User"), ("renewed by a group", "Group")] {
        let ask = message!(m::CreateDelegationTokenRequest { renewers: vec![renewer(kind)] });
        on.ask_each(what, key, 0..=99, |_| ask.clone()).await?;
    }
    let newest = on.newest(key);
    for (what, kind, name) in [
        ("of somebody else", Some("User"), Some("alice")),
        ("of somebody of no kind", None, Some("alice")),
        ("of nobody", Some("User"), Some("")),
        ("of a kind", Some("User"), None),
    ] {
        let ask = message!(m::CreateDelegationTokenRequest {
            owner_principal_type: kind.map(Into::into),
            owner_principal_name: name.map(Into::into),
            max_lifetime_ms: 60_000,
        });
        on.ask(what, newest, ask).await?;
    }
    let renew = message!(m::RenewDelegationTokenRequest {
        hmac: vec![7; 32].into(),
        renew_period_ms: 60_000,
    });
    on.ask_each("any", ApiKey::RENEW_DELEGATION_TOKEN, 0..=99, |_| renew.clone()).await?;
    let expire = message!(m::ExpireDelegationTokenRequest {
        hmac: vec![7; 32].into(),
        expiry_time_period_ms: -1,
    });
    on.ask_each("any", ApiKey::EXPIRE_DELEGATION_TOKEN, 0..=99, |_| expire.clone()).await?;
    for (what, owners) in [("all", None), ("of nobody", Some(vec![]))] {
        let ask = message!(m::DescribeDelegationTokenRequest { owners: owners });
        let key = ApiKey::DESCRIBE_DELEGATION_TOKEN;
        on.ask_each(what, key, 0..=99, |_| ask.clone()).await?;
    }
    Ok(())
}
