//! The program as a user runs it, against the embedded broker on a free port.

#[cfg(test)]
mod consume;
#[cfg(test)]
mod data_dir;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod failure;
#[cfg(test)]
mod perf;
#[cfg(test)]
mod produce;
#[cfg(test)]
mod program;
#[cfg(test)]
mod topic;
