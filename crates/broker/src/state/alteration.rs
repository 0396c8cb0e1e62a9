//! What a request changes of one resource's settings, whichever of the two kinds of requests it is (KIP-339).

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, NodeId, Topic};
use milena_wire::ByteString;

use super::{Refused, State};
use crate::acl::{AclOperation, Resource};
use crate::api::Call;
use crate::broker_definition::BrokerDefinition;
use crate::rights::refused;
use crate::telemetry::Subscription;
use crate::topic::{ConfigKind, Definition};

/// A resource that a request names, and what becomes of its settings.
#[derive(Clone, Debug)]
pub(crate) struct Alteration<'a> {
    pub(crate) kind: i8,
    pub(crate) name: &'a ByteString,
    /// Whether what is not named goes back to its default, as with AlterConfigs.
    pub(crate) replaces: bool,
    pub(crate) changes: Vec<Change<'a>>,
}

/// What becomes of one setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) name: &'a ByteString,
    /// As IncrementalAlterConfigs numbers them.
    pub(crate) operation: i8,
    pub(crate) value: Option<&'a ByteString>,
}

impl Change<'_> {
    /// It is set, whatever it was.
    pub(crate) const SET: i8 = SET;
}

type Set = BTreeMap<String, String>;

impl Alteration<'_> {
    /// Whose rights count for settings of this kind.
    pub(crate) fn about(kind: i8, name: &str) -> Resource<'_> {
        match kind {
            TOPIC => Resource::Topic(name),
            GROUP => Resource::Group(name),
            _ => Resource::Cluster,
        }
    }

    /// Whether resources of this kind have settings that can be altered.
    pub(crate) fn is_known(kind: i8) -> bool {
        matches!(kind, TOPIC | BROKER | CLIENT_METRICS | GROUP)
    }

    /// Refuses what says nothing clear, whatever is set.
    fn check(&self) -> Result<(), Refused> {
        let invalid = |why: String| Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        if !twice(self.changes.iter().map(|change| change.name)).is_empty() {
            return invalid("Error due to duplicate config keys".to_owned());
        }
        let is_null = |change: &&Change<'_>| change.operation != DELETE && change.value.is_none();
        let nulls = self.changes.iter().filter(is_null);
        let nulls: Vec<&str> = nulls.map(|change| &**change.name).collect();
        if !nulls.is_empty() {
            return invalid(format!("Null value not supported for : {}", nulls.join(", ")));
        }
        Ok(())
    }

    /// What is set then, if this is set before; `listed` is what a list of this name is by default.
    fn apply(
        &self,
        before: impl FnOnce() -> Set,
        listed: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Set, Refused> {
        let mut set = if self.replaces { Set::new() } else { before() };
        for Change { name, operation, value } in &self.changes {
            let name = &***name;
            match (*operation, value.map(|value| &**value)) {
                (DELETE, _) => {
                    set.remove(name);
                }
                (SET, Some(value)) => {
                    set.insert(name.to_owned(), value.to_owned());
                }
                (operation @ (APPEND | SUBTRACT), Some(value)) => {
                    let default = listed(name).ok_or_else(|| self.no_list(operation, name))?;
                    let before = set.get(name).map_or(default, String::as_str);
                    set.insert(name.to_owned(), listed_with(before, operation, value));
                }
                (unknown, _) => return Err(self.no_operation(unknown)),
            }
        }
        Ok(set)
    }

    /// Settings of brokers are looked at by the broker that is asked, which words it so; the rest by the controller.
    fn no_list(&self, operation: i8, name: &str) -> Refused {
        let is_append = operation == APPEND;
        let why = if self.kind == BROKER {
            let verb = if is_append { "append" } else { "subtract" };
            format!("Config value {verb} is not allowed for config key: {name}")
        } else {
            let verb = if is_append { "APPEND" } else { "SUBTRACT" };
            format!("Can't {verb} to key {name} because its type is not LIST.")
        };
        Refused::new(ErrorCode::INVALID_CONFIG, why)
    }

    fn no_operation(&self, unknown: i8) -> Refused {
        if self.kind == BROKER {
            let why = format!("Unknown operations type {unknown}");
            return Refused::new(ErrorCode::INVALID_REQUEST, why);
        }
        Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR)
    }
}

impl State {
    /// Alters each resource by itself, or refuses it; what is named twice is refused.
    pub(crate) fn alter(
        &mut self,
        call: &Call<'_>,
        alterations: &[Alteration<'_>],
        validate_only: bool,
    ) -> Vec<Option<Refused>> {
        let twice = twice(alterations.iter().map(|one| (one.kind, one.name)));
        let alter = |one: &Alteration<'_>| {
            if twice.contains(&(one.kind, one.name)) {
                let why = "Each resource must appear at most once.";
                return Some(Refused::new(ErrorCode::INVALID_REQUEST, why));
            }
            self.alter_one(call, one, validate_only).err()
        };
        alterations.iter().map(alter).collect()
    }

