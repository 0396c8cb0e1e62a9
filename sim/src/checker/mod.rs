//! The judge: one function a property, over a finished history.
//!
//! A property is numbered as in the catalogue of `docs/testing.md`. Each has a planted history that it must reject,
//! so that a checker that has gone blind is noticed.

mod calls;
mod copies;
mod groups;
mod log;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod planted_copies;
#[cfg(test)]
mod planted_groups;
#[cfg(test)]
mod planted_shares;
mod reads;
mod shares;
mod transactions;
mod wire;

use std::fmt;

use crate::history::{History, Promises};

/// A property that a history breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The property's number.
    pub property: Property,
    /// What happened, in the terms of the history.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}

/// What must hold in every world.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Property {
    /// Nothing acknowledged is lost.
    P1,
    /// Nothing is stored twice.
    P2,
    /// What was reported as not stored is not stored.
    P3,
    /// An offset holds one value, whoever reads it and whenever.
    P4,
    /// An acknowledged offset is the offset in the log.
    P5,
    /// The log keeps the order of the sends of a producer to a partition.
    P6,
    /// Nothing of an aborted or open transaction is read by those who read committed records.
    P7,
    /// Nothing is read before its transaction's commit was asked for.
    P8,
    /// All records of a transaction are committed, or none.
    P9,
    /// The end that was reported is the end that the log holds.
    P10,
    /// Offsets are committed together with the records.
    P11,
    /// Within an assignment a consumer neither skips nor steps back.
    P12,
    /// What was acknowledged is read in the end.
    P13,
    /// The group's offset is not beyond what was handed out, nor steps back, and whoever gets a partition begins there.
    P14,
    /// A partition has one owner at a time, and in the end exactly one.
    P15,
    /// A flush or close that reports success left nothing unsettled.
    P16,
    /// Every delivery resolves exactly once.
    P17,
    /// Every call ends by its deadline.
    P18,
    /// Once faults stop the world comes to rest, and what is sent is stored.
    P19,
    /// Nothing spins.
    P20,
    /// Memory stays within its limit, and is given back.
    P21,
    /// No two committed transactions read from each other.
    P22,
    /// What brokers see on the wire is legal.
    P23,
    /// A share group works on each record until it is done with, and has it in one hand at a time.
    P24,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Judges a finished world; the first violation of each property that is broken.
pub fn check(history: &History, promises: &Promises) -> Vec<Violation> {
    let of_outcome: [fn(&History, &Promises) -> Verdict; 26] = [
        log::acknowledged_is_stored,
        log::nothing_is_stored_twice,
        log::not_done_is_not_stored,
        log::acknowledged_offset_is_the_offset,
        log::order_is_kept,
        reads::an_offset_holds_one_value,
        reads::no_skip_and_no_step_back,
        reads::acknowledged_is_read,
        transactions::only_committed_is_read,
        transactions::nothing_is_read_before_its_commit,
        transactions::transactions_are_whole,
        transactions::the_reported_end_is_the_end,
        transactions::offsets_go_with_the_records,
        copies::what_is_consumed_is_copied_once,
        copies::nobody_reads_in_a_circle,
        groups::nothing_is_committed_unread,
        groups::commits_do_not_step_back,
        groups::a_stay_begins_where_the_last_ended,
        groups::a_partition_has_one_owner,
        groups::the_group_shares_everything_out,
        shares::what_is_handed_out_was_acquired,
        shares::a_record_has_one_holder_at_a_time,
        shares::words_are_those_of_users,
        shares::everything_is_worked_on,
        calls::the_world_comes_to_rest,
        calls::what_has_time_is_stored,
    ];
    let of_conduct: [fn(&History, &Promises) -> Verdict; 6] = [
        calls::flush_is_complete,
        calls::each_delivery_resolves_once,
        calls::calls_end_by_their_deadline,
        calls::nothing_spins,
        calls::memory_is_bounded,
        wire::what_brokers_see_is_legal,
    ];
    let of_outcome = of_outcome.into_iter().filter(|_| promises.bytes_arrive_whole);
    let properties = of_outcome.chain(of_conduct);
    properties.filter_map(|property| property(history, promises).err()).collect()
}

/// A property's verdict.
type Verdict = Result<(), Violation>;

fn broken(property: Property, what: impl Into<String>) -> Verdict {
    Err(Violation { property, what: what.into() })
}
