//! What the user does while the fault strikes, and what has to hold whatever comes of it.

mod admin;
mod group;
mod read;
mod send;
mod share;
mod transaction;

use std::time::Duration;

use milena::{Consumer, Error, ErrorKind};
use milena_broker::{Broker, Builder};
use milena_types::ApiKey;
use tokio::time::Instant;

use super::outcome::Outcome;
use super::strike::Strike;
use crate::world::{World, text};

/// Which calls the user makes. The fault strikes the first request of its API that they cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scene {
    /// Connect, and send.
    Connect,
    /// Make an idempotent producer, and send with it.
    Send,
    /// Read a partition from its beginning.
    Read,
    /// Read on in a partition whose leader has moved.
    ReadOn,
    /// Join a classic group, read, stay, commit, leave.
    Group,
    /// The same in a group of the consumer protocol.
    ConsumerGroup,
    /// Make a transactional producer, and commit a record and a group's offsets in the older protocol.
    Transaction1,
    /// The same in the protocol of KIP-890.
    Transaction2,
    /// Join a share group, read, acknowledge, commit, leave.
    ShareGroup,
    /// Create and describe a topic, list and describe a group, delete a topic.
    Admin,
}

impl Scene {
    /// Plays the scene on a cluster of its own.
    pub(super) async fn run(self, api: ApiKey, strike: Strike, seed: u64) -> Outcome {
        let broker = Broker::builder().seed(seed);
        let stage = Stage { broker, api, strike };
        match self {
            Self::Connect => send::connect(stage).await,
            Self::Send => send::send(stage).await,
            Self::Read => read::read(stage).await,
            Self::ReadOn => read::read_on(stage).await,
            Self::Group => group::group(stage, "classic").await,
            Self::ConsumerGroup => group::group(stage, "consumer").await,
            Self::Transaction1 => transaction::transaction(stage, 1).await,
            Self::Transaction2 => transaction::transaction(stage, 2).await,
            Self::ShareGroup => share::share_group(stage).await,
            Self::Admin => admin::admin(stage).await,
        }
    }
}

/// What a scene is given.
struct Stage {
    broker: Builder,
    api: ApiKey,
    strike: Strike,
}

impl Stage {
    fn lay(&self, broker: &Broker) {
        self.strike.lay(broker, self.api);
    }

    /// A fault that struck nothing would recover by itself.
    fn has_struck(&self, broker: &Broker, asked_before: u64) {
        let asked = broker.with(|cluster, _| cluster.journal().request_count(self.api));
        // An API that is gone is not asked.
        let has_struck = asked > asked_before || self.strike == Strike::VersionWithdrawn;
        assert!(has_struck, "{} was never asked", self.api);
    }
}

fn asked(world: &World, api: ApiKey) -> u64 {
    world.broker.with(|cluster, _| cluster.journal().request_count(api))
}

/// Polls until there are as many values as wanted, each once; `Timeout` where they do not come.
async fn read_up_to(
    consumer: &mut Consumer,
    seen: &mut Vec<String>,
    wanted: usize,
) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < wanted {
        let batch = consumer.poll(deadline - Instant::now()).await?;
        if batch.is_empty() && Instant::now() >= deadline {
            return Err(Error::new(ErrorKind::Timeout));
        }
        for message in &batch {
            let value = text(message.value());
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }
    Ok(())
}

/// How long a user looks at an empty screen: longer than a session lasts, or a request.
const PATIENCE: Duration = Duration::from_secs(90);
