//! The producer against a small world: brokers with Kafka's sequence rules, a network that loses what it likes, and
//! one virtual clock.

mod answers;
mod appends;
mod broker;
mod faults;
mod flow;
mod hand;
mod pacing;
mod placement;
mod random;
mod refusals;
mod sequences;
mod topics;
mod transactional;
mod world;
