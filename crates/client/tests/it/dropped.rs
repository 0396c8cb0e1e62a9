//! Which test drops which call: every `pub async fn` of the client, and every future that it hands out by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const TESTS: &[(&str, &[&str])] = &[
    ("cancellation::connect_leaves_nothing_open", &["connect", "KafkaBuilder::connect"]),
    (
        "cancellation::building_leaves_the_handle_usable",
        &["ProducerBuilder::build", "ConsumerBuilder::build"],
    ),
    ("cancellation::send_stores_at_most_once", &["Send", "Sending"]),
    ("cancellation::enqueue_stores_exactly_what_was_admitted", &["Enqueue"]),
    ("cancellation::flush_stops_waiting_and_nothing_else", &["Producer::flush"]),
    ("cancellation::a_producers_close_goes_on_without_its_caller", &["Producer::close"]),
    ("cancellation::poll_loses_nothing", &["Consumer::poll"]),
    ("cancellation::try_next_loses_nothing", &["Consumer::try_next"]),
    (
        "cancellation::commits_go_on_and_never_go_back",
        &[
            "Batch::commit",
            "Consumer::commit",
            "Consumer::commit_offsets",
            "ConsumerHandle::commit",
            "ConsumerHandle::commit_offsets",
        ],
    ),
    (
        "cancellation::seeks_and_pauses_are_done_whole_or_not_at_all",
        &[
            "Consumer::seek",
            "ConsumerHandle::pause",
            "ConsumerHandle::resume",
            "ConsumerHandle::seek",
            "ConsumerHandle::seek_to_beginning",
            "ConsumerHandle::seek_to_end",
        ],
    ),
    (
        "cancellation::questions_of_a_consumer_can_be_asked_again",
        &[
            "ConsumerHandle::assignment",
            "ConsumerHandle::beginning_offsets",
            "ConsumerHandle::committed",
            "ConsumerHandle::end_offsets",
            "ConsumerHandle::member_state",
            "ConsumerHandle::paused",
        ],
    ),
    ("cancellation::a_consumers_close_goes_on_without_its_caller", &["Consumer::close"]),
    ("cancellation::a_handles_close_can_be_dropped", &["Kafka::close"]),
    (
        "cancellation::admin_calls_can_be_made_again",
        &[
            "Admin::delete_topics",
            "Admin::describe_group",
            "Admin::describe_topics",
            "Admin::group_offsets",
            "Admin::list_groups",
            "Admin::list_topics",
            "CreateTopic",
            "Kafka::partitions_for",
        ],
    ),
    (
        "callbacks::a_send_dropped_before_admission_calls_nothing_and_afterwards_once",
        &["EnqueueWithCallback"],
    ),
    (
        "dropped_sends::a_dropped_send_with_a_callback_is_told_of_once_if_it_was_admitted",
        &["SendWithCallback"],
    ),
    (
        "dropped_sends::an_owned_send_and_a_question_for_partitions_can_be_dropped",
        &["Producer::partitions_for"],
    ),
    ("dropped_sends::many_records_whose_call_is_dropped_are_a_prefix_stored_once", &["EnqueueAll"]),
    ("dropped_consumers::a_subscription_is_changed_whole_or_not_at_all", &["Consumer::subscribe"]),
    (
        "dropped_consumers::partitions_are_assigned_whole_or_not_at_all_and_what_stays_keeps_its_position",
        &["Consumer::assign"],
    ),
    (
        "dropped_consumers::an_unsubscribe_that_is_made_again_goes_on_where_it_was",
        &["Consumer::unsubscribe"],
    ),
    (
        "dropped_consumers::what_is_marked_is_committed_or_stays_marked",
        &["Consumer::commit_marked", "ConsumerHandle::commit_marked"],
    ),
    (
        "dropped_consumers::a_close_goes_on_without_its_caller_as_it_was_asked_for",
        &["Consumer::close_with", "ConsumerHandle::close", "ConsumerHandle::close_with"],
    ),
    (
        "dropped_consumers::a_rebalance_is_asked_for_once_a_call",
        &["ConsumerHandle::enforce_rebalance"],
    ),
    (
        "dropped_consumers::more_questions_of_a_consumer_can_be_asked_again",
        &[
            "ConsumerHandle::group_metadata",
            "ConsumerHandle::offsets_for_times",
            "ConsumerHandle::subscription",
        ],
    ),
    (
        "dropped_consumers::a_partition_that_nobody_waited_for_is_handed_to_the_next_who_does",
        &["Consumer::next_partition"],
    ),
    (
        "dropped_consumers::a_stream_of_one_partition_hands_each_record_out_once",
        &["PartitionStream::next_batch", "PartitionStream::try_next"],
    ),
    (
        "dropped_consumers::commits_of_a_stream_go_on_without_their_caller",
        &["PartitionStream::commit", "PartitionStream::commit_marked"],
    ),
    (
        "dropped_consumers::poison_is_neither_passed_over_nor_met_again_once_it_is_skipped",
        &["TypedConsumer::skip_poison"],
    ),
    (
        "dropped_consumers::each_poison_record_has_its_letter_and_each_letter_is_sent_once_a_call",
        &["DeadLetter::send", "TypedConsumer::close", "TypedConsumer::try_next"],
    ),
    (
        "dropped_transactions::a_start_that_is_dropped_leaves_nothing_open",
        &[
            "ProducerBuilder::build_transactional",
            "TransactionalProducer::begin",
            "TransactionalProducer::wait_for_end",
        ],
    ),
    (
        "dropped_transactions::a_dropped_end_is_a_whole_commit_or_an_abort",
        &["Transaction::abort", "Transaction::commit", "Transaction::prepare"],
    ),
    (
        "dropped_transactions::calls_within_a_transaction_can_be_dropped_and_it_commits_all_the_same",
        &[
            "Transaction::enqueue_all",
            "Transaction::flush",
            "TransactionalProducer::partitions_for",
        ],
    ),
    (
        "dropped_transactions::offsets_whose_call_was_dropped_are_committed_with_the_records",
        &["Transaction::send_offsets", "Transaction::send_offsets_for"],
    ),
    (
        "dropped_transactions::a_dropped_close_aborts_what_is_open_long_before_its_time",
        &["TransactionalProducer::close"],
    ),
    (
        "transactions::a_transaction_may_be_dropped_at_each_poll",
        &["SendInTransaction", "SendInTransaction::enqueue", "TransactionalProducer::transaction"],
    ),
    ("transactions::a_copy_may_be_dropped_at_each_poll", &["TransactionalProducer::transform"]),
    (
        "share::a_dropped_wait_hands_out_nothing",
        &["ShareConsumer::poll", "ShareConsumer::try_next"],
    ),
    (
        "share::dropped_calls_of_the_handle_leave_the_consumer_whole",
        &[
            "ShareConsumer::commit",
            "ShareConsumerBuilder::build",
            "ShareConsumerHandle::assignment",
            "ShareConsumerHandle::commit",
            "ShareConsumerHandle::lock_timeout",
            "ShareConsumerHandle::member_id",
            "ShareConsumerHandle::member_state",
            "ShareConsumerHandle::subscribe",
        ],
    ),
    (
        "share::a_close_goes_on_without_its_caller",
        &["ShareConsumer::close", "ShareConsumerHandle::close"],
    ),
];

