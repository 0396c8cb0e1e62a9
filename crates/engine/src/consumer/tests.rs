//! The consumer against the scripted cluster.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it is about")]

mod assigned;
mod commits;
mod cooperative;
mod groups;
mod reading;
mod refusals;
mod scripts;
mod world;
