//! Which partition a key goes to.

mod hash;
mod murmur2;

pub use hash::{crc32_partition, murmur2_partition};
pub use murmur2::murmur2;
