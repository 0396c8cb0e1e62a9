//! The corpora and a fixed number of mutations of each, with no clock involved.

#[cfg(test)]
mod corpora;
