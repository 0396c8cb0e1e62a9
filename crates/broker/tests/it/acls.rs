//! Clients that may not do everything.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_broker::{
    Acl, AclOperation, AclResource, AuthorizerSettings, ErrorCode, Settings, TopicSettings,
};
use milena_types::{Topic, TopicPartition};
use milena_wire::messages::create_acls_request::AclCreation;
use milena_wire::messages::delete_acls_request::DeleteAclsFilter;
use milena_wire::messages::fetch_request::{FetchRequest, FetchTopic};
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::{
    CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, MetadataRequest,
};
use milena_wire::{Request, Response};

use crate::consumer_member::{ConsumerMember, GROUP, coordinator};
use crate::world::{World, batch, fetch, fetch_response, fetched, offsets, produce};

/// Everyone may what no rule is about.
fn judging(settings: &mut Settings) {
    settings.topics.push(TopicSettings::new("u", 1));
    let mut authorizer = AuthorizerSettings::default();
    authorizer.allow_everyone_if_no_acl_found = true;
    settings.authorizer = Some(authorizer);
}

fn topics(world: &mut World) -> Vec<String> {
    let connection = world.connect_leader();
    let Response::Metadata(told) =
        world.ask(connection, 12, MetadataRequest { topics: None, ..Default::default() })
    else {
        panic!("another answer")
    };
    told.topics.iter().map(|topic| topic.name.as_deref().unwrap_or_default().to_owned()).collect()
}

fn written(world: &mut World) -> ErrorCode {
    let connection = world.connect_leader();
    let Response::Produce(told) = world.ask(connection, 9, produce(-1, batch(&["x"], None))) else {
        panic!("another answer")
    };
    told.responses[0].partition_responses[0].error_code
}

