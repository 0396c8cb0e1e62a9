//! Every API that the client asks × everything that may go wrong with the answer, and what the user sees of each.
//!
//! A [`Row`](row::Row) of the tables is one API as one scene asks it: a cell for every error code that Kafka documents
//! for the API or handles in its own clients, one for a code that nobody knows, one for every fault of the way. A cell
//! says one outcome. All cells of a row are one test, which names each that came out otherwise.
//!
//! Whatever a cell says, scenes hold to what is promised in every one: no record twice in the log, none lost that was
//! acknowledged, an error's `fate` true, a transaction whole or not at all, every call over by its deadline.

mod documented;
mod outcome;
mod row;
mod scene;
mod strike;
mod table;

use std::collections::BTreeSet;
use std::path::Path;

use milena_types::ApiKey;

use row::Row;

/// A test a row, named after it.
macro_rules! rows {
    ($($name:ident: $row:path;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                $row.check().await;
            }
        )*

        const ROWS: &[&Row] = &[$(&$row),*];
    };
}

rows! {
    api_versions: table::send::API_VERSIONS;
    metadata: table::send::METADATA;
    produce: table::send::PRODUCE;
    init_producer_id: table::send::INIT_PRODUCER_ID;
    fetch: table::read::FETCH;
    list_offsets: table::read::LIST_OFFSETS;
    offset_for_leader_epoch: table::read::OFFSET_FOR_LEADER_EPOCH;
    find_coordinator_of_a_group: table::group::FIND_COORDINATOR;
    join_group: table::group::JOIN_GROUP;
    sync_group: table::group::SYNC_GROUP;
    heartbeat: table::group::HEARTBEAT;
    leave_group: table::group::LEAVE_GROUP;
    offset_commit: table::group::OFFSET_COMMIT;
    offset_fetch: table::group::OFFSET_FETCH;
    consumer_group_heartbeat: table::consumer_group::CONSUMER_GROUP_HEARTBEAT;
    offset_commit_of_a_consumer_group: table::consumer_group::OFFSET_COMMIT;
    offset_fetch_of_a_consumer_group: table::consumer_group::OFFSET_FETCH;
    find_coordinator_of_a_transaction: table::transaction::FIND_COORDINATOR;
    init_producer_id_of_a_transaction: table::transaction::INIT_PRODUCER_ID;
    produce_in_a_transaction: table::transaction::PRODUCE;
    add_partitions_to_txn: table::transaction::ADD_PARTITIONS_TO_TXN;
    add_offsets_to_txn: table::transaction::ADD_OFFSETS_TO_TXN;
    txn_offset_commit: table::transaction::TXN_OFFSET_COMMIT;
    end_txn: table::transaction::END_TXN;
    share_group_heartbeat: table::share::SHARE_GROUP_HEARTBEAT;
    share_fetch: table::share::SHARE_FETCH;
    share_acknowledge: table::share::SHARE_ACKNOWLEDGE;
    create_topics: table::admin::CREATE_TOPICS;
    delete_topics: table::admin::DELETE_TOPICS;
    describe_configs: table::admin::DESCRIBE_CONFIGS;
    list_groups: table::admin::LIST_GROUPS;
    describe_groups: table::admin::DESCRIBE_GROUPS;
}

/// An API that nobody thought of here would be asked without anyone having said what becomes of its errors.
#[test]
fn every_api_that_the_client_asks_has_a_row() {
    let rows: BTreeSet<ApiKey> = ROWS.iter().map(|row| row.api).collect();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut words = BTreeSet::new();
    for folder in ["client/src", "engine/src"] {
        words_of(&crates.join(folder), &mut words);
    }
    let is_asked = |api: &ApiKey| words.contains(&format!("{}Request", api.name().unwrap()));
    let asked: BTreeSet<ApiKey> = ApiKey::ALL.iter().copied().filter(is_asked).collect();
    assert!(asked.len() > 20, "the sources were not found: {asked:?}");
    assert_eq!(asked, rows);
}

#[test]
fn every_row_has_a_cell_for_each_documented_code_and_each_fault() {
    for row in ROWS {
        let wanted = row.wanted();
        let mut found = BTreeSet::new();
        for strike in row.cells() {
            assert!(found.insert(strike), "{row}: {strike} has two cells");
        }
        assert_eq!(found, wanted, "{row}");
    }
}

/// Every identifier of the sources in and under `folder`.
fn words_of(folder: &Path, words: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            words_of(&path, words);
        } else {
            let source = std::fs::read_to_string(&path).unwrap();
            let split = source.split(|sign: char| !sign.is_alphanumeric());
            words.extend(split.filter(|word| word.ends_with("Request")).map(str::to_owned));
        }
    }
}
