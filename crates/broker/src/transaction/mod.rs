//! Transactions of producers, as Kafka's transaction coordinator keeps them (KIP-98, 360, 588, 890).

mod end;
mod metadata;
mod state;
mod stored;

pub(crate) use end::{End, Ending, TransactionVersion};
pub(crate) use metadata::{Init, Transaction};
pub use state::TransactionState;
pub(crate) use stored::StoredTransaction;
