//! UpdateFeatures (key 57), versions 0-2.
//!
//! Sets the levels of the cluster's features, all or none of them (KIP-584, KIP-778). A level that goes down needs to be
//! asked for as a downgrade, which version 0 cannot: what it says of downgrades Kafka's controllers do not read.
//!
//! Notes: known are the features that change what is answered, as ApiVersions lists them; `kraft.version`,
//! `eligible.leader.replicas.version` and `streams.version` are refused as features that the controller does not support.
//! `metadata.version` changes nothing but what is told of it, and goes down as far as Kafka 4.4's does, which is to say
//! over no level that changed what controllers write. Of several features that are wrong the first by name is told (Kafka:
//! any). Brokers with ZooKeeper refused features one by one.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, NodeId};
use milena_wire::Response;
use milena_wire::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use milena_wire::messages::update_features_response::{
    UpdatableFeatureResult, UpdateFeaturesResponse,
};

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
    for (name, update) in &updates {
        if let Err(why) = check(state, name, update) {
            return Outcome::Answer(refuse(&why));
        }
    }
    if !request.validate_only && !updates.is_empty() {
        let levels =
            updates.iter().map(|(name, update)| ((*name).to_owned(), update.max_version_level));
        state.set_features(levels);
    }
    // Version 2 tells of all of them at once.
    let told = request.feature_updates.iter().filter(|_| call.version < 2);
    let results = told.map(|update| UpdatableFeatureResult {
        feature: update.feature.clone(),
        error_code: ErrorCode::NONE,
        // So it is in Kafka's answer.
        error_message: Some("NONE".into()),
    });
    let response = UpdateFeaturesResponse {
        error_message: None,
        results: results.collect(),
        ..Default::default()
    };
    Outcome::Answer(response.into())
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
    let controller = state.nodes.controller().map_or(-1, NodeId::get);
    let known = state.settings.release().features().find(|known| known.name == name);
    let Some(known) = known else {
        // Level 0 is that of what is not there.
        return match level {
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
    let loses = METADATA_CHANGES.iter().any(|changed| (level + 1..=present).contains(changed));
    if name == METADATA_VERSION && loses {
        let why = match update.upgrade_type {
            UNSAFE_DOWNGRADE => "Unsafe metadata downgrade is not supported in this version.",
            _ => {
                "Refusing to perform the requested downgrade because it might delete metadata information."
            }
        };
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

/// The levels of `metadata.version` with which controllers write something else: `didMetadataChange` of Kafka's
/// `MetadataVersion`.
const METADATA_CHANGES: &[i16] = &[1, 3, 5, 6, 7, 8, 11, 13, 14, 15, 17, 23, 30, 32, 33];
