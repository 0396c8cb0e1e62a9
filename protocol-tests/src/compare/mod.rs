//! The same requests on two clusters, and their answers compared field by field.

pub(crate) mod differences;
pub(crate) mod fields;
