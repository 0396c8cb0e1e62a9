//! Standard output of commands that print little.

use std::io::{ErrorKind, Write};

use crate::failure::Failure;

/// Prints `text`. A reader that has gone, as with `| head -1`, is no failure: the rest is for nobody.
///
/// # Errors
/// Anything else that keeps it from being written, as a full disk.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(cause.into()),
        _ => Ok(()),
    }
}
