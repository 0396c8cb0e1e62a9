//! The claims, one module a subject.

mod admin_tools;
mod chain;
mod classic_groups;
mod clients;
mod connections;
mod consumer_groups;
mod epochs;
mod expiry;
mod faults;
mod followers;
mod guarantees;
mod java;
mod java_groups;
mod java_transactions;
mod judges;
mod kills;
mod producers;
mod program;
mod quotas;
mod rebalances;
mod records;
mod refusals;
mod releases;
mod share;
mod share_java;
mod tools;
mod transactions;
mod transactions_refused;
mod two_phase;

pub(crate) use refusals::REFUSALS;

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

/// All of them but the [`REFUSALS`]. A name is `subject::claim`.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario!(records::what_is_produced_is_fetched_byte_for_byte),
    scenario!(records::acks_0_has_no_answer),
    scenario!(records::requests_in_flight_are_answered_in_order),
    scenario!(records::a_waiting_fetch_is_answered_when_a_record_comes),
    scenario!(records::a_waiting_fetch_ends_without_a_record),
    scenario!(records::nonsense_closes_the_connection),
    scenario!(releases::the_embedded_broker_lists_what_the_real_one_does, fits: releases::fits),
    scenario!(followers::a_replica_in_the_reader_s_rack_is_read_from, fits: followers::fits),
    scenario!(rebalances::a_second_member_shares_the_work),
    scenario!(rebalances::a_member_that_leaves_sets_the_other_to_work),
    scenario!(rebalances::a_silent_member_is_put_out_after_its_session),
    scenario!(clients::every_codec_gives_back_what_went_in),
    scenario!(clients::keys_go_where_java_puts_them),
    scenario!(clients::acks_0_1_and_all_store_each_record_once),
    scenario!(clients::many_records_keep_their_order_in_each_partition),
    scenario!(connections::a_dead_bootstrap_address_is_passed_over),
    scenario!(connections::where_nobody_listens_is_said_in_time),
    scenario!(connections::a_close_ends_in_time_and_leaves_nothing_open),
    scenario!(connections::a_producer_outlives_its_only_broker, alone: true,
        fits: |on| on.choice().brokers == 1, limit: connections::LIMIT),
    scenario!(producers::batches_that_are_too_large_are_split_in_order),
    scenario!(producers::a_split_batch_belongs_to_its_transaction),
    scenario!(producers::a_record_that_is_too_large_fails_alone),
    scenario!(producers::a_topic_that_is_made_anew_takes_records, limit: producers::LIMIT,
        fits: |on| *on.version() >= producers::TOPIC_IDS_SINCE),
    scenario!(producers::a_partition_that_is_added_takes_records),
    scenario!(producers::a_flush_does_not_wait_for_the_linger),
    scenario!(producers::a_topic_that_is_made_meanwhile_gets_its_records, alone: true,
        limit: producers::CLUSTER_LIMIT),
    scenario!(expiry::a_batch_that_arrives_after_it_expired_takes_no_other_s_place,
        limit: expiry::LIMIT),
    scenario!(expiry::a_batch_that_arrives_behind_later_ones_is_not_stored, limit: expiry::LIMIT),
    scenario!(expiry::a_batch_that_expires_unsent_leaves_no_gap, limit: expiry::LIMIT),
    scenario!(expiry::a_batch_that_expires_half_written_keeps_its_bytes, limit: expiry::LIMIT),
    scenario!(quotas::a_broker_that_asks_for_silence_gets_it_and_others_do_not, fits: quotas::fits,
        limit: quotas::LIMIT),
    scenario!(transactions::all_or_nothing_of_a_transaction_is_read),
    scenario!(transactions::an_open_transaction_holds_back_those_who_read_committed),
    scenario!(transactions::a_second_producer_fences_the_first),
    scenario!(transactions::a_transaction_that_takes_too_long_is_aborted,
        fits: |on| *on.version() >= transactions::TIMED_OUT_SOON_SINCE, limit: transactions::LIMIT),
    scenario!(transactions::a_copy_with_failures_is_exact,
        fits: |on| *on.version() >= transactions::MEMBERS_SINCE),
    scenario!(classic_groups::members_share_the_partitions_as_they_come_and_go,
        limit: classic_groups::LIMIT),
    scenario!(classic_groups::rebalances_lose_and_double_nothing, limit: classic_groups::LIMIT),
    scenario!(classic_groups::a_static_member_comes_back_to_its_partitions,
        fits: |on| *on.version() >= classic_groups::STATIC_SINCE, limit: classic_groups::LIMIT),
    scenario!(classic_groups::java_sees_who_has_what, alone: true, limit: classic_groups::LIMIT),
    scenario!(classic_groups::javas_members_and_ours_share_one_group, alone: true,
        limit: classic_groups::LIMIT),
    scenario!(consumer_groups::members_share_the_partitions_as_they_come_and_go,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::rebalances_lose_and_double_nothing,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::a_killed_member_is_replaced_after_its_session,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::a_static_member_comes_back_to_its_partitions,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::who_does_not_poll_is_out_until_he_does,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::a_pattern_takes_topics_that_are_and_will_be,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::what_the_coordinator_refuses_is_told,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::a_group_changes_its_protocol_as_it_runs,
        fits: consumer_groups::is_spoken, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::auto_takes_the_protocol_that_is_there, limit: consumer_groups::LIMIT),
    scenario!(consumer_groups::a_coordinator_that_dies_takes_nothing_away, alone: true,
        fits: |on| consumer_groups::is_spoken(on) && on.choice().brokers >= 3, limit: consumer_groups::LIMIT),
    scenario!(share::two_consumers_get_each_record_once, fits: share::fits),
    scenario!(share::what_is_released_comes_again_and_what_is_rejected_does_not, fits: share::fits),
    scenario!(share::a_lock_that_runs_out_lets_the_record_go, fits: share::fits,
        limit: share::LIMIT),
    scenario!(share::a_renewed_lock_holds, fits: share::fits, limit: share::LIMIT),
    scenario!(share::a_record_limit_is_kept, fits: share::fits),
    scenario!(share::closing_releases_at_once, fits: share::fits),
    scenario!(share::markers_and_gaps_are_passed_over, fits: share::fits),
    scenario!(share::many_workers_do_all_the_work, fits: share::fits, limit: share::LIMIT),
    scenario!(share_java::java_and_we_share_the_work, alone: true, fits: share::fits,
        limit: share::LIMIT),
    scenario!(share_java::java_describes_our_members_and_lag, alone: true, fits: share::fits,
        limit: share::LIMIT),
    scenario!(java::what_java_writes_we_read, alone: true, limit: java::LIMIT),
    scenario!(java::what_we_write_java_reads, alone: true, limit: java::LIMIT),
    scenario!(java::our_group_is_described_by_java, alone: true, limit: java::LIMIT),
    scenario!(java_groups::our_members_are_described_by_java, alone: true,
        fits: consumer_groups::is_spoken, limit: java_groups::LIMIT),
    scenario!(java_groups::a_member_of_java_shares_with_ours, alone: true,
        fits: consumer_groups::is_spoken, limit: java_groups::LIMIT),
    scenario!(java_groups::a_classic_member_of_java_is_taken_over, alone: true,
        fits: consumer_groups::is_spoken, limit: java_groups::LIMIT),
    scenario!(transactions_refused::each_refusal_takes_its_course, alone: true,
        fits: |on| on.embedded().is_some(), limit: transactions_refused::LIMIT),
    scenario!(transactions_refused::each_lost_request_or_answer_is_made_good, alone: true,
        fits: |on| on.embedded().is_some(), limit: transactions_refused::LIMIT),
    scenario!(transactions_refused::a_commit_with_an_unclear_answer_is_not_said_to_be_one, alone: true,
        fits: |on| on.embedded().is_some()),
    scenario!(java_transactions::javas_copy_with_failures_is_exact, alone: true,
        fits: |on| *on.version() >= transactions::MEMBERS_SINCE, limit: java_transactions::LIMIT),
    scenario!(java_transactions::what_java_commits_we_read, alone: true,
        fits: |on| *on.version() >= java_transactions::SINCE, limit: java_transactions::LIMIT),
    scenario!(java_transactions::our_transaction_is_described_and_aborted_by_java, alone: true,
        fits: |on| *on.version() >= java_transactions::SINCE, limit: java_transactions::LIMIT),
    scenario!(faults::a_killed_leader_loses_and_doubles_nothing, alone: true,
        fits: |on| on.choice().brokers >= 3, limit: faults::LIMIT),
    scenario!(chain::range_groups_read_each_record_once, alone: true, fits: chain::is_brief_or_real,
        limit: chain::LIMIT),
    scenario!(chain::cooperative_groups_read_each_record_once, alone: true, fits: chain::is_brief,
        limit: chain::LIMIT),
    scenario!(chain::consumer_groups_read_each_record_once, alone: true, fits: chain::is_brief_and_uncut,
        limit: chain::LIMIT),
    scenario!(chain::static_members_read_each_record_once, alone: true, fits: chain::is_brief_and_uncut,
        limit: chain::LIMIT),
    scenario!(chain::transactions_of_cooperative_groups_are_exact, alone: true, fits: chain::is_brief_and_uncut,
        limit: chain::LIMIT),
    scenario!(guarantees::at_least_once_shows_duplicates_and_no_loss,
        fits: guarantees::has_children, limit: guarantees::LIMIT),
    scenario!(guarantees::at_most_once_shows_loss_and_no_duplicates,
        fits: guarantees::has_children, limit: guarantees::LIMIT),
    scenario!(guarantees::exactly_once_shows_neither,
        fits: |on| guarantees::has_children(on) && *on.version() >= guarantees::EXACTLY_ONCE_SINCE,
        limit: guarantees::LIMIT),
    scenario!(kills::all_or_nothing_of_each_transaction_is_read, alone: true,
        fits: |on| on.choice().brokers >= 3, limit: kills::LIMIT),
    scenario!(tools::topics_are_made_listed_described_and_deleted, alone: true, limit: tools::LIMIT),
    scenario!(tools::a_topic_that_exists_is_not_made_again, alone: true, limit: tools::LIMIT),
    scenario!(tools::what_the_console_producer_writes_the_console_consumer_reads, alone: true, limit: tools::LIMIT),
    scenario!(tools::a_group_is_listed_and_described_with_its_lag, alone: true, limit: tools::LIMIT),
    scenario!(admin_tools::quotas_of_clients_and_users_are_set_described_and_deleted, alone: true,
        fits: admin_tools::fits, limit: admin_tools::LIMIT),
    scenario!(admin_tools::log_dirs_and_the_quorum_are_described, alone: true,
        fits: admin_tools::fits, limit: admin_tools::LIMIT),
    scenario!(admin_tools::a_partition_is_moved_and_its_first_replica_leads, alone: true,
        fits: admin_tools::fits_three, limit: admin_tools::LIMIT),
    scenario!(program::what_the_program_produces_java_reads, alone: true,
        fits: guarantees::has_children, limit: program::LIMIT),
    scenario!(program::what_java_produces_the_program_prints, alone: true,
        fits: guarantees::has_children, limit: program::LIMIT),
    scenario!(program::the_demo_runs_twice_and_shows_where_its_records_are, alone: true,
        fits: |on| guarantees::has_children(on) && *on.version() >= program::DEMO_SINCE,
        limit: program::LIMIT),
    scenario!(two_phase::a_prepared_transaction_has_no_time_out, fits: |on| on.choice().unstable),
    scenario!(two_phase::a_prepared_transaction_is_not_handed_over, fits: |on| on.choice().unstable),
    // Last: the cluster is another after it.
    scenario!(transactions::a_producer_follows_the_upgrade_of_the_protocol, alone: true,
        fits: |on| on.choice().transaction_version == Some(1) && on.choice().brokers == 1,
        limit: transactions::LIMIT),
];

