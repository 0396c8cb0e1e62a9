//! What brokers answer, one claim a scenario: by hand, API by API, from the embedded broker and from every release that has
//! the API.
//!
//! Requests are of versions that Kafka 2.1 speaks. Where releases answer differently, the scenario says since when.

mod commits;
mod groups;
mod rebalances;

use crate::suite::Scenario;

/// A table of answers: `name: |stage| what is claimed`, for clusters that `fits` names.
macro_rules! answers {
    ($($table:tt)*) => {
        $crate::scenarios::stage::staged! { "answers", $($table)* }
    };
}

use answers;

/// All of them, one list a subject.
pub(crate) const ANSWERS: &[&[Scenario]] = &[commits::ALL, groups::ALL, rebalances::ALL];
