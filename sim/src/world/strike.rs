//! Faults as they strike and pass.

use std::time::Duration;

use milena_broker::{Condition, FaultId, FaultRule, on};
use milena_types::{ApiKey, ErrorCode, NodeId, TopicPartition};

use super::{TOPIC, World};
use crate::fault::{Api, Fault, Garbling, RULE_LASTS};
use crate::host::{Host, User};
use crate::network::{Side, Weather};

/// What ends a fault that lasts.
#[derive(Debug)]
pub enum Relief {
    /// The node takes connections.
    Accept(NodeId),
    /// The node is seen.
    Show(NodeId),
    /// A client and a node hear each other.
    Hear(usize, NodeId, Side),
    /// The weather is as it was.
    Weather,
    /// The node runs again.
    Restart(NodeId),
    /// The node goes on.
    Resume(NodeId),
    /// No answer of the node is lost any more.
    Answer(NodeId),
    /// No record from the node, or to it, is damaged any more.
    Damage(NodeId, Side),
    /// No answer of this kind is broken any more.
    Spoil(ApiKey),
    /// The node tells what is.
    Stale(NodeId),
    /// A rule that did not use up its count.
    Rule(FaultId),
}

impl World {
    /// Begins the faults and ends those whose time is over.
    pub(super) fn strike_what_is_due(&mut self) {
        let now = self.clock.elapsed();
        while self.faults.front().is_some_and(|timed| timed.at <= now)
            && let Some(timed) = self.faults.pop_front()
        {
            self.say(|| format!("fault {:?}", timed.fault));
            self.strike(timed.fault);
        }
        let mut due = Vec::new();
        self.reliefs.retain_mut(|(at, relief)| {
            if *at > now {
                return true;
            }
            due.push(std::mem::replace(relief, Relief::Weather));
            false
        });
        for relief in due {
            self.say(|| format!("relief {relief:?}"));
            self.relieve(relief);
        }
    }

    fn strike(&mut self, fault: Fault) {
        let at = self.clock.elapsed();
        let now = self.clock.now();
        let lasts = fault.lasts();
        let node = NodeId::new;
        let relief = match fault {
            Fault::Refuse { node: n, .. } => {
                self.network.refuse(node(n), true);
                Relief::Accept(node(n))
            }
            Fault::Hide { node: n, .. } => {
                self.network.hide(node(n), true);
                Relief::Show(node(n))
            }
            Fault::Reset { node: n } => return self.network.reset_node(at, node(n)),
            Fault::Cut { node: n, from_broker, bytes } => {
                return self.network.cut_after(node(n), side(from_broker), bytes);
            }
            Fault::Flip { node: n, from_broker, bytes } => {
                return self.network.flip_after(node(n), side(from_broker), bytes);
            }
            Fault::Damage { node: n, from_broker, count } => {
                let (node, side) = (node(n), side(from_broker));
                self.tamper.damage_next(node, side, count);
                return self.reliefs.push((at + RULE_LASTS, Relief::Damage(node, side)));
            }
            Fault::Stale { node: n, .. } => {
                self.tamper.hold_back(node(n));
                Relief::Stale(node(n))
            }
            Fault::Recreate => return self.recreate(),
            Fault::Deny { api, code, count } => {
                return self.rule(first(api, count).error(ErrorCode::from_wire(code)));
            }
            Fault::Die { client, lasts } => return self.kill(client, at + lasts),
            Fault::MoveCoordinator => return self.move_coordinator(),
            Fault::Silence { client, node: n, from_broker, .. } => {
                self.network.silence(client, node(n), side(from_broker), true);
                Relief::Hear(client, node(n), side(from_broker))
            }
            Fault::Stall { client, node: n, lasts } => {
                return self.network.stall(client, node(n), at + lasts);
            }
            Fault::Crawl { .. } => {
                let latency = (Duration::from_millis(20), Duration::from_millis(400));
                self.network.change_weather(Weather { latency, segment_bytes: 24 });
                Relief::Weather
            }
            Fault::ApplyThenDrop { api, count } => {
                return self.rule(first(api, count).apply_then_drop());
            }
            Fault::Hang { api, count } => return self.rule(first(api, count).hang()),
            Fault::Delay { api, count, by } => {
                return self.rule(first(api, count).delay_answer(by));
            }
            Fault::Garble { api, count, how: Garbling::CorrelationId } => {
                return self.rule(first(api, count).wrong_correlation());
            }
            Fault::Garble { api, count, how: Garbling::Half } => {
                return self.rule(first(api, count).truncate());
            }
            Fault::Garble { api, count, how } => {
                self.tamper.spoil_next(key(api), how, count);
                return self.reliefs.push((at + RULE_LASTS, Relief::Spoil(key(api))));
            }
            Fault::Error { api, count, code, applied } => {
                let code = ErrorCode::from_wire(code);
                let condition = first(api, count);
                let rule =
                    if applied { condition.apply_then_error(code) } else { condition.error(code) };
                return self.rule(rule);
            }
            Fault::Swallow { node: n, count } => {
                self.swallowed.insert(node(n), count);
                return self.reliefs.push((at + RULE_LASTS, Relief::Answer(node(n))));
            }
            Fault::Throttle { api, count, by } => {
                return self.rule(first(api, count).throttle(by));
            }
            Fault::MoveLeader { partition } => {
                let tp = TopicPartition::new(TOPIC, partition);
                let to = node(self.rng.i32(1..=self.scenario.nodes));
                self.cluster.move_leader(now, &tp, to);
                return;
            }
            Fault::Crash { node: n, .. } => {
                self.cluster.crash_node(now, node(n));
                self.network.reset_node(at, node(n));
                self.network.refuse(node(n), true);
                Relief::Restart(node(n))
            }
            Fault::Pause { node: n, .. } => {
                self.cluster.pause_node(now, node(n));
                Relief::Resume(node(n))
            }
        };
        self.reliefs.push((at + lasts, relief));
    }

