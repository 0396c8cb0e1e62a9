//! What brokers are told while they run (KIP-226).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::{AlterConfigsRequest, DescribeConfigsRequest, ProduceRequest};
use milena_wire::{Records, Response};
use tokio::time::sleep;

use crate::Result;
use crate::raw::{Batch, Connection, message};
use crate::target::{Target, Version};
use crate::user::{connect, create};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where DescribeConfigs says that a value is from: set for all brokers while they run.
const FOR_ALL_BROKERS: i8 = 3;

/// Set for one broker while it runs.
const FOR_ONE_BROKER: i8 = 2;

const BY_DEFAULT: i8 = 5;

/// Enough for two of them to have different leaders.
const TOPICS_MAX: usize = 20;

const PAUSE: Duration = Duration::from_millis(20);

/// Where this was tried on a real one: 2.1 takes the setting and stores large records as before.
pub(super) fn fits(on: &Target) -> bool {
    *on.version() >= Version::of(3, 9, 0)
}

pub(super) fn fits_several(on: &Target) -> bool {
    fits(on) && on.choice().brokers > 1
}

/// Whoever develops against the embedded broker tries the same on a real one later.
pub(super) async fn a_limit_of_all_brokers_counts_for_topics_that_are_there(
    on: Arc<Target>,
) -> Result {
    let topic = on.unique("limited");
    create(&connect(&on).await?, &on, &topic, 1).await?;
    let leader = on.leader_address(&topic).await?;
    let large = "x".repeat(3_000);
    await_produced(&leader, &topic, &large, ErrorCode::NONE).await?;
    let limited = async {
        set_for_all(&on, Some(("message.max.bytes", "2000"))).await?;
        await_produced(&leader, &topic, &large, ErrorCode::MESSAGE_TOO_LARGE).await?;
        let expected = Some(("2000".to_owned(), FOR_ALL_BROKERS));
        assert_eq!(described(&leader, BROKER, "", "message.max.bytes").await?, expected);
        assert_eq!(described(&leader, TOPIC, &topic, "max.message.bytes").await?, expected);
        await_produced(&leader, &topic, "small", ErrorCode::NONE).await
    };
    let limited = limited.await;
    // For whoever comes next.
    set_for_all(&on, None).await?;
    limited?;
    await_produced(&leader, &topic, &large, ErrorCode::NONE).await?;
    assert_eq!(described(&leader, BROKER, "", "message.max.bytes").await?, None);
    Ok(())
}

/// Each broker goes by its own settings with the logs that it leads.
pub(super) async fn a_limit_of_one_broker_counts_where_it_leads(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let mut led = BTreeMap::new();
    for _ in 0..TOPICS_MAX {
        let topic = on.unique("led");
        create(&kafka, &on, &topic, 1).await?;
        led.insert(on.leader(&topic).await?, topic);
        if led.len() == 2 {
            break;
        }
    }
    let mut led = led.into_iter();
    let (Some((broker, limited)), Some((_, other))) = (led.next(), led.next()) else {
        return Err("one broker leads all topics".into());
    };
    let (at, beside) = (on.leader_address(&limited).await?, on.leader_address(&other).await?);
    let large = "x".repeat(3_000);
    let name = broker.to_string();
    let tried = async {
        set_for(&at, &name, Some(("message.max.bytes", "2000"))).await?;
        await_produced(&at, &limited, &large, ErrorCode::MESSAGE_TOO_LARGE).await?;
        let (limit, default) = ("2000".to_owned(), "1048588".to_owned());
        let key = "max.message.bytes";
        assert_eq!(described(&at, TOPIC, &limited, key).await?, Some((limit, FOR_ONE_BROKER)));
        assert_eq!(described(&beside, TOPIC, &limited, key).await?, Some((default, BY_DEFAULT)));
        await_produced(&beside, &other, &large, ErrorCode::NONE).await
    };
    let tried = tried.await;
    set_for(&at, &name, None).await?;
    tried?;
    await_produced(&at, &limited, &large, ErrorCode::NONE).await
}

/// Sets this alone, but for what a new cluster begins with: 4.1 and newer set `min.insync.replicas`, which has to stay (KIP-966).
async fn set_for_all(on: &Target, set: Option<(&str, &str)>) -> Result {
    let config = |(name, value): (&str, &str)| {
        message!(AlterableConfig { name: name.into(), value: Some(value.into()) })
    };
    let own = "min.insync.replicas";
    let own = described(on.address(), BROKER, "", own).await?.map(|(value, _)| (own, value));
    let own = own.as_ref().map(|(name, value)| (*name, value.as_str()));
    let resource = message!(AlterConfigsResource {
        resource_type: BROKER,
        configs: own.into_iter().chain(set).map(config).collect(),
    });
    alter(on.address(), resource).await
}

/// Sets this alone for one broker, which is asked itself.
async fn set_for(address: &str, broker: &str, set: Option<(&str, &str)>) -> Result {
    let config = |(name, value): (&str, &str)| {
        message!(AlterableConfig { name: name.into(), value: Some(value.into()) })
    };
    let resource = message!(AlterConfigsResource {
        resource_type: BROKER,
        resource_name: broker.into(),
        configs: set.into_iter().map(config).collect(),
    });
    alter(address, resource).await
}

async fn alter(address: &str, resource: AlterConfigsResource) -> Result {
    let ask = message!(AlterConfigsRequest { resources: vec![resource] });
    let mut asked = Connection::open(address).await?;
    let Response::AlterConfigs(told) = asked.call(ask, 1).await? else {
        return Err("another answer than AlterConfigs'".into());
    };
    assert!(told.responses.iter().all(|response| !response.error_code.is_error()), "{told:?}");
    Ok(())
}

/// Produces until that is answered so: brokers learn of settings a little later.
async fn await_produced(leader: &str, topic: &str, value: &str, code: ErrorCode) -> Result {
    let mut leader = Connection::open(leader).await?;
    loop {
        let records = Some(Records::from(Batch::of(&[value]).bytes()));
        let partition = message!(PartitionProduceData { records: records });
        let partitions = vec![partition];
        let topic = message!(TopicProduceData { name: topic.into(), partition_data: partitions });
        let ask =
            message!(ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic] });
        let Response::Produce(told) = leader.call(ask, 7).await? else {
            return Err("another answer than Produce's".into());
        };
        let mut partitions = told.responses.iter().flat_map(|topic| &topic.partition_responses);
        if partitions.any(|partition| partition.error_code == code) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// One value and where it is from.
async fn described(
    broker: &str,
    kind: i8,
    resource: &str,
    name: &str,
) -> Result<Option<(String, i8)>> {
    let resource = message!(DescribeConfigsResource {
        resource_type: kind,
        resource_name: resource.into(),
        configuration_keys: Some(vec![name.into()]),
    });
    let ask = message!(DescribeConfigsRequest { resources: vec![resource] });
    let Response::DescribeConfigs(told) = Connection::open(broker).await?.call(ask, 1).await?
    else {
        return Err("another answer than DescribeConfigs'".into());
    };
    let config = told.results.into_iter().flat_map(|result| result.configs).next();
    Ok(config.map(|one| (one.value.unwrap_or_default().to_string(), one.config_source)))
}
