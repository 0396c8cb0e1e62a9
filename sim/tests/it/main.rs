//! Worlds that were written by hand: bugs of other clients, each set up to happen.

#[cfg(test)]
mod extremes;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod transactions;
