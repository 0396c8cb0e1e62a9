//! Java's keys for TLS and SASL, all refused: a client that ignored them would send in clear what was meant to be
//! secret, or fail in ways that hide the cause.

use super::Key;

const WHY: &str = "TLS and SASL are not there yet, and going on without them would do harm";

const fn key(name: &'static str, kind: &'static str) -> Key {
    Key::refused(name, kind, WHY)
}

/// Every security key of Java's client but `security.protocol`, whose value `PLAINTEXT` is taken.
pub(super) const KEYS: &[Key] = &[
    key("sasl.client.callback.handler.class", "class"),
    key("sasl.jaas.config", "password"),
    key("sasl.kerberos.kinit.cmd", "string"),
    key("sasl.kerberos.min.time.before.relogin", "long"),
    key("sasl.kerberos.service.name", "string"),
    key("sasl.kerberos.ticket.renew.jitter", "double"),
    key("sasl.kerberos.ticket.renew.window.factor", "double"),
    key("sasl.login.callback.handler.class", "class"),
    key("sasl.login.class", "class"),
    key("sasl.login.connect.timeout.ms", "int"),
    key("sasl.login.read.timeout.ms", "int"),
    key("sasl.login.refresh.buffer.seconds", "short"),
    key("sasl.login.refresh.min.period.seconds", "short"),
    key("sasl.login.refresh.window.factor", "double"),
    key("sasl.login.refresh.window.jitter", "double"),
    key("sasl.login.retry.backoff.max.ms", "long"),
    key("sasl.login.retry.backoff.ms", "long"),
    key("sasl.mechanism", "string"),
    key("sasl.oauthbearer.allow.unverified.audience", "boolean"),
    key("sasl.oauthbearer.allow.unverified.issuer", "boolean"),
    key("sasl.oauthbearer.assertion.algorithm", "string"),
    key("sasl.oauthbearer.assertion.claim.aud", "string"),
    key("sasl.oauthbearer.assertion.claim.exp.seconds", "int"),
    key("sasl.oauthbearer.assertion.claim.iss", "string"),
    key("sasl.oauthbearer.assertion.claim.jti.include", "boolean"),
    key("sasl.oauthbearer.assertion.claim.nbf.seconds", "int"),
    key("sasl.oauthbearer.assertion.claim.sub", "string"),
    key("sasl.oauthbearer.assertion.file", "string"),
    key("sasl.oauthbearer.assertion.private.key.file", "string"),
    key("sasl.oauthbearer.assertion.private.key.passphrase", "password"),
    key("sasl.oauthbearer.assertion.template.file", "string"),
    key("sasl.oauthbearer.client.credentials.client.id", "string"),
    key("sasl.oauthbearer.client.credentials.client.secret", "password"),
    key("sasl.oauthbearer.clock.skew.seconds", "int"),
    key("sasl.oauthbearer.expected.audience", "list"),
    key("sasl.oauthbearer.expected.issuer", "string"),
    key("sasl.oauthbearer.header.urlencode", "boolean"),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", "long"),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "long"),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "long"),
    key("sasl.oauthbearer.jwks.endpoint.url", "string"),
    key("sasl.oauthbearer.jwt.retriever.class", "class"),
    key("sasl.oauthbearer.jwt.validator.class", "class"),
    key("sasl.oauthbearer.scope", "string"),
    key("sasl.oauthbearer.scope.claim.name", "string"),
    key("sasl.oauthbearer.sub.claim.name", "string"),
    key("sasl.oauthbearer.token.endpoint.url", "string"),
    key("security.providers", "string"),
    key("ssl.cipher.suites", "list"),
    key("ssl.enabled.protocols", "list"),
    key("ssl.endpoint.identification.algorithm", "string"),
    key("ssl.engine.factory.class", "class"),
    key("ssl.key.password", "password"),
    key("ssl.keymanager.algorithm", "string"),
    key("ssl.keystore.certificate.chain", "password"),
    key("ssl.keystore.key", "password"),
    key("ssl.keystore.location", "string"),
    key("ssl.keystore.password", "password"),
    key("ssl.keystore.type", "string"),
    key("ssl.protocol", "string"),
    key("ssl.provider", "string"),
    key("ssl.secure.random.implementation", "string"),
    key("ssl.trustmanager.algorithm", "string"),
    key("ssl.truststore.certificates", "password"),
    key("ssl.truststore.location", "string"),
    key("ssl.truststore.password", "password"),
    key("ssl.truststore.type", "string"),
];

/// The key that says which protocol to speak.
pub(super) const PROTOCOL: &str = "security.protocol";

/// What stands in the way of the protocol `value`; `None` for the one that is spoken.
pub(super) fn refusal(value: &str) -> Option<&'static str> {
    (!value.trim().eq_ignore_ascii_case("PLAINTEXT")).then_some(WHY)
}
