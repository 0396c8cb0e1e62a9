#![expect(clippy::wildcard_enum_match_arm, reason = "a scripted peer cares for few of the APIs")]

mod connection;
pub(crate) mod peer;
mod pool;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use milena_engine::metadata::{Address, Broker, Cluster};
use milena_engine::request::{Answer, Lane, Outbound, RequestIds, Target};
use milena_types::NodeId;
use milena_wire::Request;
use milena_wire::messages::HeartbeatRequest;
use tokio::sync::oneshot;

use super::{Pool, ReplyTo, Settings};
use peer::Peer;

const SECOND: Duration = Duration::from_secs(1);

/// A pool over `peer` with the bootstrap list `seed:1`, that knows broker 1 at `one` and broker 2 at `two`.
fn pool(peer: &Peer, settings: Settings) -> Pool {
    let pool = pool_without_brokers(peer, settings);
    pool.update(&brokers(&["one", "two"]));
    pool
}

fn pool_without_brokers(peer: &Peer, settings: Settings) -> Pool {
    Pool::new(peer.transport(), settings, vec![Address::new("seed", 1)], Rng::with_seed(1))
}

fn brokers(hosts: &[&str]) -> Cluster {
    let broker = |(id, host): (i32, &&str)| Broker::new(NodeId::new(id), Arc::from(*host), 9092);
    Cluster::new((1..).zip(hosts).map(broker), [])
}

fn to(broker: i32) -> Target {
    Target::Broker(NodeId::new(broker))
}

/// Sends a heartbeat with a timeout of 30 s.
fn beat(pool: &Pool, target: Target) -> oneshot::Receiver<Answer> {
    ask(pool, target, Lane::Control, HeartbeatRequest::default().into())
}

fn ask(pool: &Pool, target: Target, lane: Lane, body: Request) -> oneshot::Receiver<Answer> {
    let id = RequestIds::default().deal();
    let (reply, answer) = oneshot::channel();
    let request = Outbound::new(id, target, lane, 30 * SECOND, body);
    pool.submit(request, ReplyTo::Caller(reply));
    answer
}
