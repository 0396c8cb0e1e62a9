//! Levels of features that are set while the cluster runs.

use milena_broker::{Acl, AclOperation, AclResource, AuthorizerSettings, Settings};
use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;
use milena_wire::messages::api_versions_request::ApiVersionsRequest;
use milena_wire::messages::api_versions_response::ApiVersionsResponse;
use milena_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use milena_wire::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use milena_wire::messages::update_features_response::UpdateFeaturesResponse;

use crate::world::{World, node};

const UPGRADE: i8 = 1;
const DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

fn setting(updates: &[(&str, i16, i8)]) -> UpdateFeaturesRequest {
    let update = |(feature, level, kind): &(&str, i16, i8)| FeatureUpdateKey {
        feature: (*feature).into(),
        max_version_level: *level,
        upgrade_type: *kind,
        ..Default::default()
    };
    UpdateFeaturesRequest {
        feature_updates: updates.iter().map(update).collect(),
        ..Default::default()
    }
}

fn ask(world: &mut World, version: i16, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let connection = world.connect(node(2));
    let Response::UpdateFeatures(told) = world.ask(connection, version, request) else { panic!() };
    told
}

/// The code, and what is said after the words that are always the same.
fn set(world: &mut World, updates: &[(&str, i16, i8)]) -> (ErrorCode, String) {
    let told = ask(world, 2, setting(updates));
    let why = told.error_message.as_deref().unwrap_or_default();
    let why = why.rsplit("had an error: ").next().unwrap_or_default();
    (told.error_code, why.to_owned())
}

fn told(world: &mut World) -> ApiVersionsResponse {
    let connection = world.connect(node(1));
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let Response::ApiVersions(told) = world.ask(connection, 4, request) else { panic!() };
    told
}

fn level(world: &mut World, feature: &str) -> Option<i16> {
    let told = told(world);
    let of = told.finalized_features.iter().find(|of| *of.name == *feature);
    of.map(|of| of.max_version_level)
}

fn heartbeat(world: &mut World) -> ErrorCode {
    let connection = world.connect(node(1));
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "nobody".into(),
        member_epoch: 5,
        ..Default::default()
    };
    let Response::ConsumerGroupHeartbeat(told) = world.ask(connection, 1, request) else {
        panic!()
    };
    told.error_code
}

fn playing(release: &str) -> World {
    let release = release.parse().expect("a release");
    World::with(|settings: &mut Settings| *settings = settings.clone().as_version(release))
}

