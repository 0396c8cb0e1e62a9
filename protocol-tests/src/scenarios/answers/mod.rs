//! What brokers answer, one claim a scenario: by hand, API by API, from the embedded broker and from every release that has
//! the API.
//!
//! Requests are of versions that Kafka 2.1 speaks. Where releases answer differently, the scenario says since when.

mod appends;
mod commits;
mod ends;
mod groups;
mod log;
mod reads;
mod rebalances;
mod topics;
mod transactions;

use crate::suite::Scenario;

/// A table of answers: `name: |stage| what is claimed`, for clusters that `fits` names.
macro_rules! answers {
    ($($table:tt)*) => {
        $crate::scenarios::stage::staged! { "answers", $($table)* }
    };
}

use answers;

/// All of them, one list a subject.
pub(crate) const ANSWERS: &[&[Scenario]] = &[
    appends::ALL,
    reads::ALL,
    ends::ALL,
    commits::ALL,
    groups::ALL,
    rebalances::ALL,
    transactions::ALL,
    topics::ALL,
];
