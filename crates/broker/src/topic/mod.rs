//! Topics, their configuration and their replicated partitions.

mod check;
mod config;
mod image;
mod name;
mod partition;
mod replication;
mod saved;
mod state;

pub(crate) use config::{
    ConfigKind, Definition, LogDefaults, TopicConfig, TopicDefaults, broker_synonyms,
};
pub(crate) use image::{ImageVersion, TopicImage};
pub(crate) use name::{is_legal_topic_name, why_illegal};
pub(crate) use partition::{Appended, Origin, Partition};
pub(crate) use replication::Liveness;
pub(crate) use state::TopicState;