#[test]
fn a_level_that_is_set_counts_is_told_and_outlives_the_process() {
    for restart in [World::restart, World::restart_compacted] {
        let mut world = World::new();
        let epoch = told(&mut world).finalized_features_epoch;
        assert_ne!(heartbeat(&mut world), ErrorCode::UNSUPPORTED_VERSION);
        let wish = [("group.version", 0, DOWNGRADE), ("transaction.version", 1, UNSAFE_DOWNGRADE)];
        assert_eq!(set(&mut world, &wish), (ErrorCode::NONE, String::new()));
        restart(&mut world);
        assert_eq!(level(&mut world, "group.version"), None, "0 is not told");
        assert_eq!(level(&mut world, "transaction.version"), Some(1));
        assert_eq!(told(&mut world).finalized_features_epoch, epoch + 1);
        assert_eq!(heartbeat(&mut world), ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(set(&mut world, &[("group.version", 1, UPGRADE)]).0, ErrorCode::NONE);
        assert_ne!(heartbeat(&mut world), ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(told(&mut world).finalized_features_epoch, epoch + 2);
    }
}

#[test]
fn what_is_only_checked_or_refused_in_part_changes_nothing() {
    let mut world = World::new();
    let before = told(&mut world);
    let mut checked = setting(&[("group.version", 0, DOWNGRADE)]);
    checked.validate_only = true;
    assert_eq!(ask(&mut world, 1, checked).error_code, ErrorCode::NONE);
    let wish = [("group.version", 0, DOWNGRADE), ("share.version", 3, UPGRADE)];
    let (code, why) = set(&mut world, &wish);
    assert_eq!(code, ErrorCode::INVALID_UPDATE_VERSION);
    assert_eq!(
        why,
        "Invalid update version 3 for feature share.version. Local controller 1 only supports versions 0-2"
    );
    assert_eq!(told(&mut world), before);
}

/// Kafka's controllers read the kind of the update alone, which version 0 does not have.
#[test]
fn version_0_cannot_go_down_and_version_2_tells_of_no_feature_by_itself() {
    let mut world = World::new();
    let mut down = setting(&[("group.version", 0, UPGRADE)]);
    down.feature_updates[0].allow_downgrade = true;
    let refused = ask(&mut world, 0, down);
    assert_eq!(refused.error_code, ErrorCode::INVALID_UPDATE_VERSION);
    assert!(refused.results.is_empty());
    for (version, results) in [(0, 1), (1, 1), (2, 0)] {
        let told = ask(&mut world, version, setting(&[("group.version", 1, UPGRADE)]));
        assert_eq!((told.error_code, told.results.len()), (ErrorCode::NONE, results));
    }
}

#[test]
fn metadata_goes_down_only_where_nothing_that_is_written_changed() {
    let mut world = playing("4.0");
    let down = |level| [("metadata.version", level, DOWNGRADE)];
    assert_eq!(set(&mut world, &down(23)), (ErrorCode::NONE, String::new()));
    assert_eq!(level(&mut world, "metadata.version"), Some(23));
    let (code, why) = set(&mut world, &down(22));
    assert_eq!(code, ErrorCode::INVALID_UPDATE_VERSION);
    assert!(why.starts_with("Unsupported metadata.version downgrade from 23 to 22."), "{why}");
    assert_eq!(set(&mut world, &[("metadata.version", 25, UPGRADE)]).0, ErrorCode::NONE);
    world.restart();
    assert_eq!(level(&mut world, "metadata.version"), Some(25));
}

/// The one that may be set is set, though the other is refused.
#[test]
fn before_4_0_features_are_set_one_by_one() {
    let mut world = playing("3.9");
    let wish = [("no.such", 1, UPGRADE), ("metadata.version", 20, DOWNGRADE), ("none", 0, UPGRADE)];
    let answer = ask(&mut world, 1, setting(&wish));
    assert_eq!((answer.error_code, answer.error_message), (ErrorCode::NONE, Some("".into())));
    let codes = answer.results.iter().map(|result| (&*result.feature, result.error_code));
    let refused = ErrorCode::INVALID_UPDATE_VERSION;
    let (none, no_such) = (("none", ErrorCode::NONE), ("no.such", refused));
    assert_eq!(codes.collect::<Vec<_>>(), [("metadata.version", ErrorCode::NONE), no_such, none]);
    world.restart();
    assert_eq!(level(&mut world, "metadata.version"), Some(20));
}

#[test]
fn a_release_has_the_features_and_versions_of_its_own() {
    let range = |release: &str| {
        let told = told(&mut playing(release));
        let api = told.api_keys.iter().find(|api| api.api_key == ApiKey::UPDATE_FEATURES.get());
        api.map(|api| (api.min_version, api.max_version))
    };
    assert_eq!(range("4.4"), Some((0, 2)));
    assert_eq!(range("3.9"), Some((0, 1)));
    let mut world = playing("4.1");
    let (_, why) = set(&mut world, &[("share.version", 2, UPGRADE)]);
    assert!(why.ends_with("Local controller 1 only supports versions 0-1"), "{why}");
    assert_eq!(set(&mut world, &[("share.version", 1, UPGRADE)]).0, ErrorCode::NONE, "a preview");
    let mut world = playing("4.0");
    let (_, why) = set(&mut world, &[("share.version", 1, UPGRADE)]);
    assert!(why.ends_with("Local controller 1 does not support this feature."), "{why}");
}

/// Records that were held when share groups went belong to nobody when they come back.
#[test]
fn what_is_held_of_a_share_group_is_given_back_with_the_feature() {
    let (mut world, mut member) = crate::share::group();
    let connection = world.connect_leader();
    world.produce(connection, &["a"], None);
    assert_eq!(member.fetch(&mut world), [(0, 0, 1)]);
    assert_eq!(set(&mut world, &[("share.version", 0, DOWNGRADE)]).0, ErrorCode::NONE);
    assert_eq!(set(&mut world, &[("share.version", 2, UPGRADE)]).0, ErrorCode::NONE);
    let mut other = crate::share::Member::join(&mut world, "other");
    assert_eq!(other.fetch(&mut world), [(0, 0, 1)]);
}

#[test]
fn who_may_not_alter_the_cluster_sets_no_feature() {
    let mut world = World::with(|settings| {
        let mut authorizer = AuthorizerSettings::default();
        authorizer.allow_everyone_if_no_acl_found = true;
        settings.authorizer = Some(authorizer);
    });
    let rule = Acl::deny(AclOperation::Alter, AclResource::cluster());
    world.cluster.add_acl(rule).expect("there is an authorizer");
    let (code, _) = set(&mut world, &[("group.version", 0, DOWNGRADE)]);
    assert_eq!(code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    assert_eq!(level(&mut world, "group.version"), Some(1));
}
