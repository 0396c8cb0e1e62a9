//! Which connection carries a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fastrand::Rng;
use milena_engine::metadata::{Address, Cluster};
use milena_engine::request::{Failure, Lane, Outbound, Target};
use milena_types::NodeId;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::connection::{Handle, Health, spawn};
use super::features::Features;
use super::reply::{Reply, ReplyTo};
use super::settings::Settings;
use super::transport::Transport;

/// The connections of one client: one per broker and lane, opened when first needed.
///
/// Cheap to clone. Dropping the last clone ends the connections at once; [`close`](Self::close) lets what is in
/// flight be answered first.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Mutex<State>>);

/// A pool that others keep.
#[derive(Clone, Debug)]
pub(crate) struct WeakPool(Weak<Mutex<State>>);

impl WeakPool {
    /// Whether somebody keeps the pool still.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// The pool, where somebody keeps it still.
    pub(crate) fn upgrade(&self) -> Option<Pool> {
        self.0.upgrade().map(Pool)
    }
}

#[derive(Debug)]
struct State {
    transport: Arc<dyn Transport>,
    settings: Arc<Settings>,
    rng: Rng,
    bootstrap: Vec<Address>,
    brokers: BTreeMap<NodeId, Address>,
    connections: BTreeMap<(Destination, Lane), Handle>,
    /// The pumps. Dropped with the pool, which ends them.
    pumps: JoinSet<()>,
    /// Spreads requests to any broker where all are alike.
    turn: usize,
    /// Whether known brokers are passed over until one of the bootstrap list has answered.
    is_rebootstrapping: bool,
    is_closed: bool,
}

/// Whom a connection leads to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Destination {
    Bootstrap(usize),
    Broker(NodeId),
}

impl Pool {
    /// A pool without connections that starts from `bootstrap`.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        settings: Settings,
        bootstrap: Vec<Address>,
        rng: Rng,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            transport,
            settings: Arc::new(settings),
            rng,
            bootstrap,
            brokers: BTreeMap::new(),
            connections: BTreeMap::new(),
            pumps: JoinSet::new(),
            turn: 0,
            is_rebootstrapping: false,
            is_closed: false,
        })))
    }

    /// Sends `request`; the answer comes to `reply`, once, whatever happens. Never blocks.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn submit(&self, request: Outbound, reply: ReplyTo) {
        let reply = Reply::new(request.id, reply);
        let mut state = self.state();
        if state.is_closed {
            drop(state);
            return reply.fail(None, Failure::Closed);
        }
        let destination = match request.target {
            Target::Broker(id) => {
                state.brokers.contains_key(&id).then_some(Destination::Broker(id))
            }
            Target::Any => state.pick_any(request.lane),
        };
        let handle =
            destination.and_then(|destination| state.connection(destination, request.lane));
        match handle {
            Some(handle) => handle.submit(request, reply),
            None => {
                drop(state);
                reply.fail(None, Failure::NotSent);
            }
        }
    }

    /// Takes over where the brokers are: connections to brokers that left or moved finish what they have in flight
    /// and end.
    pub(crate) fn update(&self, cluster: &Cluster) {
        let brokers: BTreeMap<_, _> = cluster
            .brokers()
            .map(|broker| (broker.id, Address::new(Arc::clone(&broker.host), broker.port)))
            .collect();
        let mut state = self.state();
        if brokers.is_empty() || state.brokers == brokers && !state.is_rebootstrapping {
            return;
        }
        let old = std::mem::replace(&mut state.brokers, brokers.clone());
        state.connections.retain(|(destination, _), _| match destination {
            Destination::Bootstrap(_) => false,
            Destination::Broker(id) => old.get(id) == brokers.get(id),
        });
        state.is_rebootstrapping = false;
    }

    /// What the cluster has agreed on, as the connections hear it.
    pub(crate) fn features(&self) -> Arc<Features> {
        Arc::clone(&self.state().settings.features)
    }

    /// Rung where a broker hangs up on a producer, of this pool or another with the same settings.
    pub(crate) fn hung_up(&self) -> Arc<Notify> {
        Arc::clone(&self.state().settings.hung_up)
    }

    /// Sends what any broker can answer to the bootstrap list, until [`update`](Self::update) brings brokers.
    pub(crate) fn rebootstrap(&self) {
        let mut state = self.state();
        if state.settings.rebootstrap {
            debug!("starting over from the bootstrap list");
            state.is_rebootstrapping = true;
        }
    }

    /// The same pool, without keeping its connections open.
    pub(crate) fn downgrade(&self) -> WeakPool {
        WeakPool(Arc::downgrade(&self.0))
    }

    /// Takes nothing new.
    pub(crate) fn stop(&self) {
        self.state().is_closed = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().is_closed
    }

    /// Takes nothing new, waits up to `grace` for what is in flight, and ends every connection.
    ///
    /// Dropping the future ends the connections at once.
    pub(crate) async fn close(&self, grace: Duration) {
        let mut pumps = {
            let mut state = self.state();
            state.is_closed = true;
            // Without its handle a pump drains and ends.
            state.connections.clear();
            std::mem::take(&mut state.pumps)
        };
        let all_ended = async { while pumps.join_next().await.is_some() {} };
        if timeout(grace, all_ended).await.is_err() {
            debug!("giving up answers that did not come in time");
            pumps.shutdown().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No call that can panic leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The connection to `destination`, made if there is none.
    fn connection(&mut self, destination: Destination, lane: Lane) -> Option<&Handle> {
        let key = (destination, lane);
        if !self.connections.contains_key(&key) {
            let (broker, address) = match destination {
                Destination::Bootstrap(place) => (None, self.bootstrap.get(place)?),
                Destination::Broker(id) => (Some(id), self.brokers.get(&id)?),
            };
            // Pumps whose broker left have ended by now, or will be collected another time.
            while self.pumps.try_join_next().is_some() {}
            let handle = spawn(
                &mut self.pumps,
                Arc::clone(&self.transport),
                Arc::clone(&self.settings),
                self.rng.fork(),
                broker,
                address.clone(),
                lane,
            );
            self.connections.insert(key, handle);
        }
        self.connections.get(&key)
    }

    /// The broker with the least to do among those that are well; the bootstrap list where none is.
    fn pick_any(&mut self, lane: Lane) -> Option<Destination> {
        self.turn = self.turn.wrapping_add(1);
        let bootstrap = (0..self.bootstrap.len()).map(Destination::Bootstrap);
        let brokers = self.brokers.keys().copied().map(Destination::Broker);
        let candidates: Vec<_> = if self.is_rebootstrapping || self.brokers.is_empty() {
            bootstrap.collect()
        } else if self.settings.rebootstrap
            && brokers.clone().all(|broker| self.is_ill(broker, lane))
        {
            // Nobody known can be reached: the list may know somebody else (KIP-899).
            bootstrap.chain(brokers).collect()
        } else {
            brokers.collect()
        };
        let turn = self.turn % candidates.len().max(1);
        let (before, after) = candidates.split_at_checked(turn)?;
        after
            .iter()
            .chain(before)
            .copied()
            .min_by_key(|destination| self.burden(*destination, lane))
    }

    fn is_ill(&self, destination: Destination, lane: Lane) -> bool {
        self.connections.get(&(destination, lane)).is_some_and(|c| c.health() == Health::Failing)
    }

    /// What speaks against sending to `destination`: illness first, then no open connection, then work.
    fn burden(&self, destination: Destination, lane: Lane) -> (Health, usize) {
        match self.connections.get(&(destination, lane)) {
            Some(connection) => (connection.health(), connection.load()),
            None => (Health::Closed, 0),
        }
    }
}
