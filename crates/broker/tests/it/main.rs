//! The cluster asked by frames, in virtual time.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a test may fail")]

mod acls;
mod append;
mod compaction;
mod configs;
mod consumer_groups;
mod consumer_member;
mod data_dir;
mod faults;
mod features;
mod fetch;
mod followers;
mod groups;
mod hostile;
mod migration;
mod nodes;
mod placement;
mod produce;
mod producer;
mod quotas;
mod releases;
mod retention;
mod scram;
mod share;
mod shells;
mod stored;
mod streams_groups;
mod telemetry;
mod tokens;
mod topics;
mod transactional_offsets;
mod transactions;
mod versions;
mod world;
