use std::collections::BTreeSet;

use milena_fuzz::corpus::{self, Seed};
use milena_fuzz::{Mutator, Target, check, dictionary};
use milena_types::{ApiKey, ErrorCode};
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
fn a_number_of_mutations_of_each_pass() {
    for target in Target::ALL {
        let seeds = seeds(target);
        let mut mutator = Mutator::new(1, dictionary::words(target).unwrap());
        // A world is many frames.
        let count = if target == Target::ClusterScript { 10 } else { 2000 };
        for n in 0..count {
            check(target, &mutator.next(&seeds)).unwrap_or_else(|e| panic!("{target}, {n}: {e}"));
        }
    }
}

#[test]
fn each_target_has_words_and_those_of_messages_are_all_that_there_are() {
    for target in Target::ALL {
        assert!(dictionary::words(target).unwrap().len() >= 10, "{target}");
    }
    let words = |target| BTreeSet::from_iter(dictionary::words(target).unwrap());
    let codes = ErrorCode::ALL.iter().map(|code| code.get().to_be_bytes().to_vec());
    let unsaid: Vec<_> =
        BTreeSet::from_iter(codes).difference(&words(Target::Response)).cloned().collect();
    assert!(unsaid.is_empty(), "error codes: {unsaid:?}");
    let keys = ApiKey::ALL.iter().map(|key| key.get().to_be_bytes().to_vec());
    let unsaid: Vec<_> =
        BTreeSet::from_iter(keys).difference(&words(Target::Request)).cloned().collect();
    assert!(unsaid.is_empty(), "API keys: {unsaid:?}");
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
