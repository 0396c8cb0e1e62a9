//! The claims, one module a subject.

mod tools;

use crate::suite::{LIMIT, Scenario};

/// Names an async function as a scenario: `scenario!(produce::a_claim)`, then what is special.
macro_rules! scenario {
    ($($path:ident)::+ $(, $field:ident: $value:expr)*) => {
        Scenario {
            $($field: $value,)*
            ..Scenario {
                name: concat!($("::", stringify!($path)),+).split_at(2).1,
                fits: |_| true,
                alone: false,
                limit: LIMIT,
                run: |target| Box::pin($($path)::+(target)),
            }
        }
    };
}

/// All of them. A name is `subject::claim`.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario!(tools::topics_are_made_listed_described_and_deleted, alone: true),
    scenario!(tools::a_topic_that_exists_is_not_made_again, alone: true),
    scenario!(tools::what_the_console_producer_writes_the_console_consumer_reads, alone: true),
    scenario!(tools::a_group_is_listed_and_described_with_its_lag, alone: true),
];
