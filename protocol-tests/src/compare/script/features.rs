//! UpdateFeatures, and what changes with a feature's level.

use milena_types::ApiKey;
use milena_wire::Response;
use milena_wire::messages as m;
use milena_wire::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};

use crate::Result;
use crate::compare::fields::fields;
use crate::compare::recorder::Recorder;
use crate::raw::message;

const UPGRADE: i8 = 1;
const DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;
const KEY: ApiKey = ApiKey::UPDATE_FEATURES;

pub(super) async fn run(on: &mut Recorder) -> Result {
    // The others are about levels that came with 4.x.
    if on.newest(ApiKey::SHARE_GROUP_HEARTBEAT) < 1 {
        return before_4(on).await;
    }
    refused(on).await?;
    for (feature, newest) in [("group.version", 1), ("share.version", 2)] {
        changed(on, feature, newest).await?;
    }
    Ok(())
}

fn setting(updates: &[(&str, i16, i8)]) -> UpdateFeaturesRequest {
    let update = |(feature, level, kind): &(&str, i16, i8)| {
        message!(FeatureUpdateKey {
            feature: (*feature).into(),
            max_version_level: *level,
            upgrade_type: *kind,
        })
    };
    message!(UpdateFeaturesRequest { feature_updates: updates.iter().map(update).collect() })
}

/// Where each feature is judged apart; there is no other than that of the metadata.
async fn before_4(on: &mut Recorder) -> Result {
    const METADATA: &str = "metadata.version";
    const UNKNOWN: &str = "no.such.feature";
    for (what, updates) in [
        ("nothing", &[][..]),
        ("an unknown feature", &[(UNKNOWN, 1, UPGRADE)]),
        ("down without saying so", &[(METADATA, 20, UPGRADE)]),
        ("as it is", &[(METADATA, 21, UPGRADE)]),
    ] {
        on.ask_each(what, KEY, 0..=99, |_| setting(updates)).await?;
    }
    let newest = on.newest(KEY);
    for (what, updates) in [
        ("an unknown feature at 0", &[(UNKNOWN, 0, UPGRADE)][..]),
        ("an unknown feature down", &[(UNKNOWN, 0, DOWNGRADE)]),
        ("less than 0", &[(METADATA, -1, DOWNGRADE)]),
        ("in no known way", &[(METADATA, 20, 9)]),
        ("in no way", &[(METADATA, 20, 0)]),
        ("metadata at 0", &[(METADATA, 0, DOWNGRADE)]),
        ("metadata of the future", &[(METADATA, 22, UPGRADE)]),
        ("metadata down", &[(METADATA, 16, DOWNGRADE)]),
        ("metadata down, unsafely", &[(METADATA, 8, UNSAFE_DOWNGRADE)]),
        ("metadata that cannot be set", &[(METADATA, 3, DOWNGRADE)]),
        ("metadata as it is, by a downgrade", &[(METADATA, 21, DOWNGRADE)]),
    ] {
        on.ask(what, newest, setting(updates)).await?;
    }
    told(on, "after all that was refused").await?;
    let mut checked = setting(&[(METADATA, 20, DOWNGRADE)]);
    checked.validate_only = true;
    on.ask("only checked", newest, checked).await?;
    told(on, "after what was only checked").await?;
    // Of two, the one that may goes, though the other does not.
    let both = setting(&[(METADATA, 20, DOWNGRADE), (UNKNOWN, 1, UPGRADE)]);
    on.ask("one of two", newest, both).await?;
    told(on, "after one of two").await?;
    on.ask("up again", newest, setting(&[(METADATA, 21, UPGRADE)])).await?;
    told(on, "up again").await
}