#[test]
fn what_is_denied_is_not_stored_until_it_is_denied_no_more() {
    let mut world = World::with(judging);
    let rule = Acl::deny(AclOperation::Write, AclResource::topic("t"));
    world.cluster.add_acl(rule.clone()).expect("there is an authorizer");
    assert_eq!(written(&mut world), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(world.cluster.journal().batches().count(), 0);
    assert!(world.cluster.remove_acl(&rule));
    assert_eq!(written(&mut world), ErrorCode::NONE);
    assert_eq!(world.cluster.journal().batches().count(), 1);
}

/// Without an answer there is no other way to say no.
#[test]
fn who_wants_no_answer_and_has_no_right_loses_the_connection() {
    let mut world = World::with(judging);
    let rule = Acl::deny(AclOperation::Write, AclResource::topic("t"));
    world.cluster.add_acl(rule).expect("there is an authorizer");
    let connection = world.connect_leader();
    world.send(connection, 9, produce(0, batch(&["x"], None)));
    assert!(world.is_closed(connection));
}

#[test]
fn a_topic_that_may_not_be_seen_is_left_out_of_all_and_is_not_fetched() {
    let mut world = World::with(judging);
    assert_eq!(written(&mut world), ErrorCode::NONE);
    let rule = Acl::deny(AclOperation::All, AclResource::topic("t"));
    world.cluster.add_acl(rule).expect("there is an authorizer");
    assert_eq!(topics(&mut world), ["u"]);
    let connection = world.connect_leader();
    let told = fetched(world.ask(connection, 11, fetch(0, 1, 60_000)));
    assert_eq!(told.error_code, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert!(offsets(&told).is_empty());
}

/// Kafka's default: nobody may anything until somebody is allowed to, but super users.
#[test]
fn nobody_may_anything_unless_allowed() {
    let mut world = World::with(|settings| {
        settings.authorizer = Some(AuthorizerSettings::default());
    });
    assert_eq!(written(&mut world), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert!(topics(&mut world).is_empty());
    let rule = Acl::allow(AclOperation::Write, AclResource::topic("t"));
    world.cluster.add_acl(rule.principal("User:ANONYMOUS")).expect("there is an authorizer");
    assert_eq!(written(&mut world), ErrorCode::NONE);
    assert_eq!(topics(&mut world), ["t"], "who may write may see");

    let mut world = World::with(|settings| {
        let mut authorizer = AuthorizerSettings::default();
        authorizer.super_users = BTreeSet::from(["User:ANONYMOUS".to_owned()]);
        settings.authorizer = Some(authorizer);
    });
    assert_eq!(written(&mut world), ErrorCode::NONE);
}

fn acl_requests() -> [Request; 3] {
    let creation = AclCreation {
        resource_type: 2,
        resource_name: "t".into(),
        principal: "User:*".into(),
        host: "*".into(),
        operation: 4,
        permission_type: 2,
        ..Default::default()
    };
    let filter = DeleteAclsFilter {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        resource_name_filter: None,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    let describe = DescribeAclsRequest {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        resource_name_filter: None,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    [
        CreateAclsRequest { creations: vec![creation] }.into(),
        describe.into(),
        DeleteAclsRequest { filters: vec![filter] }.into(),
    ]
}

#[test]
fn without_an_authorizer_there_are_no_rules() {
    let mut world = World::new();
    let disabled = format!("{:?}", ErrorCode::SECURITY_DISABLED);
    for request in acl_requests() {
        let connection = world.connect_leader();
        let told = format!("{:?}", world.ask(connection, 3, request));
        assert!(told.contains(&disabled), "{told}");
    }
    let rule = Acl::deny(AclOperation::Write, AclResource::topic("t"));
    let refused = world.cluster.add_acl(rule).expect_err("nobody would judge by it");
    assert_eq!(refused.code, ErrorCode::SECURITY_DISABLED);
}

#[test]
fn rules_that_clients_make_count_and_are_gone_when_they_say() {
    let mut world = World::with(judging);
    let [create, describe, delete] = acl_requests();
    let connection = world.connect_leader();
    world.ask(connection, 3, create);
    assert_eq!(written(&mut world), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let Response::DescribeAcls(told) = world.ask(connection, 3, describe) else {
        panic!("another answer")
    };
    assert_eq!((told.resources.len(), told.resources[0].acls.len()), (1, 1), "{told:?}");
    world.ask(connection, 3, delete);
    assert_eq!(written(&mut world), ErrorCode::NONE);
}

/// Both topics, led by the leader of `t`.
fn fetch_both(world: &mut World) -> FetchRequest {
    let leader = world.leader();
    let u = TopicPartition::new(Topic::from("u"), 0);
    world.cluster.move_leader(world.now, &u, leader);
    let mut both = fetch(0, 1, 500);
    let other = FetchTopic { topic: "u".into(), ..both.topics[0].clone() };
    both.topics.push(other);
    both
}

fn codes(response: Response) -> Vec<ErrorCode> {
    let topics = fetch_response(response).responses;
    topics.iter().map(|topic| topic.partitions[0].error_code).collect()
}

/// A client that asks again at once would ask without end otherwise.
#[test]
fn a_fetch_waits_beside_what_it_may_not_read_or_what_is_unknown() {
    for refused in [ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION] {
        let mut world = World::with(judging);
        let mut request = fetch_both(&mut world);
        match refused {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => request.topics[0].topic = "v".into(),
            _ => world.cluster.add_acl(deny_read("t")).expect("there is an authorizer"),
        }
        let reader = world.connect_leader();
        world.send(reader, 11, request.clone());
        world.pass(Duration::from_millis(499));
        assert_eq!(world.answer(reader), None);
        world.pass(Duration::from_millis(1));
        let told = world.answer(reader).expect("its time is over");
        assert_eq!(codes(told), [refused, ErrorCode::NONE]);

        world.send(reader, 11, request.clone());
        let mut written = produce(-1, batch(&["x"], None));
        written.topic_data[0].name = "u".into();
        let writer = world.connect_leader();
        world.ask(writer, 9, written);
        let told = fetch_response(world.answer(reader).expect("woken"));
        assert_eq!(offsets(&told.responses[1].partitions[0]), [0]);

        request.topics.truncate(1);
        assert_eq!(codes(world.ask(reader, 11, request)), [refused], "nothing to wait for");
    }
}

/// What may not be read is taken out before the group is asked.
#[test]
fn a_commit_of_what_may_not_be_read_says_so_whatever_the_group_says() {
    let mut world = World::with(judging);
    world.cluster.add_acl(deny_read("t")).expect("there is an authorizer");
    let coordinator = coordinator(&mut world);
    let mut commit = |names: &[&str], generation: i32| {
        let connection = world.connect(coordinator);
        let topic = |name: &&str| OffsetCommitRequestTopic {
            name: (*name).into(),
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: generation,
            topics: names.iter().map(topic).collect(),
            ..Default::default()
        };
        let Response::OffsetCommit(told) = world.ask(connection, 8, request) else {
            panic!("another answer")
        };
        let told = told.topics.iter().map(|topic| topic.partitions[0].error_code);
        (told.collect::<Vec<_>>(), world.cluster.group(GROUP).is_some())
    };
    let (forbidden, unknown) =
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(commit(&["t", "v"], -1), (vec![forbidden, unknown], false));
    assert_eq!(commit(&["t", "v"], 7), (vec![forbidden, unknown], false));
    let stale = ErrorCode::ILLEGAL_GENERATION;
    assert_eq!(commit(&["t", "u", "v"], 7), (vec![forbidden, stale, unknown], false));
    assert_eq!(commit(&["t", "u"], -1), (vec![forbidden, ErrorCode::NONE], true));
}

#[test]
fn a_regular_expression_finds_only_topics_that_may_be_seen() {
    let mut world = World::with(judging);
    let rule = Acl::deny(AclOperation::Describe, AclResource::topic("t"));
    world.cluster.add_acl(rule).expect("there is an authorizer");
    let mut member = ConsumerMember::connect(&mut world, "a");
    member.regex = Some("[tu]".into());
    member.join(&mut world);
    world.pass(Duration::from_secs(2));
    member.beat(&mut world);
    assert_eq!((member.epoch, member.told.len()), (2, 1));
}

fn deny_read(topic: impl Into<String>) -> Acl {
    Acl::deny(AclOperation::Read, AclResource::topic(topic))
}

/// As many rules as there may be.
fn fill(world: &mut World) {
    for number in 0..10_000 {
        let rule = deny_read(format!("t{number}"));
        world.cluster.add_acl(rule).expect("there is an authorizer");
    }
}

/// Each filter is told every rule that it matches: many that match all would make an answer without end.
#[test]
fn one_request_is_not_told_of_more_rules_than_there_may_be() {
    let mut world = World::with(judging);
    fill(&mut world);
    let [.., Request::DeleteAcls(delete)] = acl_requests() else { panic!("another request") };
    let any = delete.filters[0].clone();
    let named =
        |name: String| DeleteAclsFilter { resource_name_filter: Some(name.into()), ..any.clone() };
    let mut delete = |filters: Vec<DeleteAclsFilter>| {
        let connection = world.connect_leader();
        let Response::DeleteAcls(told) = world.ask(connection, 3, DeleteAclsRequest { filters })
        else {
            panic!("another answer")
        };
        let told = told.filter_results.iter();
        let told: Vec<_> = told.map(|one| (one.error_code, one.matching_acls.len())).collect();
        (told, world.cluster.acls().len())
    };
    let filters = vec![named("t1".into()), any.clone(), named("t2".into()), named("t".into())];
    let told = vec![
        (ErrorCode::NONE, 1),
        (ErrorCode::POLICY_VIOLATION, 0),
        (ErrorCode::NONE, 1),
        (ErrorCode::NONE, 0),
    ];
    assert_eq!(delete(filters), (told, 9_998));
    let (told, left) = delete(vec![any; 1_000]);
    assert_eq!((told[0], left), ((ErrorCode::NONE, 9_998), 0));
    assert!(told[1..].iter().all(|one| *one == (ErrorCode::POLICY_VIOLATION, 0)));
}

#[test]
fn a_rule_that_is_there_already_is_no_error_where_there_is_room_for_no_other() {
    let mut world = World::with(judging);
    fill(&mut world);
    world.cluster.add_acl(deny_read("t0")).expect("it is there");
    let refused = world.cluster.add_acl(deny_read("another")).expect_err("there is no room");
    assert_eq!(refused.code, ErrorCode::POLICY_VIOLATION);
}

#[test]
fn rules_that_nobody_could_be_told_of_or_meant_by_are_refused() {
    let mut world = World::with(judging);
    let long = "x".repeat(32_767);
    let principal = |text: &str| deny_read("t").principal(text);
    let longest = principal(&format!("User:{}", &long[5..])).host(&long);
    world.cluster.add_acl(longest).expect("it can be told");
    for rule in [
        deny_read(format!("{long}x")),
        principal(&format!("User:{long}")),
        deny_read("t").host(format!("{long}x")),
        deny_read(""),
        principal("alice"),
    ] {
        let refused = world.cluster.add_acl(rule).expect_err("it is refused");
        assert_eq!(refused.code, ErrorCode::INVALID_REQUEST);
    }
    assert_eq!(world.cluster.acls().len(), 1);
}

#[test]
fn rules_survive_a_restart() {
    let rule = |name: &str| {
        Acl::deny(AclOperation::Read, AclResource::topic(name).prefixed())
            .principal("User:alice")
            .host("10.0.0.1")
    };
    let mut world = World::with(judging);
    for name in ["kept", "gone"] {
        world.cluster.add_acl(rule(name)).expect("there is an authorizer");
    }
    assert!(world.cluster.remove_acl(&rule("gone")));
    world.restart();
    assert_eq!(world.cluster.acls(), [rule("kept")]);
    world.restart_compacted();
    assert_eq!(world.cluster.acls(), [rule("kept")]);
}
