//! Histories of share groups, each with what such a group must not do.

use milena_broker::Acknowledgement;

use super::planted::{clean, ms, offset, promises, rejects_of, tp};
use super::{Property, check};
use crate::history::{History, Promises, Value};
use crate::share::{Done, Handed, ShareEvent, Shares, Told, Word};

#[test]
fn a_clean_share_group_breaks_nothing() {
    assert_eq!(check(&shared(), &promises()), []);
}

#[test]
fn p24_a_record_that_came_to_nobody() {
    rejects(|shares| {
        shares.handed.remove(0);
    });
}

/// Each of its locks ran out, on its way or while it waited for those before it.
#[test]
fn p24_a_worn_out_record_may_come_to_nobody() {
    let mut history = shared();
    let shares = history.share.as_mut().unwrap();
    shares.deliveries_max = 2;
    shares.handed.retain(|handed| handed.offset != offset(1));
    shares.words.retain(|word| word.offset != offset(1));
    shares.told.retain(|told| told.offset != offset(1));
    shares
        .events
        .retain(|event| event.offset != offset(1) || matches!(event.what, Done::Acquired(_)));
    assert_eq!(check(&history, &promises()), []);
    history.share.as_mut().unwrap().deliveries_max = 3;
    assert!(check(&history, &promises()).iter().any(|found| found.property == Property::P24));
}

#[test]
fn p24_a_record_that_the_group_is_not_done_with() {
    rejects(|shares| {
        shares.ends.insert(tp(), (Some(offset(1)), offset(2)));
    });
}

#[test]
fn p24_a_record_that_comes_again_after_it_was_accepted() {
    rejects(|shares| shares.events.push(acquired("b", 0, 2, 95)));
}

#[test]
fn p24_a_delivery_that_skips_a_number() {
    rejects(|shares| {
        shares.events[4].what = Done::Acquired(3);
        shares.handed[2].delivery_count = 3;
    });
}

#[test]
fn p24_a_delivery_beyond_the_limit() {
    rejects(|shares| shares.deliveries_max = 1);
}

/// Two who hold one record would both be believed.
#[test]
fn p24_a_word_of_one_who_does_not_hold_the_record() {
    rejects(|shares| {
        shares.events[5].member = "a".into();
        shares.words[2].member = "a".into();
        shares.told[2].member = "a".into();
    });
}

#[test]
fn p24_a_delivery_that_is_handed_out_twice() {
    rejects(|shares| {
        let again = Handed { at: ms(62), ..shares.handed[0].clone() };
        shares.handed.push(again);
    });
}

#[test]
fn p24_a_record_that_was_not_given_to_the_member() {
    rejects(|shares| shares.handed[2].member = "a".into());
}

#[test]
fn p24_a_record_handed_out_after_its_lock() {
    rejects(|shares| shares.handed[0].locked_until = ms(50));
}

#[test]
fn p24_a_word_that_nobody_said() {
    rejects(|shares| shares.words[0].said = Acknowledgement::Release);
}

/// What was damaged on its way is given back unread; nothing else is said of it.
#[test]
fn p24_a_word_that_nobody_said_of_damaged_records() {
    let promises = Promises { records_arrive_whole: false, ..promises() };
    let but = |unsaid: Acknowledgement| {
        let mut history = shared();
        history.share.as_mut().unwrap().words.retain(|word| word.said != unsaid);
        check(&history, &promises)
    };
    assert_eq!(but(Acknowledgement::Release), []);
    assert_ne!(but(Acknowledgement::Accept), []);
}

/// A gap says that there is no record: nobody would ever see it.
#[test]
fn p24_a_record_that_is_called_a_gap() {
    rejects(|shares| shares.events[2].what = Done::Took(Acknowledgement::Gap));
}

#[test]
fn p24_a_word_that_was_told_to_count_and_does_not() {
    rejects(|shares| {
        shares.events.pop();
    });
}

#[test]
fn p4_a_record_handed_out_as_another() {
    let change = |history: &mut History| {
        history.share.as_mut().unwrap().handed[0].value = Value(9);
    };
    rejects_of(shared(), promises(), Property::P4, change);
}

fn rejects(change: impl Fn(&mut Shares)) {
    let change = |history: &mut History| change(history.share.as_mut().unwrap());
    rejects_of(shared(), promises(), Property::P24, change);
}

/// One member accepts the first record and gives the second one back, which another one accepts.
fn shared() -> History {
    let mut history = clean();
    let accept = Acknowledgement::Accept;
    let release = Acknowledgement::Release;
    let ends = [(tp(), (Some(offset(2)), offset(2)))].into();
    let shares = Shares {
        handed: vec![handed("a", 0, 1, 60), handed("a", 1, 1, 60), handed("b", 1, 2, 80)],
        words: vec![word("a", 0, accept, 65), word("a", 1, release, 65), word("b", 1, accept, 85)],
        told: vec![told("a", 0, 72), told("a", 1, 72), told("b", 1, 92)],
        events: vec![
            acquired("a", 0, 1, 55),
            acquired("a", 1, 1, 55),
            took("a", 0, accept, 70),
            took("a", 1, release, 70),
            acquired("b", 1, 2, 75),
            took("b", 1, accept, 90),
        ],
        deliveries_max: 5,
        ends,
    };
    history.share = Some(shares);
    history
}

fn handed(member: &str, at: i64, delivery_count: i16, when: u64) -> Handed {
    Handed {
        member: member.into(),
        from: tp(),
        offset: offset(at),
        value: Value(at.unsigned_abs() + 1),
        delivery_count,
        at: ms(when),
        locked_until: ms(when + 100),
    }
}

fn word(member: &str, at: i64, said: Acknowledgement, when: u64) -> Word {
    Word { member: member.into(), of: tp(), offset: offset(at), said, at: ms(when) }
}

fn told(member: &str, at: i64, when: u64) -> Told {
    Told { member: member.into(), of: tp(), offset: offset(at), at: ms(when), is_taken: true }
}

fn acquired(member: &str, at: i64, count: i16, when: u64) -> ShareEvent {
    event(member, at, Done::Acquired(count), when)
}

fn took(member: &str, at: i64, said: Acknowledgement, when: u64) -> ShareEvent {
    event(member, at, Done::Took(said), when)
}

fn event(member: &str, at: i64, what: Done, when: u64) -> ShareEvent {
    ShareEvent { at: ms(when), member: member.into(), of: tp(), offset: offset(at), what }
}
