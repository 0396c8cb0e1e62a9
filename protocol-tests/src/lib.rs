//! One suite, two brokers.
