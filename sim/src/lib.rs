//! Simulated worlds: clients, a network and brokers in one thread, under one virtual clock and one seed.
#![forbid(unsafe_code)]
#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "not published: a new fault or property must be met by every match"
)]

pub mod checker;
mod clock;
pub mod day;
pub mod fault;
pub mod group;
pub mod history;
mod host;
pub mod ledger;
mod line;
pub mod network;
pub mod scenario;
pub mod script;
pub mod share;
pub mod shrink;
pub mod world;
pub mod worlds;

pub use clock::Stopwatch;
