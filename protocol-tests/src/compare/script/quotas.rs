//! AlterClientQuotas, DescribeClientQuotas.

use milena_types::ApiKey;
use milena_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use milena_wire::messages::describe_client_quotas_request::ComponentData;
use milena_wire::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

/// Clients that ask nothing in this script, so that nobody is limited.
const USER: (&str, Option<&str>) = ("user", Some("script-limited"));
const CLIENT: (&str, Option<&str>) = ("client-id", Some("script-limited"));

pub(super) async fn run(on: &mut Recorder) -> Result {
    alter(on).await?;
    describe(on).await
}

/// An entity, the name of a quota, and its value unless it is to be removed.
pub(super) type Wish<'a> = (&'a [(&'a str, Option<&'a str>)], &'a str, Option<f64>);

pub(super) fn wishing(wishes: &[Wish<'_>]) -> AlterClientQuotasRequest {
    let entries = wishes.iter().map(|(parts, key, value)| {
        let part = |(kind, name): &(&str, Option<&str>)| {
            message!(EntityData { entity_type: (*kind).into(), entity_name: name.map(Into::into) })
        };
        let op = message!(OpData {
            key: (*key).into(),
            value: value.unwrap_or_default(),
            remove: value.is_none(),
        });
        message!(EntryData { entity: parts.iter().map(part).collect(), ops: vec![op] })
    });
    message!(AlterClientQuotasRequest { entries: entries.collect() })
}

async fn alter(on: &mut Recorder) -> Result {
    let key = ApiKey::ALTER_CLIENT_QUOTAS;
    let rate = "producer_byte_rate";
    let ip = ("ip", Some("10.0.0.1"));
    on.ask_each("of a client", key, 0..=99, |_| wishing(&[(&[CLIENT], rate, Some(1e6))])).await?;
    let newest = on.newest(key);
    for (what, wish) in [
        ("of a user", (&[USER][..], "consumer_byte_rate", Some(1e6))),
        ("of a user, once more", (&[USER], "request_percentage", Some(12.5))),
        ("of a user's clients", (&[USER, ("client-id", None)], rate, Some(2e6))),
        ("of an address", (&[ip], "connection_creation_rate", Some(5.0))),
        ("what is not set, removed", (&[CLIENT], "request_percentage", None)),
        ("what nobody knows, removed", (&[CLIENT], "no_such_quota", None)),
        ("what nobody knows", (&[CLIENT], "no_such_quota", Some(1.0))),
        ("an address' of a client", (&[CLIENT], "connection_creation_rate", Some(1.0))),
        ("a client's of an address", (&[ip], rate, Some(1.0))),
        ("nothing at all", (&[CLIENT], rate, Some(0.0))),
        ("less than nothing", (&[CLIENT], rate, Some(-1.0))),
        ("half a byte", (&[CLIENT], rate, Some(0.5))),
        ("too much", (&[CLIENT], rate, Some(1e30))),
        ("too many", (&[ip], "connection_creation_rate", Some(1e10))),
        ("of nobody", (&[], rate, Some(1.0))),
        ("of an empty name", (&[("user", Some(""))], rate, Some(1.0))),
        ("of a nation", (&[("nation", Some("x"))], rate, Some(1.0))),
        ("of a user and an address", (&[USER, ip], rate, Some(1.0))),
    ] {
        on.ask(what, newest, wishing(&[wish])).await?;
    }
    let twice: [Wish<'_>; 2] = [(&[CLIENT], rate, Some(3e6)), (&[CLIENT], rate, Some(4e6))];
    on.ask("of a client twice", newest, wishing(&twice)).await?;
    let mut doubled = wishing(&twice[..1]);
    doubled.entries[0].ops.extend_from_within(..);
    on.ask("one quota twice", newest, doubled).await?;
    let mut checked = wishing(&[(&[CLIENT], "consumer_byte_rate", Some(7e6))]);
    checked.validate_only = true;
    on.ask("only checked", newest, checked).await?;
    on.ask("nothing", newest, wishing(&[])).await?;
    // What is told of later is known by then.
    on.await_metadata("script-placed").await
}

async fn describe(on: &mut Recorder) -> Result {
    let key = ApiKey::DESCRIBE_CLIENT_QUOTAS;
    let asking = |filter: &[(&str, i8, Option<&str>)], strict: bool| {
        let component = |(kind, how, name): &(&str, i8, Option<&str>)| {
            message!(ComponentData {
                entity_type: (*kind).into(),
                match_type: *how,
                r#match: name.map(Into::into),
            })
        };
        let components = filter.iter().map(component).collect();
        message!(DescribeClientQuotasRequest { components: components, strict: strict })
    };
    let user = USER.1;
    for (what, filter, strict) in [
        ("a user", &[("user", 0, user)][..], false),
        ("a user alone", &[("user", 0, user)], true),
        ("a user's clients by default", &[("user", 0, user), ("client-id", 1, None)], true),
        ("any client", &[("client-id", 2, None)], true),
        ("any address", &[("ip", 2, None)], false),
        ("an unknown user", &[("user", 0, Some("nobody"))], false),
    ] {
        on.ask_each(what, key, 0..=99, |_| asking(filter, strict)).await?;
    }
    let newest = on.newest(key);
    for (what, filter) in [
        ("no kind", &[("", 0, Some("x"))][..]),
        ("an unknown kind", &[("nation", 0, Some("x"))]),
        ("a kind twice", &[("user", 2, None), ("user", 1, None)]),
        ("an exact nothing", &[("user", 0, None)]),
        ("a default with a name", &[("user", 1, Some("x"))]),
        ("anything with a name", &[("user", 2, Some("x"))]),
        ("in no known way", &[("user", 9, None)]),
        ("a user at an address", &[("user", 2, None), ("ip", 2, None)]),
    ] {
        on.ask(what, newest, asking(filter, false)).await?;
    }
    Ok(())
}
