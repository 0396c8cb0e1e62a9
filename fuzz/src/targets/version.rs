//! An API and one of its versions, as two bytes that no value of is wasted.

use milena_types::ApiKey;
use milena_wire::Request;

/// The API and version that the first two bytes choose, and the bytes behind them.
pub(crate) fn take(data: &[u8]) -> Option<(ApiKey, i16, &[u8])> {
    let ([api, version], rest) = data.split_first_chunk()?;
    let (key, versions) = Request::APIS.get(usize::from(*api) % Request::APIS.len())?;
    let count = usize::from(versions.end().abs_diff(*versions.start())) + 1;
    let version = versions.clone().nth(usize::from(*version) % count)?;
    Some((*key, version, rest))
}

/// The two bytes that choose an API and version; `None` for one that the schemas lack.
pub(crate) fn bytes(key: ApiKey, version: i16) -> Option<[u8; 2]> {
    let api = Request::APIS.iter().position(|(k, _)| *k == key)?;
    let (_, versions) = Request::APIS.get(api)?;
    let version = versions.clone().position(|v| v == version)?;
    Some([u8::try_from(api).ok()?, u8::try_from(version).ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_its_two_bytes() {
        for (key, versions) in Request::APIS {
            for version in versions.clone() {
                let bytes = bytes(*key, version).unwrap();
                assert_eq!(take(&bytes), Some((*key, version, &[][..])));
            }
        }
    }
}
