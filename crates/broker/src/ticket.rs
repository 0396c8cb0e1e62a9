//! Ties a request that waits to the connection that its answer goes to.

/// One request that was taken; no ticket is dealt twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ticket {
    number: u64,
    /// The version the request was asked in, and its answer is written in.
    pub(crate) version: i16,
}

/// Deals out tickets.
#[derive(Debug, Default)]
pub(crate) struct Tickets(u64);

impl Tickets {
    pub(crate) fn deal(&mut self, version: i16) -> Ticket {
        self.0 += 1;
        Ticket { number: self.0, version }
    }
}
