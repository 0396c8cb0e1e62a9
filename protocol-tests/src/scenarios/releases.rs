//! The releases that the embedded broker plays, held to what real ones list.

use std::collections::BTreeMap;
use std::sync::Arc;

use milena_broker::{Broker, Release};
use milena_types::ApiKey;
use milena_wire::Response;
use milena_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};

/// A real broker of a release, with the features that a new cluster has.
pub(super) fn fits(on: &Target) -> bool {
    on.choice().version.is_some() && on.choice().transaction_version.is_none()
}

/// What the embedded broker answers at all, in the versions that the real one lists.
pub(super) async fn the_embedded_broker_lists_what_the_real_one_does(on: Arc<Target>) -> Result {
    let release: Release = on.version().to_string().parse()?;
    let playing = Broker::builder().as_version(release).start().await?;
    let newest = Broker::builder().start().await?;
    let played = ranges(&told(&playing.bootstrap_servers(), 0).await?);
    let newest = ranges(&told(&newest.bootstrap_servers(), 0).await?);
    let mut real = ranges(&told(on.address(), 0).await?);
    if (JOIN_GROUP_IS_BACK..Version::of(4, 1, 0)).contains(on.version()) {
        let before = real.insert(ApiKey::JOIN_GROUP, (2, 9));
        assert_eq!(before, Some((0, 9)), "as in 4.1");
    }
    let both = newest.iter().filter_map(|(api, (min, max))| {
        let (real_min, real_max) = real.get(api)?;
        let (min, max) = (*min.max(real_min), *max.min(real_max));
        (min <= max).then_some((*api, (min, max)))
    });
    let expected: BTreeMap<_, _> = both.collect();
    assert_eq!(played, expected);
    if real.get(&ApiKey::API_VERSIONS).is_some_and(|(_, max)| *max >= 3) {
        let played = told(&playing.bootstrap_servers(), 3).await?;
        let real = told(on.address(), 3).await?;
        assert_eq!(levels(&played), levels(&real));
        assert_eq!(played.finalized_features_epoch < 0, real.finalized_features_epoch < 0);
    }
    Ok(())
}

async fn told(address: &str, version: i16) -> Result<ApiVersionsResponse> {
    let ask = message!(ApiVersionsRequest {
        client_software_name: "protocol-tests".into(),
        client_software_version: "1".into(),
    });
    let Response::ApiVersions(told) = Connection::open(address).await?.call(ask, version).await?
    else {
        return Err("another answer than ApiVersions'".into());
    };
    Ok(told)
}

fn ranges(told: &ApiVersionsResponse) -> BTreeMap<ApiKey, (i16, i16)> {
    let listed = told.api_keys.iter();
    listed.map(|api| (ApiKey::from_wire(api.api_key), (api.min_version, api.max_version))).collect()
}

/// The finalized levels of those features that the embedded broker plays.
fn levels(told: &ApiVersionsResponse) -> BTreeMap<&str, i16> {
    const PLAYED: [&str; 4] =
        ["metadata.version", "transaction.version", "group.version", "share.version"];
    let finalized = told.finalized_features.iter();
    let levels = finalized.map(|feature| (&*feature.name, feature.max_version_level));
    levels.filter(|(name, _)| PLAYED.contains(name)).collect()
}

/// KAFKA-19444; the embedded broker plays 4.0 as it was before that.
const JOIN_GROUP_IS_BACK: Version = Version::of(4, 0, 1);
