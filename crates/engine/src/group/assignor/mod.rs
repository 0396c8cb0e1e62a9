//! Rules by which the group's leader shares out partitions.

mod member;
pub(crate) mod range;

pub(crate) use member::Member;
