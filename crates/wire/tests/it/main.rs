//! The codec against bytes that it did not make.
#![cfg(test)]

mod debug;
mod golden;
mod sample;
