//! Simulated worlds.
