//! The program as a user runs it, against the embedded broker on a free port.

mod consume;
mod demo;
mod failure;
mod perf;
mod produce;
mod program;
mod topic;
