//! Histories of groups, each with what a group must not do.

use milena_types::TopicPartition;

use super::planted::{clean, ms, offset, promises, rejects_of, tp};
use super::{Property, check};
use crate::history::{GroupEnd, History, Promises, Read, Start, Stay, Stored, Value};

#[test]
fn a_clean_group_breaks_nothing() {
    assert_eq!(check(&group(), &promises()), []);
    let done = Promises { commits_what_is_done: true, ..promises() };
    assert_eq!(check(&group(), &done), []);
}

#[test]
fn p14_an_offset_committed_unread() {
    rejects(Property::P14, |h| h.stored[1].at = ms(49));
}

/// What is in the user's hand is not committed unasked.
#[test]
fn p14_an_offset_committed_before_its_record_is_done_with() {
    let done = Promises { commits_what_is_done: true, ..promises() };
    rejects_of(group(), done, Property::P14, |h| h.reads[1].done = Some(ms(71)));
}

#[test]
fn p14_an_offset_that_steps_back() {
    let back = |h: &mut History| {
        let stored = Stored { at: ms(80), ..h.stored[0].clone() };
        h.stored.push(stored);
    };
    rejects(Property::P14, back);
    // A request that was held up on its way may come behind a later one.
    let mut history = group();
    back(&mut history);
    let promises = Promises { commits_in_order: false, ..promises() };
    assert_eq!(check(&history, &promises), []);
}

/// F58: what was committed before it was forgotten binds nobody.
#[test]
fn a_group_begins_anew_when_its_offsets_are_forgotten() {
    let forgotten = |at| {
        let mut history = group();
        history.starts[1].at = offset(0);
        history.stored.push(Stored { at: ms(90), ..history.stored[0].clone() });
        history.forgotten = vec![at];
        history
    };
    assert_eq!(check(&forgotten(ms(77)), &promises()), []);
    assert_ne!(check(&forgotten(ms(65)), &promises()), []);
}

/// R10: who begins before the committed offset reads again what was done with.
#[test]
fn p14_a_stay_that_begins_too_early() {
    rejects(Property::P14, |h| h.starts[1].at = offset(0));
}

/// What was held up on its way may be stored behind a later one just before the next owner asks, but not after.
#[test]
fn p14_a_stay_begins_where_the_group_was_set_back_to() {
    let promises = Promises { commits_in_order: false, ..promises() };
    let back = |at| {
        let mut history = group();
        history.starts[1].at = offset(1);
        let stored = Stored { at, ..history.stored[0].clone() };
        history.stored.push(stored);
        history
    };
    assert_eq!(check(&back(ms(79)), &promises), []);
    assert_ne!(check(&back(ms(81)), &promises), []);
}

/// Who is out of the group, and has not heard of it while his user was away, begins where it was when he asked.
#[test]
fn p14_a_stay_begins_where_the_group_was_when_it_was_asked() {
    let begun = |at, asked| {
        let mut history = group();
        history.starts[1] =
            Start { at: offset(at), asked: Some(ms(asked)), ..history.starts[1].clone() };
        check(&history, &promises())
    };
    assert_eq!((begun(0, 59), begun(1, 65)), (vec![], vec![]));
    for (at, asked) in [(0, 65), (1, 72), (1, 90)] {
        assert_ne!(begun(at, asked), [], "{at} though asked at {asked}");
    }
}

/// R21, R22: a member that was given nothing, or no longer has it, hands out nothing.
#[test]
fn p12_a_record_of_a_partition_that_was_revoked() {
    rejects(Property::P12, |h| {
        let read = Read { assignment: 0, at: ms(90), ..h.reads[1].clone() };
        h.reads.push(read);
    });
}

#[test]
fn p15_a_partition_read_by_two() {
    rejects(Property::P15, |h| h.reads[1].at = ms(76));
}

#[test]
fn p15_a_partition_with_two_owners_in_the_end() {
    rejects(Property::P15, |h| {
        h.group.as_mut().unwrap().held.insert(0, vec![tp()]);
    });
}

/// R16: an assignment that is read in part leaves partitions to nobody.
#[test]
fn p15_a_partition_that_nobody_owns() {
    rejects(Property::P15, |h| {
        h.group.as_mut().unwrap().held.insert(1, Vec::new());
    });
}

#[test]
fn p15_shares_that_are_uneven() {
    rejects(Property::P15, |h| {
        let group = h.group.as_mut().unwrap();
        group.partitions = (0..3).map(|n| TopicPartition::new("orders", n)).collect();
        let of = |range: std::ops::Range<usize>| group.partitions[range].to_vec();
        group.held = [(0, of(0..0)), (1, of(0..3))].into();
    });
}

#[test]
fn p15_a_group_that_never_becomes_stable() {
    rejects(Property::P15, |h| h.group.as_mut().unwrap().is_stable = false);
}

/// What a member that died had read and not committed is read again; what nobody read is missed.
#[test]
fn p13_a_record_that_a_group_missed() {
    rejects(Property::P13, |h| {
        h.reads.pop();
        h.stored.pop();
        h.starts.clear();
        h.reads.clear();
    });
}

/// What retention took before anybody read it is nobody's loss.
#[test]
fn a_deleted_record_need_not_be_read() {
    let mut history = group();
    history.reads.remove(0);
    history.deleted.insert(tp(), vec![(ms(30), offset(1))]);
    assert_eq!(check(&history, &promises()), []);
}

#[test]
fn p12_a_record_skipped_before_it_was_deleted() {
    rejects(Property::P12, |h| {
        h.reads.remove(0);
        h.deleted.insert(tp(), vec![(ms(99), offset(1))]);
    });
}

fn rejects(property: Property, spoil: impl FnOnce(&mut History)) {
    rejects_of(group(), promises(), property, spoil);
}

/// Two records read by the first member, which commits and goes; the second one takes over.
fn group() -> History {
    let mut history = clean();
    let stay = |consumer, from| Stay { consumer, assignment: 1, of: tp(), from };
    history.stays = vec![stay(0, ms(20)), stay(1, ms(75))];
    let start = Start { consumer: 1, at: offset(2), known: ms(80), ..history.starts[0].clone() };
    history.starts.push(start);
    history.reads.iter_mut().for_each(|read| read.done = Some(ms(60)));
    let stored = |at, n| Stored { at: ms(at), of: tp(), offset: offset(n) };
    history.stored = vec![stored(60, 1), stored(70, 2)];
    history.group =
        Some(GroupEnd { is_stable: true, held: [(1, vec![tp()])].into(), partitions: vec![tp()] });
    assert_eq!(history.reads[1].value, Value(2));
    history
}