    fn alter_one(
        &mut self,
        call: &Call<'_>,
        altered: &Alteration<'_>,
        validate_only: bool,
    ) -> Result<(), Refused> {
        altered.check()?;
        let (kind, name) = (altered.kind, &**altered.name);
        let release = self.settings.release();
        if !Alteration::is_known(kind) {
            let why = match release.words_configs() {
                true => format!("Unknown resource type {kind}"),
                false => "Unexpected resource type UNKNOWN".to_owned(),
            };
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        }
        let about = Alteration::about(kind, name);
        call.check(self, AclOperation::AlterConfigs, about).map_err(refused)?;
        let no_lists = |_: &str| None;
        match kind {
            GROUP => {
                let before = || self.group_configs.get(name).cloned().unwrap_or_default();
                let set = altered.apply(before, no_lists)?;
                self.set_group_config(name, set, validate_only)
            }
            CLIENT_METRICS => {
                let known = || self.subscriptions.get(name).map(Subscription::set);
                // Kafka's controllers do not know which of these values are lists.
                let set = altered.apply(|| known().cloned().unwrap_or_default(), no_lists)?;
                check_lengths(altered)?;
                if name.is_empty() {
                    let why = "Subscription name can't be empty";
                    return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
                }
                self.set_subscription(name, set, validate_only)
            }
            BROKER => {
                let node = broker_of(call, name)?;
                let told = self.broker_configs.of(node);
                let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                let listed = |name: &str| {
                    let known = BrokerDefinition::of(name, release)?;
                    (known.kind == ConfigKind::List).then(|| known.default())
                };
                let set = altered.apply(|| told.map(pair).collect(), listed)?;
                self.set_broker_config(call.now, call.node, node, set, validate_only)
            }
            _ => {
                let topic = Topic::from(name);
                let listed = |name: &str| {
                    let known = Definition::of(name, release)?;
                    (known.kind == ConfigKind::List).then_some(known.default)
                };
                let set = altered.apply(|| self.topic_overrides(&topic), listed)?;
                let here = altered.changes.iter().filter(|change| change.operation == SET);
                self.check_topic_names(here.map(|change| &**change.name))?;
                self.set_topic_config(call.now, &topic, set, validate_only)
            }
        }
    }
}

/// What is named more than once.
fn twice<T: Ord>(names: impl Iterator<Item = T>) -> BTreeSet<T> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for name in names {
        if let Some(name) = seen.replace(name) {
            twice.insert(name);
        }
    }
    twice
}

/// The node that the name of a resource stands for: the one that is asked, or all.
fn broker_of(call: &Call<'_>, name: &str) -> Result<Option<NodeId>, Refused> {
    if name.is_empty() {
        return Ok(None);
    }
    let invalid = |why: String| Refused::new(ErrorCode::INVALID_REQUEST, why);
    let id = name.parse::<i32>();
    let id = id.map_err(|_| invalid(format!("Node id must be an integer, but it is: {name}")))?;
    if id != call.node.get() {
        let why = format!("Unexpected broker id, expected {}, but received {name}", call.node);
        return Err(invalid(why));
    }
    Ok(Some(call.node))
}

/// Refuses what Kafka's controllers cannot write down.
fn check_lengths(altered: &Alteration<'_>) -> Result<(), Refused> {
    let values = altered.changes.iter().filter_map(|change| change.value);
    if values.into_iter().all(|value| value.len() <= VALUE_BYTES_MAX) {
        return Ok(());
    }
    let why = format!(
        "The configuration value cannot be added because it exceeds the maximum value size of {VALUE_BYTES_MAX} bytes."
    );
    Err(Refused::new(ErrorCode::INVALID_CONFIG, why))
}

/// A list with these values besides, unless it has them, or without them; blanks are parts of them, as to Kafka.
fn listed_with(listed: &str, operation: i8, values: &str) -> String {
    let mut list: Vec<_> = listed.split(',').filter(|one| !one.is_empty()).collect();
    for one in values.trim_end_matches(',').split(',') {
        let place = list.iter().position(|listed| *listed == one);
        match (operation, place) {
            (APPEND, None) => list.push(one),
            (SUBTRACT, Some(place)) => drop(list.remove(place)),
            _ => {}
        }
    }
    list.join(",")
}

/// The kinds of resources.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

/// What may become of a setting.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const VALUE_BYTES_MAX: usize = i16::MAX as usize;
