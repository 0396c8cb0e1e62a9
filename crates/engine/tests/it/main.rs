//! What the engine promises across its modules.

mod allocations;
