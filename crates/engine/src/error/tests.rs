use super::*;

#[test]
fn an_error_is_one_word_and_shared_by_its_clones() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    let error = Error::closed();
    assert!(Arc::ptr_eq(&error.0, &error.clone().0));
}

#[test]
fn adding_context_to_a_clone_leaves_the_original_alone() {
    let error = Error::closed();
    let _ = error.clone().during(Operation::Flush);
    assert_eq!(error.operation(), None);
}

#[test]
fn the_message_names_operation_partition_broker_attempt_and_code() {
    let error = Error::from_code(ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS)
        .during(Operation::Produce)
        .with_partition(&TopicPartition::new("orders", 3))
        .with_broker(NodeId::new(2))
        .with_attempt(4);
    assert_eq!(
        error.to_string(),
        "produce to orders-3 on broker 2, attempt 4: NOT_ENOUGH_REPLICAS (19)"
    );
    assert_eq!(error.topic_partition(), Some(TopicPartition::new("orders", 3)));
    assert!(error.is_retriable() && !error.is_fatal() && !error.is_abortable());
    assert_eq!(error.fate(), Fate::NotStored);
}

#[test]
fn a_broker_s_words_are_cut_to_what_can_be_logged() {
    let error = Error::from_code(ApiKey::PRODUCE, ErrorCode::INVALID_RECORD);
    let cut = error.clone().with_broker_message(Some(&"ä".repeat(100_000)));
    assert_eq!(cut.detail(), Some(&*"ä".repeat(512)));
    for none in [None, Some("")] {
        assert_eq!(error.clone().with_broker_message(none).detail(), None);
    }
}

/// The producer goes on after the batch that got it: a caller who stops at fatal errors would stop for nothing.
#[test]
fn a_code_that_nobody_knows_is_neither_retriable_nor_the_end_of_the_client() {
    let unknown = Error::from_code(ApiKey::PRODUCE, ErrorCode::from_wire(9999));
    assert_eq!(unknown.code().map(ErrorCode::get), Some(9999), "it keeps its number");
    assert!(!unknown.is_fatal() && !unknown.is_retriable());
    assert_eq!(unknown.fate(), Fate::Unknown);
    assert!(unknown.fatal().is_fatal());
    assert!(Error::from_code(ApiKey::PRODUCE, ErrorCode::PRODUCER_FENCED).is_fatal());
}

#[test]
fn the_message_says_what_to_check() {
    let unknown = Error::from_code(ApiKey::METADATA, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        .during(Operation::Send)
        .with_topic("ordres");
    assert_eq!(unknown.kind(), ErrorKind::UnknownTopic);
    assert_eq!(
        unknown.to_string(),
        "send to ordres: UNKNOWN_TOPIC_OR_PARTITION (3); check its name, create it, \
         or let the brokers do so (auto.create.topics.enable)"
    );
    let refused = Error::new(ErrorKind::Connection)
        .during(Operation::Connect)
        .with_address("localhost:9092")
        .with_detail("connection refused")
        .because(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    assert!(
        refused.to_string().starts_with("connect to localhost:9092: connection refused; check")
    );
    assert!(refused.source().is_some());
    assert_eq!(
        Error::unknown_config("linger", Some("linger.ms")).to_string(),
        "linger: unknown key; did you mean linger.ms?"
    );
}

#[test]
fn a_lost_connection_leaves_the_record_in_doubt() {
    for (failure, fate) in [
        (Failure::NotSent, Fate::NotStored),
        (Failure::Unreachable("b1:9092: connection refused".into()), Fate::NotStored),
        (Failure::ConnectionLost, Fate::Unknown),
        (Failure::TimedOut, Fate::Unknown),
        (Failure::UnsupportedVersion, Fate::NotStored),
        (Failure::AuthenticationFailed("wrong password".into()), Fate::NotStored),
        (Failure::MalformedResponse("negative length".into()), Fate::Unknown),
        (Failure::Unencodable("too long".into()), Fate::NotStored),
    ] {
        assert_eq!(Error::from_failure(&failure).fate(), fate, "{failure:?}");
    }
}

#[test]
fn no_message_ends_with_a_full_stop_or_starts_with_a_capital() {
    for &code in ErrorCode::ALL {
        let message = Error::from_code(ApiKey::FETCH, code).during(Operation::Fetch).to_string();
        assert!(!message.ends_with('.'), "{message}");
        assert!(message.starts_with(char::is_lowercase), "{message}");
    }
}
