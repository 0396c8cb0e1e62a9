//! The machine against a scripted broker, answer by answer.

mod close;
mod locks;
mod members;
mod script;
mod sessions;
mod user;
