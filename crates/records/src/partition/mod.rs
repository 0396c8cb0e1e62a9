//! Which partition a record goes to: hashes of the key, and the sticky choice for records without one.

mod hash;
mod murmur2;
mod sticky;

pub use hash::{crc32_partition, murmur2_partition};
pub use murmur2::murmur2;
pub use sticky::{NodeLatency, StickyPartitioner};
