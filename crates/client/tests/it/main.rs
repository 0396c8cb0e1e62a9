//! The shipped client on a paused clock, over pipes within the process, against the embedded cluster.
//!
//! Nothing here sleeps, listens on a port or reads the machine's clock: time moves when every task waits for it. Only
//! `blocking` runs in real threads, on their time.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod allocations;
#[cfg(test)]
mod blocking;
#[cfg(test)]
mod buffer;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod cancellation;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod commits;
#[cfg(test)]
mod configured;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod dropped;
#[cfg(test)]
mod dropped_consumers;
#[cfg(test)]
mod dropped_sends;
#[cfg(test)]
mod dropped_transactions;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod group;
#[cfg(test)]
mod interceptors;
#[cfg(test)]
mod many;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod observed;
#[cfg(test)]
mod partitions;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod rebalance;
#[cfg(test)]
mod releases;
#[cfg(test)]
mod repeat;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod sequences;
#[cfg(test)]
mod share;
#[cfg(test)]
mod spawned;
#[cfg(test)]
mod transaction_faults;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod typed;
#[cfg(test)]
mod wires;
#[cfg(test)]
mod world;
