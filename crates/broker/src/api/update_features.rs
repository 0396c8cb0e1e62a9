//! UpdateFeatures (key 57), versions 0-2.
//!
//! Sets the levels of the cluster's features, all or none of them (KIP-584, KIP-778), before 4.0 each that may be set. A level
//! that goes down needs to be asked for as a downgrade, which version 0 cannot: what it says of downgrades Kafka's controllers
//! do not read.
//!
//! Notes: known are the features that change what is answered, as ApiVersions lists them; `kraft.version` and
//! `eligible.leader.replicas.version` are refused as features that the controller does not support.
//! `metadata.version` changes nothing but what is told of it, and goes down as far as Kafka 4.4's does, which is to say
//! over no level that changed what controllers write. Of several features that are wrong the first by name is told (Kafka:
//! any). Brokers with ZooKeeper say in other words what is wrong.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, NodeId};
use milena_wire::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use milena_wire::messages::update_features_response::{
    UpdatableFeatureResult, UpdateFeaturesResponse,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::release::{Feature, METADATA_VERSION};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &UpdateFeaturesRequest,
) -> Outcome {
    // Of a feature that is named twice the last word holds.
    let updates: BTreeMap<&str, &FeatureUpdateKey> =
        request.feature_updates.iter().map(|update| (&*update.feature, update)).collect();
    let judged = updates.iter().map(|(name, update)| (*name, check(state, name, update)));
    let judged: Vec<_> = judged.collect();
    let is_each_apart = state.settings.release().sets_features_apart();
    let refused = judged.iter().find_map(|(_, judged)| judged.as_ref().err());
    if let Some(why) = refused.filter(|_| !is_each_apart) {
        return Outcome::Answer(refuse(why));
    }
    let release = state.settings.release();
    let may = judged.iter().filter(|(_, judged)| judged.is_ok());
    // What is not there stays at 0.
    let may = may.filter(|(name, _)| release.features().any(|known| known.name == *name));
    let level = |name: &str| updates.get(name).map(|update| update.max_version_level);
    let levels = may.filter_map(|(name, _)| Some(((*name).to_owned(), level(name)?)));
    let levels: Vec<_> = levels.collect();
    if !request.validate_only && !levels.is_empty() {
        state.set_features(levels);
    }
    let response = match is_each_apart {
        true => told_apart(judged, release.has_zookeeper()),
        false => UpdateFeaturesResponse {
            error_message: None,
            // Version 2 tells of all of them at once.
            results: match call.version {
                0 | 1 => request.feature_updates.iter().map(granted).collect(),
                _ => Vec::new(),
            },
            ..Default::default()
        },
    };
    Outcome::Answer(response.into())
}

fn granted(update: &FeatureUpdateKey) -> UpdatableFeatureResult {
    UpdatableFeatureResult {
        feature: update.feature.clone(),
        error_code: ErrorCode::NONE,
        // So it is in Kafka's answer.
        error_message: Some("NONE".into()),
    }
}

fn told_apart(
    judged: Vec<(&str, Result<(), String>)>,
    has_zookeeper: bool,
) -> UpdateFeaturesResponse {
    let code = match has_zookeeper {
        true => ErrorCode::INVALID_REQUEST,
        false => ErrorCode::INVALID_UPDATE_VERSION,
    };
    let result = |(name, judged): (&str, Result<(), String>)| {
        let refused = judged.err().map(|why| Refused::new(code, why));
        let (error_code, error_message) =
            refused.map_or((ErrorCode::NONE, None), Refused::into_told);
        UpdatableFeatureResult { feature: name.into(), error_code, error_message }
    };
    UpdateFeaturesResponse {
        error_message: (!has_zookeeper).then(ByteString::new),
        results: judged.into_iter().map(result).collect(),
        ..Default::default()
    }
}

pub(super) fn error(_: &UpdateFeaturesRequest, code: ErrorCode) -> Response {
    UpdateFeaturesResponse { error_code: code, error_message: None, ..Default::default() }.into()
}

fn refuse(why: &str) -> Response {
    let why = format!(
        "The update failed for all features since the following feature had an error: {why}"
    );
    let refused = Refused::new(ErrorCode::INVALID_UPDATE_VERSION, why);
    let (error_code, error_message) = refused.into_told();
    UpdateFeaturesResponse { error_code, error_message, ..Default::default() }.into()
}

/// Says why a feature may not be set so, in the words and in the order of Kafka's `FeatureControlManager`.
fn check(state: &State, name: &str, update: &FeatureUpdateKey) -> Result<(), String> {
    let level = update.max_version_level;
    let refuse =
        |why: &str| Err(format!("Invalid update version {level} for feature {name}. {why}"));
    if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&update.upgrade_type) {
        return refuse("The controller does not support the given upgrade type.");
    }
    if level < 0 {
        return refuse("A feature version cannot be less than 0.");
    }
    let is_each_apart = state.settings.release().sets_features_apart();
    let controller = state.nodes.controller().map_or(-1, NodeId::get);
    let known = state.settings.release().features().find(|known| known.name == name);
    let Some(known) = known else {
        // Level 0 is that of what is not there.
        return match level {
            0 if is_each_apart && !state.settings.release().has_zookeeper() => Ok(()),
            0 => refuse(&format!("Feature {name} not found.")),
            _ => refuse(&format!("Local controller {controller} does not support this feature.")),
        };
    };
    if !(known.min..=known.max).contains(&level) {
        let range = range(&known);
        return refuse(&format!("Local controller {controller} only supports versions {range}"));
    }
    let present = state.settings.level(&known);
    if level < present && update.upgrade_type == UPGRADE {
        return refuse(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
             downgrade.",
        );
    }
    if level > present && update.upgrade_type != UPGRADE {
        return refuse("Can't downgrade to a newer version.");
    }
    let refuse_metadata = |why: &str| Err(format!("Invalid metadata.version {level}. {why}"));
    if name == METADATA_VERSION && is_each_apart && level < METADATA_LEVEL_SET {
        return refuse_metadata("Unable to set a metadata.version less than 3.3-IV0");
    }
    let loses = METADATA_CHANGES.iter().any(|changed| (level + 1..=present).contains(changed));
    if name == METADATA_VERSION && loses {
        let why = match update.upgrade_type {
            UNSAFE_DOWNGRADE => "Unsafe metadata downgrade is not supported in this version.",
            _ => {
                "Refusing to perform the requested downgrade because it might delete metadata information."
            }
        };
        if is_each_apart {
            return refuse_metadata(why);
        }
        return Err(format!(
            "Unsupported metadata.version downgrade from {present} to {level}. {why}"
        ));
    }
    Ok(())
}

fn range(feature: &Feature) -> String {
    match feature.min == feature.max {
        true => feature.min.to_string(),
        false => format!("{}-{}", feature.min, feature.max),
    }
}

const UPGRADE: i8 = 1;
const UNSAFE_DOWNGRADE: i8 = 3;

/// The first level of `metadata.version` that controllers before 4.0 write down.
const METADATA_LEVEL_SET: i16 = 4;

/// The levels of `metadata.version` with which controllers write something else: `didMetadataChange` of Kafka's
/// `MetadataVersion`.
const METADATA_CHANGES: &[i16] = &[1, 3, 5, 6, 7, 8, 11, 13, 14, 15, 17, 23, 30, 32, 33];
