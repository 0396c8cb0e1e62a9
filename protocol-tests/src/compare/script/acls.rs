//! CreateAcls, DescribeAcls, DeleteAcls.

use milena_types::ApiKey;
use milena_wire::messages::create_acls_request::AclCreation;
use milena_wire::messages::delete_acls_request::DeleteAclsFilter;
use milena_wire::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) const TOPIC: i8 = 2;
pub(super) const GROUP: i8 = 3;
pub(super) const CLUSTER: i8 = 4;
pub(super) const TRANSACTIONAL_ID: i8 = 5;

pub(super) const ALL: i8 = 2;
pub(super) const READ: i8 = 3;
const WRITE: i8 = 4;

pub(super) const DENY: i8 = 2;
pub(super) const ALLOW: i8 = 3;

const ANY: i8 = 1;
const MATCH: i8 = 2;
const LITERAL: i8 = 3;
pub(super) const PREFIXED: i8 = 4;

/// Told later: a topic about which there is no rule.
pub(super) const DECIDED: &str = "script-decided";

/// A cluster without an authorizer.
pub(super) async fn without_authorizer(on: &mut Recorder) -> Result {
    let acl = rule(TOPIC, "script-acl", READ, ALLOW);
    on.ask_each("no authorizer", ApiKey::CREATE_ACLS, 0..=99, |_| creating(vec![acl.clone()]))
        .await?;
    on.ask_each("no authorizer", ApiKey::DESCRIBE_ACLS, 0..=99, |_| describing(&any())).await?;
    on.ask_each("no authorizer", ApiKey::DELETE_ACLS, 0..=99, |_| deleting(vec![any()])).await
}

pub(super) async fn run(on: &mut Recorder) -> Result {
    create(on).await?;
    settle(on).await?;
    describe(on).await?;
    delete(on).await?;
    settle(on).await
}

/// Of everyone, from everywhere.
pub(super) fn rule(kind: i8, name: &str, operation: i8, permission: i8) -> AclCreation {
    message!(AclCreation {
        resource_type: kind,
        resource_name: name.into(),
        principal: "User:*".into(),
        host: "*".into(),
        operation: operation,
        permission_type: permission,
    })
}

pub(super) fn creating(creations: Vec<AclCreation>) -> CreateAclsRequest {
    message!(CreateAclsRequest { creations: creations })
}

pub(super) fn deleting(filters: Vec<DeleteAclsFilter>) -> DeleteAclsRequest {
    message!(DeleteAclsRequest { filters: filters })
}

/// Whatever there is about a resource, or about all.
pub(super) fn about(kind: i8, name: Option<&str>) -> DeleteAclsFilter {
    message!(DeleteAclsFilter {
        resource_type_filter: kind,
        resource_name_filter: name.map(Into::into),
        pattern_type_filter: ANY,
        principal_filter: None,
        host_filter: None,
        operation: ANY,
        permission_type: ANY,
    })
}

fn any() -> DeleteAclsFilter {
    about(ANY, None)
}

pub(super) fn describing(filter: &DeleteAclsFilter) -> DescribeAclsRequest {
    message!(DescribeAclsRequest {
        resource_type_filter: filter.resource_type_filter,
        resource_name_filter: filter.resource_name_filter.clone(),
        pattern_type_filter: filter.pattern_type_filter,
        principal_filter: filter.principal_filter.clone(),
        host_filter: filter.host_filter.clone(),
        operation: filter.operation,
        permission_type: filter.permission_type,
    })
}

/// Waits until the broker judges by what was changed last. Seen is the second change of two, which comes in a later piece
/// of metadata than the first; by then all of the earlier piece counts.
pub(super) async fn settle(on: &mut Recorder) -> Result {
    on.await_metadata(DECIDED).await?;
    on.await_metadata(DECIDED).await
}