    fn relieve(&mut self, relief: Relief) {
        let now = self.clock.now();
        match relief {
            Relief::Accept(node) => self.network.refuse(node, false),
            Relief::Show(node) => self.network.hide(node, false),
            Relief::Hear(client, node, side) => self.network.silence(client, node, side, false),
            Relief::Weather => self.network.change_weather(self.scenario.weather.clone()),
            Relief::Restart(node) => {
                self.network.refuse(node, false);
                self.cluster.restart_node(now, node);
            }
            Relief::Resume(node) => self.cluster.resume_node(now, node),
            Relief::Answer(node) => {
                self.swallowed.remove(&node);
            }
            Relief::Damage(node, side) => self.tamper.damage_next(node, side, 0),
            Relief::Spoil(api) => self.tamper.spoil_no_more(api),
            Relief::Stale(node) => self.tamper.let_go(node),
            Relief::Rule(id) => {
                self.cluster.remove_fault(id);
            }
        }
    }

    /// The topic ends and begins again; whoever reads it hears of that, and begins anew too.
    fn recreate(&mut self) {
        let is_down = |relief: &Relief| matches!(relief, Relief::Restart(_) | Relief::Resume(_));
        if self.reliefs.iter().any(|(_, relief)| is_down(relief)) {
            // There are too few nodes for its replicas: it would be deleted only.
            return;
        }
        self.end_life();
        self.cluster.recreate_topic(self.clock.now(), TOPIC);
        for host in &mut self.hosts {
            if let User::Consumer(consumer) = host.user_mut() {
                let later = Duration::from_millis(self.rng.u64(1..3_000));
                consumer.rewind_at(self.clock.elapsed() + later);
            }
        }
    }

    /// The client's process ends; what takes its place acts from `returns` on.
    fn kill(&mut self, client: usize, returns: Duration) {
        if !matches!(self.hosts.get(client).map(Host::user), Some(User::Producer(_))) {
            return;
        }
        self.network.reset_client(self.clock.elapsed(), client);
        let mut host = self.hosts.remove(client);
        let rng = host.rng();
        let user = match host.into_user() {
            User::Producer(old) => {
                let new = old.die(&self.clock, &mut self.history, &self.scenario, returns);
                User::Producer(Box::new(new))
            }
            consumer => consumer,
        };
        let host = Host::new(client, self.scenario.nodes, self.clock.now(), rng, user);
        self.hosts.insert(client, host);
    }

    fn move_coordinator(&mut self) {
        let to = NodeId::new(self.rng.i32(1..=self.scenario.nodes));
        let partitions = self.cluster.topics().get(COORDINATORS).copied().unwrap_or_default();
        for partition in 0..i32::try_from(partitions).unwrap_or_default() {
            let tp = TopicPartition::new(COORDINATORS, partition);
            self.cluster.move_leader(self.clock.now(), &tp, to);
        }
    }

    fn rule(&mut self, rule: FaultRule) {
        let id = self.cluster.add_fault(rule);
        self.reliefs.push((self.clock.elapsed() + RULE_LASTS, Relief::Rule(id)));
    }
}

fn first(api: Api, count: u32) -> Condition {
    on(key(api)).first(u64::from(count))
}

fn key(api: Api) -> ApiKey {
    match api {
        Api::Produce => ApiKey::PRODUCE,
        Api::Fetch => ApiKey::FETCH,
        Api::Metadata => ApiKey::METADATA,
        Api::InitProducerId => ApiKey::INIT_PRODUCER_ID,
        Api::ListOffsets => ApiKey::LIST_OFFSETS,
        Api::ApiVersions => ApiKey::API_VERSIONS,
        Api::FindCoordinator => ApiKey::FIND_COORDINATOR,
        Api::AddPartitionsToTxn => ApiKey::ADD_PARTITIONS_TO_TXN,
        Api::AddOffsetsToTxn => ApiKey::ADD_OFFSETS_TO_TXN,
        Api::TxnOffsetCommit => ApiKey::TXN_OFFSET_COMMIT,
        Api::EndTxn => ApiKey::END_TXN,
    }
}

fn side(from_broker: bool) -> Side {
    if from_broker { Side::Broker } else { Side::Client }
}

/// Whoever leads a partition of it coordinates the transactional ids that belong there.
const COORDINATORS: &str = "__transaction_state";
