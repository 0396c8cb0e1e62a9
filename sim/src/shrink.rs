//! Makes a failing world small: fewer faults, fewer clients, fewer records, while the same property breaks.

use crate::checker::Property;
use crate::scenario::Scenario;
use crate::world;

/// The smallest world found within `attempts` runs that still breaks `property`.
pub fn shrink(scenario: &Scenario, property: Property, attempts: usize) -> Scenario {
    let mut best = scenario.clone();
    let mut left = attempts;
    loop {
        let mut is_smaller = false;
        for candidate in smaller(&best) {
            if left == 0 {
                return best;
            }
            left -= 1;
            if breaks(&candidate, property) {
                best = candidate;
                is_smaller = true;
                break;
            }
        }
        if !is_smaller {
            return best;
        }
    }
}

fn breaks(scenario: &Scenario, property: Property) -> bool {
    world::run(scenario, false).violations.iter().any(|found| found.property == property)
}

/// Worlds with one thing less, the largest steps first.
fn smaller(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut one = scenario.clone();
        change(&mut one);
        all.push(one);
    };
    let faults = scenario.faults.len();
    if faults > 2 {
        with(&|one| one.faults.truncate(faults / 2));
        with(&|one| {
            one.faults.drain(..faults / 2);
        });
    }
    for n in 0..faults {
        with(&|one| {
            one.faults.remove(n);
        });
    }
    for n in 0..scenario.consumers.len() {
        with(&|one| {
            one.consumers.remove(n);
        });
    }
    for n in 0..scenario.group.as_ref().map_or(0, |group| group.members.len()) {
        with(&|one| {
            if let Some(group) = &mut one.group {
                group.members.remove(n);
            }
        });
        with(&|one| {
            let member = one.group.as_mut().and_then(|group| group.members.get_mut(n));
            if let Some(member) = member {
                member.acts.truncate(1);
            }
        });
    }
    for n in 0..scenario.share.as_ref().map_or(0, |group| group.members.len()) {
        with(&|one| {
            if let Some(group) = &mut one.share {
                group.members.remove(n);
            }
        });
        with(&|one| {
            let member = one.share.as_mut().and_then(|group| group.members.get_mut(n));
            if let Some(member) = member {
                member.acts.truncate(1);
            }
        });
    }
    // The last producer stays: without records there is no world.
    for n in 0..scenario.producers.len() {
        if scenario.producers.len() > 1 {
            with(&|one| {
                one.producers.remove(n);
            });
        }
        let records = scenario.producers.get(n).map_or(0, |plan| plan.records);
        if records > 1 {
            with(&|one| {
                if let Some(plan) = one.producers.get_mut(n) {
                    plan.records = records / 2;
                }
            });
        }
    }
    if scenario.partitions > 1 {
        with(&|one| one.partitions = 1);
    }
    all
}
