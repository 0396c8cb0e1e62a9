//! The cluster asked by frames, in virtual time.

mod faults;
mod fetch;
mod groups;
mod hostile;
mod nodes;
mod produce;
mod shells;
mod topics;
mod versions;
mod world;
