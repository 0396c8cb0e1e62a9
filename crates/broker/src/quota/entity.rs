//! Whom a quota is set for, and which quotas there are.

use std::collections::BTreeMap;

use milena_types::ErrorCode;

use crate::state::Refused;

/// Users, client ids or addresses by the kind of name, as Kafka spells it; `None` is whoever has no quota of his own.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct QuotaEntity(BTreeMap<String, Option<String>>);

/// What is set for an entity, by the names of the quotas.
pub(crate) type QuotaValues = BTreeMap<String, f64>;

impl QuotaEntity {
    /// Nobody yet.
    pub(crate) fn new(parts: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        Self(parts.into_iter().collect())
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(kind, name)| (kind.as_str(), name.as_deref()))
    }

    /// Whether quotas may be set for it.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        if self.0.is_empty() {
            return refuse("Invalid empty client quota entity".to_owned());
        }
        for (kind, name) in self.parts() {
            if !KINDS.contains(&kind) {
                return refuse(format!("Unhandled client quota entity type: {kind}"));
            }
            if name == Some("") {
                return refuse(format!("Empty {kind} not supported"));
            }
        }
        let Some(ip) = self.0.get(IP) else { return Ok(()) };
        if self.0.len() > 1 {
            let why = "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId";
            return refuse(why.to_owned());
        }
        match ip {
            Some(ip) if ip.parse::<core::net::IpAddr>().is_err() => {
                refuse(format!("{ip} is not a valid IP or resolvable host."))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_ip(&self) -> bool {
        self.0.contains_key(IP)
    }
}

/// Whether `value` may be set for the entity as the quota `key`.
pub(crate) fn check_value(entity: &QuotaEntity, key: &str, value: f64) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    let known = if entity.is_ip() { IP_QUOTAS } else { CLIENT_QUOTAS };
    let Some((_, bound)) = known.iter().find(|(name, _)| *name == key) else {
        return refuse(format!("Invalid configuration key {key}"));
    };
    if value <= 0.0 || value.is_nan() {
        return refuse(format!("Quota {key} must be greater than 0"));
    }
    match bound {
        Some((kind, max)) if value > *max => {
            refuse(format!("Proposed value for {key} is too large for {kind}."))
        }
        Some(_) if value % 1.0 > FRACTION_MAX => {
            refuse(format!("{key} cannot be a fractional value."))
        }
        Some(_) | None => Ok(()),
    }
}

/// Which entities are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntityFilter {
    exact: BTreeMap<String, Option<String>>,
    any: Vec<String>,
    /// Whether an entity may have no other parts.
    is_strict: bool,
}

/// How a part is asked for: by a name, as the default, or by any name.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

impl EntityFilter {
    pub(crate) fn new(is_strict: bool) -> Self {
        Self { is_strict, ..Self::default() }
    }

    /// Asks for one more kind of part.
    pub(crate) fn add(&mut self, kind: &str, how: i8, name: Option<&str>) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        if kind.is_empty() {
            return refuse("Invalid empty entity type.".to_owned());
        }
        if self.has(kind) {
            return refuse(format!(
                "Entity type {kind} cannot appear more than once in the filter."
            ));
        }
        if !KINDS.contains(&kind) {
            let why = format!("Unsupported entity type {kind}");
            return Err(Refused::new(ErrorCode::UNSUPPORTED_VERSION, why));
        }
        match (how, name) {
            (EXACT, None) => {
                let why = "Request specified MATCH_TYPE_EXACT, but set match string to null.";
                return refuse(why.to_owned());
            }
            (EXACT, Some(name)) => {
                self.exact.insert(kind.to_owned(), Some(name.to_owned()));
            }
            (DEFAULT, None) => {
                self.exact.insert(kind.to_owned(), None);
            }
            (SPECIFIED, None) => self.any.push(kind.to_owned()),
            (DEFAULT | SPECIFIED, Some(_)) => {
                let how = if how == DEFAULT { "DEFAULT" } else { "SPECIFIED" };
                return refuse(format!(
                    "Request specified MATCH_TYPE_{how}, but also specified a match string."
                ));
            }
            (unknown, _) => return refuse(format!("Unknown match type {unknown}")),
        }
        Ok(())
    }

    /// Whether the kinds that are asked for go together.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        if self.has(IP) && (self.has(USER) || self.has(CLIENT_ID)) {
            let why = "Invalid entity filter component combination. IP filter component should not be used with user \
                       or clientId filter component.";
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        }
        Ok(())
    }

    pub(crate) fn matches(&self, entity: &QuotaEntity) -> bool {
        let is_whole = !self.is_strict || entity.0.len() == self.exact.len() + self.any.len();
        is_whole
            && self.exact.iter().all(|(kind, name)| entity.0.get(kind) == Some(name))
            && self.any.iter().all(|kind| entity.0.contains_key(kind))
    }

    fn has(&self, kind: &str) -> bool {
        self.exact.contains_key(kind) || self.any.iter().any(|any| any == kind)
    }
}

pub(super) const USER: &str = "user";
pub(super) const CLIENT_ID: &str = "client-id";
pub(super) const IP: &str = "ip";
const KINDS: [&str; 3] = [USER, CLIENT_ID, IP];

/// What is taken for whole, as in Kafka.
const FRACTION_MAX: f64 = 1e-6;

/// The name of a quota; the kind of whole number that it is and the greatest, if it is one.
type Definition = (&'static str, Option<(&'static str, f64)>);

const LONG: Option<(&str, f64)> = Some(("a LONG", i64::MAX as f64));
const INT: Option<(&str, f64)> = Some(("an INT", i32::MAX as f64));

const CLIENT_QUOTAS: &[Definition] = &[
    ("producer_byte_rate", LONG),
    ("consumer_byte_rate", LONG),
    ("request_percentage", None),
    ("controller_mutation_rate", None),
];

const IP_QUOTAS: &[Definition] = &[("connection_creation_rate", INT)];
