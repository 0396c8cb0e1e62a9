//! Clients that lack a right, on clusters that judge by ACLs.

use std::sync::Arc;
use std::time::Duration;

use milena::{Kafka, Record, TopicPartition};
use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;
use milena_wire::messages::create_acls_request::AclCreation;
use milena_wire::messages::delete_acls_request::DeleteAclsFilter;
use milena_wire::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};
use tokio::time::{sleep, timeout};

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::Target;
use crate::user::{connect, create, end_offsets};

/// Generous: brokers learn of rules one by one, and groups join.
pub(super) const LIMIT: Duration = Duration::from_secs(180);

const PATIENCE: Duration = Duration::from_secs(60);

const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const TRANSACTIONAL_ID: i8 = 5;

const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE: i8 = 8;

const ANY: i8 = 1;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

pub(super) fn fits(on: &Target) -> bool {
    on.choice().acl && on.speaks(ApiKey::CREATE_ACLS)
}

/// The rules about one resource.
struct Rules<'a> {
    on: &'a Target,
    kind: i8,
    name: &'a str,
}

impl Rules<'_> {
    /// Denies everyone one operation and allows all others, and waits until all brokers judge so.
    async fn deny(&self, operation: i8) -> Result {
        let rule = |(operation, permission): (i8, i8)| {
            message!(AclCreation {
                resource_type: self.kind,
                resource_name: self.name.into(),
                principal: "User:*".into(),
                host: "*".into(),
                operation: operation,
                permission_type: permission,
            })
        };
        let rules = [(ALL, ALLOW), (operation, DENY)].map(rule);
        let ask = message!(CreateAclsRequest { creations: rules.to_vec() });
        let mut controller = Connection::open(&self.on.controller_address().await?).await?;
        let Response::CreateAcls(told) = controller.call(ask, 1).await? else {
            return Err("another answer than CreateAcls'".into());
        };
        assert_eq!(told.results[0].error_code, ErrorCode::NONE, "{told:?}");
        self.until_there_are(2).await
    }

    /// Takes all rules back.
    async fn allow(&self) -> Result {
        let filter = message!(DeleteAclsFilter {
            resource_type_filter: self.kind,
            resource_name_filter: Some(self.name.into()),
            pattern_type_filter: ANY,
            principal_filter: None,
            host_filter: None,
            operation: ANY,
            permission_type: ANY,
        });
        let ask = message!(DeleteAclsRequest { filters: vec![filter] });
        let mut controller = Connection::open(&self.on.controller_address().await?).await?;
        controller.call(ask, 1).await?;
        self.until_there_are(0).await
    }

    async fn until_there_are(&self, count: usize) -> Result {
        for address in self.on.bootstrap_servers().split(',') {
            let mut broker = Connection::open(address).await?;
            loop {
                let ask = message!(DescribeAclsRequest {
                    resource_type_filter: self.kind,
                    resource_name_filter: Some(self.name.into()),
                    pattern_type_filter: ANY,
                    principal_filter: None,
                    host_filter: None,
                    operation: ANY,
                    permission_type: ANY,
                });
                let Response::DescribeAcls(told) = broker.call(ask, 1).await? else {
                    return Err("another answer than DescribeAcls'".into());
                };
                let rules = told.resources.iter().flat_map(|resource| &resource.acls);
                if rules.count() == count {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

fn record(topic: &str) -> Record<'_> {
    Record::to(topic).value("v").partition(0)
}

/// Waiting for a right would only fill the buffer: somebody has to give it.
pub(super) async fn a_topic_that_may_not_be_written_fails_at_once_and_others_do_not(
    on: Arc<Target>,
) -> Result {
    let kafka = connect(&on).await?;
    let (refused, open) = (on.unique("unwritable"), on.unique("writable"));
    create(&kafka, &on, &refused, 1).await?;
    create(&kafka, &on, &open, 1).await?;
    let rules = Rules { on: &on, kind: TOPIC, name: &refused };
    rules.deny(WRITE).await?;
    let producer = kafka.producer().build().await?;
    for _ in 0..3 {
        let failed = timeout(PATIENCE, producer.send(record(&refused))).await?;
        let error = failed.expect_err("the right is missing").to_string();
        assert!(error.contains("TOPIC_AUTHORIZATION_FAILED"), "{error}");
        producer.send(record(&open)).await?;
    }
    assert_eq!(end_offsets(&kafka, &refused, 1).await?, 0);
    assert_eq!(end_offsets(&kafka, &open, 1).await?, 3);
    // The same producer goes on once it may.
    rules.allow().await?;
    producer.send(record(&refused)).await?;
    assert_eq!(end_offsets(&kafka, &refused, 1).await?, 1);
    producer.close(PATIENCE).await?;
    Ok(())
}

/// What a reader is told.
async fn reading(kafka: &Kafka, topic: &str) -> Result<String> {
    let builder = kafka.consumer_without_group().assign([TopicPartition::new(topic, 0)]);
    let mut consumer = builder.set("auto.offset.reset", "earliest")?.build().await?;
    let told = match timeout(PATIENCE, consumer.try_next()).await? {
        Ok(Some(message)) => format!("offset {}", message.offset().get()),
        Ok(None) => "the end".to_owned(),
        Err(error) => error.to_string(),
    };
    consumer.close(PATIENCE).await?;
    Ok(told)
}

pub(super) async fn who_may_not_read_a_topic_is_told(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("unreadable");
    create(&kafka, &on, &topic, 1).await?;
    let producer = kafka.producer().build().await?;
    producer.send(record(&topic)).await?;
    producer.close(PATIENCE).await?;
    let rules = Rules { on: &on, kind: TOPIC, name: &topic };
    for operation in [READ, DESCRIBE] {
        rules.deny(operation).await?;
        // A new client knows nothing of the topic from before.
        let told = reading(&connect(&on).await?, &topic).await?;
        assert!(told.contains("TOPIC_AUTHORIZATION_FAILED"), "{told}");
        rules.allow().await?;
    }
    assert_eq!(reading(&connect(&on).await?, &topic).await?, "offset 0");
    Ok(())
}

/// What the first poll of a member of a group is told.
async fn joining(kafka: &Kafka, group: &str, topic: &str) -> Result<String> {
    let builder = kafka.consumer(group).set("auto.offset.reset", "earliest")?;
    let mut consumer = builder.subscribe([topic]).build().await?;
    let told = match timeout(PATIENCE, consumer.try_next()).await? {
        Ok(Some(message)) => format!("offset {}", message.offset().get()),
        Ok(None) => "the end".to_owned(),
        Err(error) => error.to_string(),
    };
    // Who was never a member cannot leave.
    let _ = consumer.close(PATIENCE).await;
    Ok(told)
}

pub(super) async fn a_member_without_a_right_to_its_group_or_topic_is_told(
    on: Arc<Target>,
) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("unjoined"), on.unique("unjoined"));
    create(&kafka, &on, &topic, 1).await?;
    let producer = kafka.producer().build().await?;
    producer.send(record(&topic)).await?;
    producer.close(PATIENCE).await?;
    for (kind, name, operation, code) in [
        (GROUP, &group, READ, "GROUP_AUTHORIZATION_FAILED"),
        (GROUP, &group, DESCRIBE, "GROUP_AUTHORIZATION_FAILED"),
        (TOPIC, &topic, DESCRIBE, "TOPIC_AUTHORIZATION_FAILED"),
    ] {
        let rules = Rules { on: &on, kind, name };
        rules.deny(operation).await?;
        let told = joining(&connect(&on).await?, &group, &topic).await?;
        assert!(told.contains(code), "{told}");
        rules.allow().await?;
    }
    assert_eq!(joining(&connect(&on).await?, &group, &topic).await?, "offset 0");
    Ok(())
}

pub(super) async fn a_transactional_id_that_may_not_be_used_is_refused(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let id = on.unique("unusable");
    let rules = Rules { on: &on, kind: TRANSACTIONAL_ID, name: &id };
    for operation in [WRITE, DESCRIBE] {
        rules.deny(operation).await?;
        let builder = kafka.producer().transactional_id(id.as_str());
        let built = timeout(PATIENCE, builder.build_transactional()).await?;
        let error = built.expect_err("the right is missing").to_string();
        assert!(error.contains("TRANSACTIONAL_ID_AUTHORIZATION_FAILED"), "{error}");
        rules.allow().await?;
    }
    kafka.producer().transactional_id(id.as_str()).build_transactional().await?;
    Ok(())
}

pub(super) async fn rules_are_added_listed_and_removed_by_java(on: Arc<Target>) -> Result {
    let topic = on.unique("ruled");
    let about = ["--topic", topic.as_str()];
    let rule = ["--deny-principal", "User:bob", "--operation", "Write"];
    on.tool("kafka-acls", &[&["--add"], &rule[..], &about].concat(), "").await?;
    let rules = Rules { on: &on, kind: TOPIC, name: &topic };
    rules.until_there_are(1).await?;
    let told = on.tool("kafka-acls", &[&["--list"], &about[..]].concat(), "").await?;
    assert!(told.contains("User:bob") && told.contains("WRITE") && told.contains("DENY"), "{told}");
    on.tool("kafka-acls", &[&["--remove", "--force"], &rule[..], &about].concat(), "").await?;
    rules.until_there_are(0).await
}
