//! Rules by which the group's leader shares out partitions: the same as Java's, partition by partition, so that the
//! group's shares do not move when the lead does.

mod java_map;
mod layout;
mod member;
mod range;
mod round_robin;
mod sticky;
mod strategy;

pub(crate) use layout::Layout;
pub(crate) use member::Member;
pub(crate) use sticky::UserData;
pub use strategy::AssignmentStrategy;

#[cfg(test)]
mod tests;
