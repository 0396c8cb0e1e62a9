//! Fuzz targets as plain functions over bytes, run on stable Rust.
//!
//! A [`Target`] must never panic, hang or hold more memory than its input accounts for; where it is cheap, it also
//! compares: what was read is written and read again, a torn stream gives the frames of a whole one, and two
//! decompressors agree. [`corpus`] has what each begins with, [`Mutator`] makes new inputs of that and of the words of a
//! [`dictionary`] from a seed, and [`check`] runs one and says what went wrong. `cargo xtask fuzz` runs them for a while; `libfuzzer` has the same
//! functions for cargo-fuzz.
#![deny(unsafe_code)]

pub mod corpus;
pub mod dictionary;
pub mod memory;

mod check;
mod mutator;
mod target;
mod targets;

pub use check::{Failure, check};
pub use mutator::Mutator;
pub use target::Target;