async fn create(on: &mut Recorder) -> Result {
    let key = ApiKey::CREATE_ACLS;
    let good = |name: &str| rule(TOPIC, name, READ, ALLOW);
    on.ask_each("a rule a version", key, 0..=99, |version| {
        creating(vec![good(&format!("script-acl-v{version}"))])
    })
    .await?;
    on.ask_each("one that is there", key, 0..=99, |_| creating(vec![good("script-acl-v1")]))
        .await?;
    let newest = on.newest(key);
    let mut prefixed = rule(TOPIC, "script-acl", WRITE, DENY);
    prefixed.resource_pattern_type = PREFIXED;
    prefixed.principal = "User:alice".into();
    let mut from = rule(GROUP, "script-acl", READ, ALLOW);
    from.host = "10.0.0.1".into();
    let cluster = rule(CLUSTER, "kafka-cluster", ALL, ALLOW);
    let id = rule(TRANSACTIONAL_ID, "*", WRITE, ALLOW);
    on.ask("of all kinds", newest, creating(vec![prefixed, from, cluster, id])).await?;
    let user = rule(7, "User:alice", 13, ALLOW);
    on.ask("of tokens", newest, creating(vec![user, rule(6, "token", 8, ALLOW)])).await?;
    let with = |change: fn(&mut AclCreation)| {
        let mut one = rule(TOPIC, "script-acl-wrong", READ, ALLOW);
        change(&mut one);
        one
    };
    for (what, wrong) in [
        ("any resource", with(|one| one.resource_type = ANY)),
        ("any pattern", with(|one| one.resource_pattern_type = ANY)),
        ("a match", with(|one| one.resource_pattern_type = MATCH)),
        ("any operation", with(|one| one.operation = ANY)),
        ("any permission", with(|one| one.permission_type = ANY)),
        ("no name", with(|one| one.resource_name = "".into())),
        ("another cluster", rule(CLUSTER, "my-cluster", ALL, ALLOW)),
        ("an unknown resource", with(|one| one.resource_type = 99)),
        ("an unknown operation", with(|one| one.operation = 99)),
        ("a resource 0", with(|one| one.resource_type = 0)),
        ("an operation 0", with(|one| one.operation = 0)),
        ("a principal without a kind", with(|one| one.principal = "alice".into())),
        ("no principal", with(|one| one.principal = "".into())),
    ] {
        let both = creating(vec![wrong, good("script-acl-fine")]);
        on.ask(what, newest, both).await?;
    }
    on.ask("nothing", newest, creating(vec![])).await?;
    Ok(())
}

async fn describe(on: &mut Recorder) -> Result {
    let key = ApiKey::DESCRIBE_ACLS;
    on.ask_each("all", key, 0..=99, |_| describing(&any())).await?;
    let newest = on.newest(key);
    let with = |kind: i8, name: Option<&str>, change: fn(&mut DeleteAclsFilter)| {
        let mut filter = about(kind, name);
        change(&mut filter);
        filter
    };
    let name = Some("script-acl-v2");
    for (what, filter) in [
        ("of groups", with(GROUP, None, |_| {})),
        ("by name", with(TOPIC, name, |_| {})),
        ("literally", with(TOPIC, name, |one| one.pattern_type_filter = LITERAL)),
        ("what counts for a name", with(TOPIC, name, |one| one.pattern_type_filter = MATCH)),
        ("prefixes", with(TOPIC, None, |one| one.pattern_type_filter = PREFIXED)),
        ("all ids", with(TRANSACTIONAL_ID, Some("x"), |one| one.pattern_type_filter = MATCH)),
        ("of alice", with(ANY, None, |one| one.principal_filter = Some("User:alice".into()))),
        ("from an address", with(ANY, None, |one| one.host_filter = Some("10.0.0.1".into()))),
        ("to read", with(ANY, None, |one| one.operation = READ)),
        ("of denials", with(ANY, None, |one| one.permission_type = DENY)),
        ("of nothing", with(TOPIC, Some("script-acl-none"), |_| {})),
        ("an unknown resource", with(99, None, |_| {})),
        ("a resource 0", with(0, None, |_| {})),
    ] {
        on.ask(what, newest, describing(&filter)).await?;
    }
    Ok(())
}

async fn delete(on: &mut Recorder) -> Result {
    let key = ApiKey::DELETE_ACLS;
    on.ask_each("one a version", key, 0..=99, |version| {
        deleting(vec![about(TOPIC, Some(&format!("script-acl-v{version}")))])
    })
    .await?;
    let newest = on.newest(key);
    let both = vec![about(GROUP, None), about(TOPIC, Some("script-acl-none"))];
    on.ask("some and none", newest, deleting(both)).await?;
    on.ask("an unknown resource", newest, deleting(vec![about(99, None)])).await?;
    on.ask("nothing", newest, deleting(vec![])).await?;
    on.ask("all that are left", newest, deleting(vec![any()])).await?;
    Ok(())
}