/// Take brokers with two-phase commit, which the embedded one does not have; they are what `Transaction`'s are.
const ON_A_REAL_CLUSTER_ONLY: &[&str] =
    &["PreparedTransaction::abort", "PreparedTransaction::commit"];

/// The name of the type that an `impl` is of.
fn type_of(header: &str) -> String {
    let mut depth = 0;
    let rest = header.strip_prefix("impl").unwrap();
    let generics = rest.find(|letter| {
        depth += i32::from(letter == '<') - i32::from(letter == '>');
        depth == 0
    });
    let rest = if rest.starts_with('<') { &rest[generics.unwrap() + 1..] } else { rest };
    let name = rest.split(" for ").last().unwrap().trim();
    name.chars().take_while(|letter| letter.is_alphanumeric()).collect()
}

/// Every call of the sources beneath `folder` that is waited for.
fn collect(folder: &Path, calls: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, calls);
            continue;
        }
        let mut owner = String::new();
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            if line.starts_with("impl") {
                owner = type_of(line);
                if line.contains("Future for ") {
                    calls.insert(owner.clone());
                }
            }
            let Some((indent, function)) = line.split_once("pub async fn ") else { continue };
            let name = function.split(['<', '(']).next().unwrap();
            calls.insert(if indent.is_empty() { name.into() } else { format!("{owner}::{name}") });
        }
    }
}

#[test]
fn every_call_that_is_waited_for_is_dropped_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut calls = BTreeSet::new();
    collect(&root.join("src"), &mut calls);
    let mut listed = BTreeMap::new();
    for (test, dropped) in TESTS {
        let (file, function) = test.split_once("::").unwrap();
        let text = fs::read_to_string(root.join(format!("tests/it/{file}.rs"))).unwrap();
        let begin = text.find(&format!("async fn {function}()"));
        let body = &text[begin.unwrap_or_else(|| panic!("there is no test {test}"))..];
        let body = &body[..body.find("\n}\n").unwrap()];
        assert!(body.contains("drop_after("), "{test} drops nothing");
        for call in *dropped {
            assert_eq!(listed.insert(*call, *test), None, "{call} is listed twice");
            let name = call.split_once("::").map_or("drop_after(", |(_, name)| name);
            assert!(text.contains(name), "{test} does not call {call}");
        }
    }
    let listed = listed.into_keys().chain(ON_A_REAL_CLUSTER_ONLY.iter().copied());
    let listed: BTreeSet<_> = listed.map(str::to_owned).collect();
    let (missing, gone) = (calls.difference(&listed), listed.difference(&calls));
    let (missing, gone): (Vec<_>, Vec<_>) = (missing.collect(), gone.collect());
    assert!(missing.is_empty(), "no test drops {missing:?}");
    assert!(gone.is_empty(), "listed, and not there: {gone:?}");
}
