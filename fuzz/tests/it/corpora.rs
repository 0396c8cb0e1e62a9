use std::collections::BTreeSet;

use milena_fuzz::corpus::{self, Seed};
use milena_fuzz::{Mutator, Target, check};
use milena_wire::Request;

fn seeds(target: Target) -> Vec<Seed> {
    let seeds = corpus::seeds(target).unwrap();
    assert!(seeds.len() >= 10, "{target} begins with {} inputs", seeds.len());
    seeds
}

#[test]
fn every_corpus_passes() {
    for target in Target::ALL {
        for seed in seeds(target) {
            check(target, &seed.data).unwrap_or_else(|e| panic!("{target}, {}: {e}", seed.origin));
        }
    }
}

#[test]
fn two_thousand_mutations_of_each_pass() {
    for target in Target::ALL {
        let seeds = seeds(target);
        let mut mutator = Mutator::new(1);
        for n in 0..2000 {
            check(target, &mutator.next(&seeds)).unwrap_or_else(|e| panic!("{target}, {n}: {e}"));
        }
    }
}

/// Half of what `cargo xtask fuzz` tries would be waste if most inputs ended at the first field.
#[test]
fn an_api_version_without_a_seed_would_pass_unseen() {
    for target in [Target::Request, Target::Response] {
        let chosen: BTreeSet<Vec<u8>> =
            seeds(target).iter().map(|seed| seed.data[..2].to_vec()).collect();
        let versions = Request::APIS.iter().map(|(_, versions)| versions.clone().count());
        assert_eq!(chosen.len(), versions.sum::<usize>(), "{target}: versions with a seed");
    }
}
