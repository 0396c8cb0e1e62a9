//! What is set of topics, groups and brokers: all of it at once, whoever asks for it.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{ErrorCode, NodeId, Topic};

use super::{Refused, State};
use crate::broker_config;
use crate::group::GroupDefinition;
use crate::store::Entry;
use crate::topic::{Definition, TopicConfig, TopicDefaults, is_legal_topic_name, why_illegal};

impl State {
    /// What is set of a topic, if it is there.
    pub(crate) fn topic_overrides(&self, name: &Topic) -> BTreeMap<String, String> {
        self.topics.get(name).map(|topic| topic.config.overrides().clone()).unwrap_or_default()
    }

    /// Refuses names that no topic has. Whatever another release knew may stay, and go, but not come.
    pub(crate) fn check_topic_names<'a>(
        &self,
        mut names: impl Iterator<Item = &'a str>,
    ) -> Result<(), Refused> {
        let release = self.settings.release();
        match names.find(|name| Definition::of(name, release).is_none()) {
            None => Ok(()),
            Some(unknown) => {
                let why = format!("Unknown topic config name: {unknown}");
                Err(Refused::new(ErrorCode::INVALID_CONFIG, why))
            }
        }
    }

    /// Sets all that is configured of a topic, or only sees whether it could be. The topic is looked
    /// for last, as by Kafka's own controllers; by those with ZooKeeper first.
    pub(crate) fn set_topic_config(
        &mut self,
        now: Instant,
        name: &Topic,
        set: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<(), Refused> {
        let release = self.settings.release();
        let is_there = self.topics.contains_key(name);
        if release.has_zookeeper() && !is_there && !release.falls_over_unknown_topics() {
            return Err(not_there(name));
        }
        if name.as_str().is_empty() && !release.has_zookeeper() {
            let why = "Default topic resources are not allowed.";
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        }
        if !is_legal_topic_name(name.as_str()) {
            let why = why_illegal(name.as_str());
            return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, why));
        }
        if !is_there && release.falls_over_unknown_topics() {
            let why = format!("Topic \"{name}\" does not exist.");
            return Err(Refused::new(ErrorCode::UNKNOWN_SERVER_ERROR, why));
        }
        let invalid = |why: String| match release.has_zookeeper() {
            true => {
                let resource = format!("ConfigResource(type=TOPIC, name='{name}')");
                let why = format!("Invalid config value for resource {resource}: {why}");
                Refused::new(ErrorCode::INVALID_REQUEST, why)
            }
            false => Refused::new(ErrorCode::INVALID_CONFIG, why),
        };
        let config = TopicConfig::keeping(set, &self.topic_defaults(), release).map_err(invalid)?;
        let Some(topic) = self.topics.get_mut(name) else { return Err(not_there(name)) };
        if !validate_only {
            topic.config = config;
            self.note_topic(name);
            self.arm_cleaning(now, name);
            self.settle_topic(now, name);
        }
        Ok(())
    }

    /// What topics have where they do not say otherwise, since brokers were told so.
    pub(crate) fn topic_defaults(&self) -> TopicDefaults {
        self.broker_configs.topic_defaults(self.settings.release())
    }

    /// Sets all that a node is told while it runs, or all nodes are, or only sees whether it could be: with the node that is asked.
    pub(crate) fn set_broker_config(
        &mut self,
        now: Instant,
        asked: NodeId,
        node: Option<NodeId>,
        set: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<(), Refused> {
        if set.len() > BROKER_CONFIGS_MAX {
            return Err(Refused::without_reason(ErrorCode::POLICY_VIOLATION));
        }
        let release = self.settings.release();
        broker_config::check(&self.broker_configs, node, &set, asked, release)
            .map_err(|why| Refused::new(ErrorCode::INVALID_REQUEST, why))?;
        if !validate_only {
            self.note(Entry::BrokerConfig(node, set.clone()));
            self.apply_broker_config(now, node, set);
            self.settle(now);
        }
        Ok(())
    }

    /// Does not settle: while a journal is read, what it tells next has not happened yet.
    pub(super) fn apply_broker_config(
        &mut self,
        now: Instant,
        node: Option<NodeId>,
        set: BTreeMap<String, String>,
    ) {
        self.broker_configs.set(node, set);
        let (defaults, release) = (self.topic_defaults(), self.settings.release());
        let mut changed = Vec::with_capacity(self.topics.len());
        for (name, topic) in &mut self.topics {
            let overrides = topic.config.overrides().clone();
            // What this release cannot read of another's stays as it is.
            let Ok(config) = TopicConfig::taken(overrides, &defaults, release) else { continue };
            topic.config = config;
            changed.push(name.clone());
        }
        for name in changed {
            self.arm_cleaning(now, &name);
        }
    }

    /// Sets all that is configured of a group, or only sees whether it could be. Nothing stands for the default of all
    /// groups.
    pub(crate) fn set_group_config(
        &mut self,
        group: &str,
        set: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<(), Refused> {
        if group.is_empty() {
            let why = "Default group resources are not allowed.";
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        }
        let adds = !set.is_empty() && !self.group_configs.contains_key(group);
        if adds && self.group_configs.len() >= self.settings.groups_max {
            return Err(Refused::without_reason(ErrorCode::POLICY_VIOLATION));
        }
        let invalid = |message: String| Refused::new(ErrorCode::INVALID_CONFIG, message);
        for (name, value) in &set {
            let unknown = || invalid(format!("Unknown group config name: {name}"));
            let definition = GroupDefinition::of(name).ok_or_else(unknown)?;
            definition.check(value).map_err(invalid)?;
        }
        if !validate_only {
            self.note(Entry::GroupConfig(group.to_owned(), set.clone()));
            self.apply_group_config(group.to_owned(), set);
        }
        Ok(())
    }
}

impl State {
    /// A group of which nothing is set any more is none of which something was.
    pub(super) fn apply_group_config(&mut self, group: String, set: BTreeMap<String, String>) {
        match set.is_empty() {
            true => drop(self.group_configs.remove(&group)),
            false => drop(self.group_configs.insert(group, set)),
        }
    }
}

fn not_there(name: &Topic) -> Refused {
    let message = format!("The topic '{name}' does not exist.");
    Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
}

/// How many names may be set of a node, since names that nobody knows may be (Kafka: no limit).
const BROKER_CONFIGS_MAX: usize = 1000;
