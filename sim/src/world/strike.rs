//! Faults as they strike and pass.

use std::time::Duration;

use milena_broker::{Condition, FaultId, FaultRule, on};
use milena_types::{ApiKey, ErrorCode, NodeId, TopicPartition};

use super::{TOPIC, World};
use crate::fault::{Api, Fault, Garbling, RULE_LASTS};
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
            Fault::Silence { client, node: n, from_broker, .. } => {
                self.network.silence(client, node(n), side(from_broker), true);
                Relief::Hear(client, node(n), side(from_broker))
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
            Fault::Garble { api, count, how: Garbling::Body } => {
                return self.rule(first(api, count).truncate());
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
            Relief::Rule(id) => {
                self.cluster.remove_fault(id);
            }
        }
    }

    fn rule(&mut self, rule: FaultRule) {
        let id = self.cluster.add_fault(rule);
        self.reliefs.push((self.clock.elapsed() + RULE_LASTS, Relief::Rule(id)));
    }
}

fn first(api: Api, count: u32) -> Condition {
    let key = match api {
        Api::Produce => ApiKey::PRODUCE,
        Api::Fetch => ApiKey::FETCH,
        Api::Metadata => ApiKey::METADATA,
        Api::InitProducerId => ApiKey::INIT_PRODUCER_ID,
        Api::ListOffsets => ApiKey::LIST_OFFSETS,
        Api::ApiVersions => ApiKey::API_VERSIONS,
    };
    on(key).first(u64::from(count))
}

fn side(from_broker: bool) -> Side {
    if from_broker { Side::Broker } else { Side::Client }
}
