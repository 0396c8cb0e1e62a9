//! The codec against bytes that it did not make.
#![cfg(test)]

mod bounds;
mod debug;
mod frame;
mod golden;
mod memory;
mod oracle;
mod parts;
mod sample;
