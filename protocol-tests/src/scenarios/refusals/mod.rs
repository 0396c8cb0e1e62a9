//! What brokers refuse, one request a scenario: the documented code comes, from the embedded broker and from every release
//! that has the API.
//!
//! Requests are of the newest versions that Kafka 2.1 speaks, where the table does not say otherwise, so that one expectation
//! holds for all. Codes that say "not yet" are waited out: coordinators load, and brokers learn of a topic one by one.

mod administration;
mod groups;
mod members;
mod records;
mod replaced;
mod topics;
mod transactions;

use crate::suite::Scenario;

/// A table of refusals: `name: |stage| request and code`, for clusters that `fits` names.
macro_rules! refusals {
    ($($table:tt)*) => {
        $crate::scenarios::stage::staged! { "refusals", $($table)* }
    };
}

use refusals;

/// All of them, one list a subject.
pub(crate) const REFUSALS: &[&[Scenario]] = &[
    records::ALL,
    records::since_ids::ALL,
    topics::ALL,
    topics::configs::ALL,
    replaced::ALL,
    administration::ALL,
    administration::nameless::ALL,
    administration::since_controllers::ALL,
    groups::ALL,
    groups::since_known_ids::ALL,
    members::ALL,
    members::shares::ALL,
    transactions::ALL,
    transactions::since_members::ALL,
    transactions::seen::ALL,
];
