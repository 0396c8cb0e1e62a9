//! Finds the table that a key belongs to, and says why a key that belongs to none is refused.

use super::error::Hint;
use super::{
    CommonConfig, ConfigError, ConsumerConfig, Key, ProducerConfig, Scope, ShareConsumerConfig,
    Support, common, consumer, key, producer, security, share,
};

/// The configuration of a handle with what its producers and consumers start from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) common: CommonConfig,
    pub(crate) producer: ProducerConfig,
    pub(crate) consumer: ConsumerConfig,
    pub(crate) share: ShareConsumerConfig,
}

/// What setting a key did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// The value is in force.
    Set,
    /// The key is known and ignored, for this reason.
    Ignored(&'static str),
}

impl Settings {
    /// Sets `key` wherever `scope` has it: a handle takes the keys of producers and consumers too, as defaults of those
    /// that it builds; a producer or consumer takes its own, and the common ones that no connection depends on.
    pub(crate) fn set(
        &mut self,
        scope: Scope,
        key: &str,
        value: &str,
    ) -> Result<Effect, ConfigError> {
        let client = scope == Scope::Client;
        let mut set = false;
        if client || common::OVERRIDABLE.contains(&key) {
            set |= self.common.set(key, value)?;
        } else if CommonConfig::keys().iter().any(|known| known.name == key) {
            return Err(ConfigError::misplaced(key));
        }
        // `client.rack` is a key of all, so that the first that knows a key does not end the search.
        set |= takes(scope, Scope::Producer) && self.producer.set(key, value)?;
        set |= takes(scope, Scope::Consumer) && self.consumer.set(key, value)?;
        set |= takes(scope, Scope::ShareConsumer) && self.share.set(key, value)?;
        if set { Ok(Effect::Set) } else { without_effect(scope, key, value) }
    }
}

/// Whether who looks in `scope` takes the keys of `part`.
fn takes(scope: Scope, part: Scope) -> bool {
    scope == Scope::Client || scope == part
}

/// Every key that is known: common, producer, consumer, share consumer and security, with those that have no effect. A
/// key of several comes several times.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    [
        CommonConfig::keys(),
        common::OTHERS,
        ProducerConfig::keys(),
        producer::OTHERS,
        ConsumerConfig::keys(),
        consumer::OTHERS,
        ShareConsumerConfig::keys(),
        share::OTHERS,
        security::KEYS,
    ]
    .into_iter()
    .flatten()
}

fn without_effect(scope: Scope, key: &str, value: &str) -> Result<Effect, ConfigError> {
    let known = others(scope).find(|known| known.name == key);
    match known.map(|known| known.support) {
        Some(Support::Refused(reason)) => Err(ConfigError::unsupported(key, reason)),
        Some(Support::Ignored(reason)) => Ok(Effect::Ignored(reason)),
        Some(Support::Only { value: only, .. }) if value.trim().eq_ignore_ascii_case(only) => {
            Ok(Effect::Ignored("it says how things are"))
        }
        Some(Support::Only { why, .. }) => Err(ConfigError::unsupported(key, why)),
        Some(Support::Implemented) | None => {
            Err(ConfigError::unknown(scope, key, hint(scope, key)))
        }
    }
}

/// Keys without an effect that `scope` knows.
fn others(scope: Scope) -> impl Iterator<Item = &'static Key> {
    let of = |part, keys: &'static [Key]| if takes(scope, part) { keys } else { &[] };
    [
        common::OTHERS,
        security::KEYS,
        of(Scope::Producer, producer::OTHERS),
        of(Scope::Consumer, consumer::OTHERS),
        // What only a share consumer refuses, a file for all may hold: a consumer knows it.
        if scope == Scope::ShareConsumer { share::OTHERS } else { &[] },
    ]
    .into_iter()
    .flatten()
}

fn hint(scope: Scope, key: &str) -> Hint {
    let has = |own: &[Key], others: &[Key]| own.iter().chain(others).any(|known| known.name == key);
    if has(ProducerConfig::keys(), producer::OTHERS) {
        return Hint::BelongsTo(Scope::Producer);
    }
    if has(ConsumerConfig::keys(), consumer::OTHERS) {
        return Hint::BelongsTo(Scope::Consumer);
    }
    let of = |part, keys: &'static [Key]| if takes(scope, part) { keys } else { &[] };
    let known = [
        CommonConfig::keys(),
        of(Scope::Producer, ProducerConfig::keys()),
        of(Scope::Consumer, ConsumerConfig::keys()),
        of(Scope::ShareConsumer, ShareConsumerConfig::keys()),
    ];
    let known = known.into_iter().flatten();
    let names = known.chain(others(scope)).map(|known| known.name);
    key::nearest(key, names).map_or(Hint::None, Hint::DidYouMean)
}

#[cfg(test)]
mod tests;
