//! Input: text.

use milena::{ErrorKind, Kafka};

use crate::memory;

/// Any text is taken, or refused with what is wrong with it.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Pairs, their values as they are kept, and the names that are tried for a suggestion.
    let bytes_max = 64 * text.len() + (1 << 20);
    let read = memory::within(bytes_max, || Kafka::builder().from_properties(&text).map(drop));
    if let Err(e) = read {
        assert_eq!(e.kind(), ErrorKind::Config, "{e}");
        assert!(!e.to_string().is_empty());
    }
}