async fn refused(on: &mut Recorder) -> Result {
    on.ask_each("nothing", KEY, 0..=99, |_| setting(&[])).await?;
    let unknown = setting(&[("no.such.feature", 1, UPGRADE)]);
    on.ask_each("an unknown feature", KEY, 0..=99, |_| unknown.clone()).await?;
    let down = setting(&[("group.version", 0, UPGRADE)]);
    on.ask_each("down without saying so", KEY, 0..=99, |_| down.clone()).await?;
    let same = setting(&[("group.version", 1, UPGRADE)]);
    on.ask_each("as it is", KEY, 0..=99, |_| same.clone()).await?;
    let mut allowed = down;
    allowed.feature_updates[0].allow_downgrade = true;
    on.ask("down, as version 0 says it", 0, allowed).await?;
    let newest = on.newest(KEY);
    for (what, updates) in [
        ("an unknown feature at 0", &[("no.such.feature", 0, UPGRADE)][..]),
        ("a nameless feature", &[("", 1, UPGRADE)]),
        ("less than 0", &[("group.version", -1, DOWNGRADE)]),
        ("more than is known", &[("group.version", 2, UPGRADE)]),
        ("down to more", &[("transaction.version", 3, DOWNGRADE)]),
        ("in no known way", &[("group.version", 0, 9)]),
        ("in no way", &[("group.version", 0, 0)]),
        ("as it is, by a downgrade", &[("group.version", 1, DOWNGRADE)]),
        ("one of two", &[("group.version", 0, DOWNGRADE), ("share.version", 9, UPGRADE)]),
        ("metadata before any", &[("metadata.version", 1, DOWNGRADE)]),
        ("metadata at 0", &[("metadata.version", 0, DOWNGRADE)]),
        ("metadata of the future", &[("metadata.version", 34, UPGRADE)]),
        ("metadata down without saying so", &[("metadata.version", 32, UPGRADE)]),
        ("metadata down", &[("metadata.version", 32, DOWNGRADE)]),
        ("metadata down, unsafely", &[("metadata.version", 8, UNSAFE_DOWNGRADE)]),
        ("metadata as it is", &[("metadata.version", 33, UPGRADE)]),
    ] {
        on.ask(what, newest, setting(updates)).await?;
    }
    told(on, "after all that was refused").await?;
    let mut checked = setting(&[("group.version", 0, DOWNGRADE)]);
    checked.validate_only = true;
    on.ask_each("only checked", KEY, 1..=99, |_| checked.clone()).await?;
    told(on, "after what was only checked").await
}

/// Down, level by level, and up again.
async fn changed(on: &mut Recorder, feature: &str, newest: i16) -> Result {
    let version = on.newest(KEY);
    for level in (0..newest).rev() {
        on.ask(
            &format!("{feature} down to {level}"),
            version,
            setting(&[(feature, level, DOWNGRADE)]),
        )
        .await?;
        told(on, &format!("with {feature} at {level}")).await?;
        groups(on, &format!("with {feature} at {level}")).await?;
    }
    on.ask(&format!("{feature} down to more"), version, setting(&[(feature, newest, DOWNGRADE)]))
        .await?;
    on.ask(&format!("{feature} up again"), 1, setting(&[(feature, newest, UPGRADE)])).await?;
    told(on, &format!("with {feature} up again")).await?;
    groups(on, &format!("with {feature} up again")).await
}

/// What ApiVersions tells of features.
async fn told(on: &mut Recorder, what: &str) -> Result {
    // The broker hears of it from the controller, which answers before.
    on.await_metadata("script-placed").await?;
    for version in on.versions(ApiKey::API_VERSIONS).filter(|version| *version >= 3) {
        let ask = message!(m::ApiVersionsRequest {
            client_software_name: "protocol-tests".into(),
            client_software_version: "1".into(),
        });
        let Response::ApiVersions(mut told) = on.quietly(version, ask).await? else {
            return Err("another answer than ApiVersions'".into());
        };
        told.api_keys.clear();
        on.note(&format!("ApiVersions v{version}: {what}"), fields(&told));
    }
    Ok(())
}

/// Requests that are answered or not, as the features are.
async fn groups(on: &mut Recorder, what: &str) -> Result {
    let group = "script-featured";
    let newest = on.newest(ApiKey::CONSUMER_GROUP_DESCRIBE);
    let ask = message!(m::ConsumerGroupDescribeRequest { group_ids: vec![group.into()] });
    on.ask(what, newest, ask).await?;
    let newest = on.newest(ApiKey::CONSUMER_GROUP_HEARTBEAT);
    let ask = message!(m::ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: "nobody".into(),
        member_epoch: 5,
        topic_partitions: Some(Vec::new()),
    });
    on.ask(what, newest, ask).await?;
    let newest = on.newest(ApiKey::SHARE_GROUP_DESCRIBE);
    let ask = message!(m::ShareGroupDescribeRequest { group_ids: vec![group.into()] });
    on.ask(what, newest, ask).await?;
    let newest = on.newest(ApiKey::SHARE_GROUP_HEARTBEAT);
    let ask = message!(m::ShareGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: "nobody".into(),
        member_epoch: 5,
    });
    on.ask(what, newest, ask).await?;
    Ok(())
}
