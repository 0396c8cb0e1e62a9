//! What comes of what.

pub(super) mod admin;
pub(super) mod consumer_group;
pub(super) mod group;
pub(super) mod read;
pub(super) mod send;
pub(super) mod share;
pub(super) mod transaction;