/// Only when asked for by `--soak`: they take minutes, or other people's clients.
pub(crate) const SOAK: &[Scenario] = &[
    scenario!(faults::a_killed_leader_loses_and_doubles_nothing_of_a_million, alone: true,
        fits: |on| on.choice().brokers >= 3, limit: faults::SOAK_LIMIT),
    scenario!(epochs::another_id_takes_over_at_the_last_epoch, limit: epochs::LIMIT),
    scenario!(epochs::an_end_at_the_last_epoch_deals_another_id, limit: epochs::LIMIT,
        fits: |on| *on.version() >= epochs::ENDS_SINCE),
    scenario!(kills::all_or_nothing_of_a_hundred_thousand_records, alone: true,
        fits: |on| on.choice().brokers >= 3, limit: kills::SOAK_LIMIT),
    scenario!(judges::franz_go_is_at_home, alone: true, limit: judges::LIMIT),
    scenario!(judges::librdkafka_is_at_home, alone: true, limit: judges::LIMIT),
    scenario!(judges::members_of_franz_go_and_ours_share_one_group, alone: true, limit: judges::LIMIT),
    scenario!(judges::members_of_librdkafka_and_ours_share_one_group, alone: true, limit: judges::LIMIT),
    scenario!(chain::range_groups_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::sticky_groups_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::cooperative_groups_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::consumer_groups_read_each_record_once, alone: true, fits: chain::consumer_fits,
        limit: chain::LIMIT),
    scenario!(chain::static_members_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::static_consumer_groups_read_each_record_once, alone: true, fits: chain::consumer_fits,
        limit: chain::LIMIT),
    scenario!(chain::transactions_of_range_groups_are_exact, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::transactions_of_sticky_groups_are_exact, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::transactions_of_cooperative_groups_are_exact, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::transactions_of_consumer_groups_are_exact, alone: true, fits: chain::consumer_fits,
        limit: chain::LIMIT),
    scenario!(chain::transactions_of_static_members_are_exact, alone: true, fits: chain::fits,
        limit: chain::LIMIT),
    scenario!(chain::transactions_of_static_consumer_groups_are_exact, alone: true, fits: chain::consumer_fits,
        limit: chain::LIMIT),
    scenario!(chain::long::range_groups_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::sticky_groups_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::cooperative_groups_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::consumer_groups_read_each_record_once, alone: true, fits: chain::consumer_fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::static_members_read_each_record_once, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::static_consumer_groups_read_each_record_once, alone: true, fits: chain::consumer_fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::transactions_of_range_groups_are_exact, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::transactions_of_sticky_groups_are_exact, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::transactions_of_cooperative_groups_are_exact, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::transactions_of_consumer_groups_are_exact, alone: true, fits: chain::consumer_fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::transactions_of_static_members_are_exact, alone: true, fits: chain::fits,
        limit: chain::LONG_LIMIT),
    scenario!(chain::long::transactions_of_static_consumer_groups_are_exact, alone: true, fits: chain::consumer_fits,
        limit: chain::LONG_LIMIT),
];
