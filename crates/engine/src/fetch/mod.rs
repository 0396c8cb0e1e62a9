//! Records from brokers to the user's task: sessions, plans, answers, the shared buffer and its reader.

mod budget;
mod buffer;
mod extent;
mod fetcher;
mod limits;
mod offsets;
mod reader;
mod request;
mod session;
mod single;
mod validate;

pub(crate) use buffer::Which;
pub use buffer::{Claimed, Ends, FetchBuffer, Stay};
pub(crate) use fetcher::{Fetcher, Notes};
pub use limits::IsolationLevel;
pub(crate) use limits::Limits;
pub use offsets::FoundOffset;
pub(crate) use offsets::{Asker, Found, OffsetLookup};
pub use reader::{Chunk, ChunkIter, Polled, Reader};
pub(crate) use validate::Validator;
