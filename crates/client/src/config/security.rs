//! Java's keys for TLS and SASL. What would make a connection safe is refused as long as it cannot be done: a client that
//! ignored it would send in clear what was meant to be secret, or fail in ways that hide the cause. What only tunes it
//! is ignored.

use super::{Key, Scope};

const TLS: &str = "TLS is not there yet, and going on in clear would do harm";
const SASL: &str = "SASL is not there yet, and going on without it would do harm";
const CLASS: &str = "a JVM class, without which connections would not be what was asked for";
const JVM: &str = "only the JVM has security providers";
const BROKERS: &str = "brokers validate tokens, clients do not";
const KERBEROS: &str = "it tunes how a JVM renews its Kerberos tickets; security.protocol decides whether that matters";
const LOGIN: &str =
    "it tunes how tokens are fetched; security.protocol decides whether that matters";

const fn refused(name: &'static str, kind: &'static str, why: &'static str) -> Key {
    Key::refused(Scope::Client, name, kind, why)
}

const fn ignored(name: &'static str, kind: &'static str, why: &'static str) -> Key {
    Key::ignored(Scope::Client, name, kind, why)
}

/// Every security key of Java's client.
pub(super) const KEYS: &[Key] = &[
    refused("sasl.client.callback.handler.class", "class", CLASS),
    refused("sasl.jaas.config", "password", SASL),
    ignored("sasl.kerberos.kinit.cmd", "string", KERBEROS),
    ignored("sasl.kerberos.min.time.before.relogin", "long", KERBEROS),
    refused("sasl.kerberos.service.name", "string", SASL),
    ignored("sasl.kerberos.ticket.renew.jitter", "double", KERBEROS),
    ignored("sasl.kerberos.ticket.renew.window.factor", "double", KERBEROS),
    refused("sasl.login.callback.handler.class", "class", CLASS),
    refused("sasl.login.class", "class", CLASS),
    ignored("sasl.login.connect.timeout.ms", "int", LOGIN),
    ignored("sasl.login.read.timeout.ms", "int", LOGIN),
    ignored("sasl.login.refresh.buffer.seconds", "short", LOGIN),
    ignored("sasl.login.refresh.min.period.seconds", "short", LOGIN),
    ignored("sasl.login.refresh.window.factor", "double", LOGIN),
    ignored("sasl.login.refresh.window.jitter", "double", LOGIN),
    ignored("sasl.login.retry.backoff.max.ms", "long", LOGIN),
    ignored("sasl.login.retry.backoff.ms", "long", LOGIN),
    refused("sasl.mechanism", "string", SASL),
    ignored("sasl.oauthbearer.allow.unverified.audience", "boolean", BROKERS),
    ignored("sasl.oauthbearer.allow.unverified.issuer", "boolean", BROKERS),
    refused("sasl.oauthbearer.assertion.algorithm", "string", SASL),
    refused("sasl.oauthbearer.assertion.claim.aud", "string", SASL),
    refused("sasl.oauthbearer.assertion.claim.exp.seconds", "int", SASL),
    refused("sasl.oauthbearer.assertion.claim.iss", "string", SASL),
    refused("sasl.oauthbearer.assertion.claim.jti.include", "boolean", SASL),
    refused("sasl.oauthbearer.assertion.claim.nbf.seconds", "int", SASL),
    refused("sasl.oauthbearer.assertion.claim.sub", "string", SASL),
    refused("sasl.oauthbearer.assertion.file", "string", SASL),
    refused("sasl.oauthbearer.assertion.private.key.file", "string", SASL),
    refused("sasl.oauthbearer.assertion.private.key.passphrase", "password", SASL),
    refused("sasl.oauthbearer.assertion.template.file", "string", SASL),
    refused("sasl.oauthbearer.client.credentials.client.id", "string", SASL),
    refused("sasl.oauthbearer.client.credentials.client.secret", "password", SASL),
    ignored("sasl.oauthbearer.clock.skew.seconds", "int", BROKERS),
    ignored("sasl.oauthbearer.expected.audience", "list", BROKERS),
    ignored("sasl.oauthbearer.expected.issuer", "string", BROKERS),
    refused("sasl.oauthbearer.header.urlencode", "boolean", SASL),
    ignored("sasl.oauthbearer.jwks.endpoint.refresh.ms", "long", BROKERS),
    ignored("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "long", BROKERS),
    ignored("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "long", BROKERS),
    ignored("sasl.oauthbearer.jwks.endpoint.url", "string", BROKERS),
    refused("sasl.oauthbearer.jwt.retriever.class", "class", CLASS),
    ignored("sasl.oauthbearer.jwt.validator.class", "class", BROKERS),
    refused("sasl.oauthbearer.scope", "string", SASL),
    ignored("sasl.oauthbearer.scope.claim.name", "string", BROKERS),
    ignored("sasl.oauthbearer.sub.claim.name", "string", BROKERS),
    refused("sasl.oauthbearer.token.endpoint.url", "string", SASL),
    ignored("security.providers", "string", JVM),
    Key::only(
        Scope::Client,
        "security.protocol",
        "string",
        "PLAINTEXT",
        "TLS and SASL are not there yet, and going on without them would do harm",
    ),
    refused("ssl.cipher.suites", "list", TLS),
    refused("ssl.enabled.protocols", "list", TLS),
    refused("ssl.endpoint.identification.algorithm", "string", TLS),
    refused("ssl.engine.factory.class", "class", CLASS),
    refused("ssl.key.password", "password", TLS),
    ignored("ssl.keymanager.algorithm", "string", JVM),
    refused("ssl.keystore.certificate.chain", "password", TLS),
    refused("ssl.keystore.key", "password", TLS),
    refused("ssl.keystore.location", "string", TLS),
    refused("ssl.keystore.password", "password", TLS),
    refused("ssl.keystore.type", "string", TLS),
    refused("ssl.protocol", "string", TLS),
    ignored("ssl.provider", "string", JVM),
    ignored("ssl.secure.random.implementation", "string", JVM),
    ignored("ssl.trustmanager.algorithm", "string", JVM),
    refused("ssl.truststore.certificates", "password", TLS),
    refused("ssl.truststore.location", "string", TLS),
    refused("ssl.truststore.password", "password", TLS),
    refused("ssl.truststore.type", "string", TLS),
];
