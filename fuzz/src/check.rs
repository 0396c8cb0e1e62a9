//! One input, and what went wrong with it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::target::Target;

/// What a target said before it gave up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Runs `target` over `data`.
///
/// # Errors
/// Where it panicked, held too much memory, or found that two ways to read the same bytes differ.
pub fn check(target: Target, data: &[u8]) -> Result<(), Failure> {
    // What a target keeps from run to run are contexts of codecs, which must survive a bad input anyway.
    catch_unwind(AssertUnwindSafe(|| target.run(data))).map_err(|panic| Failure(message(&*panic)))
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    fixed.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
