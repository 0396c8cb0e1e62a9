//! A network of byte streams under one seed: latency, torn segments, resets, silence.
//!
//! Bytes of one direction arrive in order, as TCP has it; how they are torn, when they arrive and whether the
//! connection lives is the seed's and the faults' business.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use milena_types::NodeId;
use serde::{Deserialize, Serialize};

/// One connection, named once in a world.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u64);

/// One end of a connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// The client's end.
    Client,
    /// The broker's end.
    Broker,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Broker,
            Self::Broker => Self::Client,
        }
    }
}

/// What the network tells one end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The broker took the connection; told to both ends.
    Opened,
    /// The broker's host refused it; told to the client.
    Refused,
    /// Bytes arrived.
    Received(Bytes),
    /// The connection is gone.
    Closed,
}

/// How a network behaves until it is told otherwise.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// The shortest and the longest time a segment travels.
    pub latency: (Duration, Duration),
    /// The most bytes of a segment; a small number tears frames anywhere.
    pub segment_bytes: usize,
}

/// The network of one world.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    weather: Weather,
    links: BTreeMap<LinkId, Link>,
    links_made: u64,
    /// The first event of each direction of each link, and the end that hears it.
    next: BTreeSet<(Duration, LinkId, Side)>,
    refusing: BTreeSet<NodeId>,
    unreachable: BTreeSet<NodeId>,
    /// Client and node between which bytes in this direction (sent by that side) vanish.
    silent: BTreeSet<(usize, NodeId, Side)>,
    /// Client and node between which the client can write nothing.
    clogged: BTreeSet<(usize, NodeId)>,
}

#[derive(Debug)]
struct Link {
    client: usize,
    node: NodeId,
    to_client: Stream,
    to_broker: Stream,
    /// After this many more bytes from that side the connection is reset.
    cut: Option<(Side, usize)>,
    /// After this many more bytes from that side one bit is flipped.
    flip: Option<(Side, usize)>,
}

#[derive(Debug, Default)]
struct Stream {
    due: VecDeque<(Duration, Event)>,
    last: Duration,
    closed: bool,
    /// When its first event is, as [`Network::next`] has it.
    listed: Option<Duration>,
}

impl Network {
    /// A network in this weather; all chance comes from `seed`.
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            weather,
            links: BTreeMap::new(),
            links_made: 0,
            next: BTreeSet::new(),
            refusing: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            silent: BTreeSet::new(),
            clogged: BTreeSet::new(),
        }
    }

    /// `client` dials `node`; the answer is an event of the link.
    pub fn connect(&mut self, now: Duration, client: usize, node: NodeId) -> LinkId {
        self.links_made += 1;
        let id = LinkId(self.links_made);
        let mut link = Link {
            client,
            node,
            to_client: Stream::default(),
            to_broker: Stream::default(),
            cut: None,
            flip: None,
        };
        let (there, back) = (self.travel(), self.travel());
        if self.refusing.contains(&node) {
            link.to_client.push(now + there + back, Event::Refused);
            link.to_client.closed = true;
            link.to_broker.closed = true;
        } else if !self.unreachable.contains(&node) && !self.is_silent(client, node) {
            link.to_broker.push(now + there, Event::Opened);
            link.to_client.push(now + there + back, Event::Opened);
        }
        self.links.insert(id, link);
        self.list(id);
        id
    }

    /// Who is on the link.
    pub fn ends(&self, id: LinkId) -> Option<(usize, NodeId)> {
        self.links.get(&id).map(|link| (link.client, link.node))
    }

    /// `side` writes `bytes`; they arrive torn, late and in order, or not at all.
    pub fn send(&mut self, now: Duration, id: LinkId, side: Side, mut bytes: Bytes) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.stream(side).closed || self.silent.contains(&(link.client, link.node, side)) {
            return;
        }
        if let Some((at, left)) = link.flip
            && at == side
        {
            if left < bytes.len() {
                let mut spoilt = bytes.to_vec();
                if let Some(byte) = spoilt.get_mut(left) {
                    *byte ^= 1 << self.rng.u8(0..8);
                }
                bytes = spoilt.into();
                link.flip = None;
            } else {
                link.flip = Some((at, left - bytes.len()));
            }
        }
        let mut cut_now = false;
        if let Some((at, left)) = link.cut
            && at == side
        {
            if left <= bytes.len() {
                bytes.truncate(left);
                cut_now = true;
            } else {
                link.cut = Some((at, left - bytes.len()));
            }
        }
        while !bytes.is_empty() {
            let most = bytes.len().min(self.weather.segment_bytes.max(1));
            let segment = bytes.split_to(self.rng.usize(1..=most));
            let travel = travel(&mut self.rng, &self.weather);
            link.stream(side).push(now + travel, Event::Received(segment));
        }
        self.list(id);
        if cut_now {
            self.reset(now, id);
        }
    }

    /// `side` closes; what it wrote before still arrives.
    pub fn close(&mut self, now: Duration, id: LinkId, side: Side) {
        let travel = self.travel();
        let Some(link) = self.links.get_mut(&id) else { return };
        let stream = link.stream(side);
        if !stream.closed {
            stream.push(now + travel, Event::Closed);
            stream.closed = true;
        }
        // The closing end hears nothing more.
        let back = link.stream(side.other());
        back.due.clear();
        back.closed = true;
        self.list(id);
    }

    /// Both ends lose the connection; bytes on their way arrive first.
    pub fn reset(&mut self, now: Duration, id: LinkId) {
        let (there, back) = (self.travel(), self.travel());
        let Some(link) = self.links.get_mut(&id) else { return };
        for (stream, travel) in [(&mut link.to_client, there), (&mut link.to_broker, back)] {
            if !stream.closed {
                stream.push(now + travel, Event::Closed);
                stream.closed = true;
            }
        }
        self.list(id);
    }

    /// Resets every connection of `node`, as the end of its process does.
    pub fn reset_node(&mut self, now: Duration, node: NodeId) {
        for id in self.links_of(|link| link.node == node) {
            self.reset(now, id);
        }
    }

    /// Resets every connection of `client`, as the end of its process does.
    pub fn reset_client(&mut self, now: Duration, client: usize) {
        for id in self.links_of(|link| link.client == client) {
            self.reset(now, id);
        }
    }

    /// Arms a reset after `bytes` more bytes from `side`, on every connection of `node`.
    pub fn cut_after(&mut self, node: NodeId, side: Side, bytes: usize) {
        for link in self.links.values_mut().filter(|link| link.node == node) {
            link.cut = Some((side, bytes));
        }
    }

    /// Arms one flipped bit after `bytes` more bytes from `side`, on every connection of `node`.
    pub fn flip_after(&mut self, node: NodeId, side: Side, bytes: usize) {
        for link in self.links.values_mut().filter(|link| link.node == node) {
            link.flip = Some((side, bytes));
        }
    }

    /// Connections to `node` are refused, or no longer.
    pub fn refuse(&mut self, node: NodeId, on: bool) {
        set(&mut self.refusing, node, on);
    }

    /// Connection attempts to `node` get no answer, or do again.
    pub fn hide(&mut self, node: NodeId, on: bool) {
        set(&mut self.unreachable, node, on);
    }

    /// What `side` sends between `client` and `node` vanishes, or no longer; the connection stays open.
    pub fn silence(&mut self, client: usize, node: NodeId, side: Side, on: bool) {
        set(&mut self.silent, (client, node, side), on);
    }

    /// `client` can write nothing to `node`, or can again; what it wrote is on its way.
    pub fn clog(&mut self, client: usize, node: NodeId, on: bool) {
        set(&mut self.clogged, (client, node), on);
    }

    /// Whether `client` can write nothing to `node`.
    pub fn is_clogged(&self, client: usize, node: NodeId) -> bool {
        self.clogged.contains(&(client, node))
    }

    /// What `client` sends on its open connections to `node` arrives no sooner than `until`; nothing is lost.
    pub fn stall(&mut self, client: usize, node: NodeId, until: Duration) {
        for id in self.links_of(|link| link.client == client && link.node == node) {
            let Some(link) = self.links.get_mut(&id) else { continue };
            for (at, _) in &mut link.to_broker.due {
                *at = until.max(*at);
            }
            link.to_broker.last = until.max(link.to_broker.last);
            self.list(id);
        }
    }

    /// Changes the weather from here on; bytes on their way keep their time.
    pub fn change_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// The next thing that happens at `now`, if any.
    pub fn poll(&mut self, now: Duration) -> Option<(LinkId, Side, Event)> {
        let (at, id, side) = self.earliest()?;
        if at > now {
            return None;
        }
        let link = self.links.get_mut(&id)?;
        let (_, event) = link.stream(side.other()).due.pop_front()?;
        let over = link.to_client.is_over() && link.to_broker.is_over();
        self.list(id);
        if over {
            self.links.remove(&id);
        }
        Some((id, side, event))
    }

    /// When the next thing happens.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.earliest().map(|(at, _, _)| at)
    }

    /// The earliest event, and the end that hears it.
    fn earliest(&self) -> Option<(Duration, LinkId, Side)> {
        self.next.first().copied()
    }

    /// The link has other first events than it had.
    fn list(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let streams = [(&mut link.to_client, Side::Client), (&mut link.to_broker, Side::Broker)];
        for (stream, side) in streams {
            let first = stream.due.front().map(|(at, _)| *at);
            if stream.listed == first {
                continue;
            }
            if let Some(old) = std::mem::replace(&mut stream.listed, first) {
                self.next.remove(&(old, id, side));
            }
            if let Some(at) = first {
                self.next.insert((at, id, side));
            }
        }
    }

    /// Whether bytes of one of `clients` are on their way to a broker.
    pub fn carries_from(&self, clients: impl Fn(usize) -> bool) -> bool {
        self.links.values().filter(|link| clients(link.client)).any(|link| {
            link.to_broker.due.iter().any(|(_, event)| matches!(event, Event::Received(_)))
        })
    }

    fn links_of(&self, which: impl Fn(&Link) -> bool) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| which(link)).map(|(id, _)| *id).collect()
    }

    fn is_silent(&self, client: usize, node: NodeId) -> bool {
        [Side::Client, Side::Broker].iter().any(|side| self.silent.contains(&(client, node, *side)))
    }

    fn travel(&mut self) -> Duration {
        travel(&mut self.rng, &self.weather)
    }
}

impl Link {
    /// The stream that `side` writes.
    fn stream(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.to_broker,
            Side::Broker => &mut self.to_client,
        }
    }
}

impl Stream {
    fn push(&mut self, at: Duration, event: Event) {
        self.last = self.last.max(at);
        self.due.push_back((self.last, event));
    }

    fn is_over(&self) -> bool {
        self.closed && self.due.is_empty()
    }
}

fn travel(rng: &mut Rng, weather: &Weather) -> Duration {
    let (least, most) = weather.latency;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.u64(micros(least)..=micros(most).max(micros(least))))
}

fn set<T: Ord>(of: &mut BTreeSet<T>, what: T, on: bool) {
    if on {
        of.insert(what);
    } else {
        of.remove(&what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_however_they_are_torn() {
        let mut network = network();
        let link = open(&mut network);
        network.send(T, link, Side::Client, Bytes::from_static(b"hello, "));
        network.send(T, link, Side::Client, Bytes::from_static(b"world"));
        assert_eq!(received(&mut network, Side::Broker), b"hello, world");
    }

    #[test]
    fn a_cut_lets_exactly_its_bytes_through() {
        let mut network = network();
        let link = open(&mut network);
        network.cut_after(NODE, Side::Client, 3);
        network.send(T, link, Side::Client, Bytes::from_static(b"hello"));
        assert_eq!(received(&mut network, Side::Broker), b"hel");
        assert_eq!(network.ends(link), None, "the reset link is gone");
    }

    #[test]
    fn a_silent_direction_swallows_bytes_and_keeps_the_link() {
        let mut network = network();
        let link = open(&mut network);
        network.silence(0, NODE, Side::Client, true);
        network.send(T, link, Side::Client, Bytes::from_static(b"lost"));
        assert_eq!(received(&mut network, Side::Broker), b"");
        network.silence(0, NODE, Side::Client, false);
        network.send(T, link, Side::Client, Bytes::from_static(b"heard"));
        assert_eq!(received(&mut network, Side::Broker), b"heard");
    }

    /// A request that is late must not hold up the one that is sent again on a new connection.
    #[test]
    fn a_stalled_connection_is_overtaken_by_a_new_one() {
        let mut network = network();
        let old = open(&mut network);
        network.stall(0, NODE, 2 * T);
        network.send(T, old, Side::Client, Bytes::from_static(b"old"));
        network.close(T, old, Side::Client);
        let new = open(&mut network);
        network.send(T, new, Side::Client, Bytes::from_static(b"new, "));
        assert_eq!(received(&mut network, Side::Broker), b"new, old");
    }

    #[test]
    fn a_flip_changes_one_bit() {
        let mut network = network();
        let link = open(&mut network);
        network.flip_after(NODE, Side::Broker, 1);
        network.send(T, link, Side::Broker, Bytes::from_static(&[0; 4]));
        let ones: u32 = received(&mut network, Side::Client).iter().map(|b| b.count_ones()).sum();
        assert_eq!(ones, 1);
    }

    #[test]
    fn a_refused_or_hidden_node_takes_no_connection() {
        let mut network = network();
        network.refuse(NODE, true);
        let link = network.connect(T, 0, NODE);
        assert_eq!(network.poll(LATE), Some((link, Side::Client, Event::Refused)));
        network.refuse(NODE, false);
        network.hide(NODE, true);
        network.connect(T, 0, NODE);
        assert_eq!(network.poll(LATE), None);
    }

    const NODE: NodeId = NodeId::new(1);
    const T: Duration = Duration::from_secs(1);
    const LATE: Duration = Duration::from_secs(100);

    fn network() -> Network {
        let latency = (Duration::from_micros(50), Duration::from_millis(3));
        Network::new(7, Weather { latency, segment_bytes: 3 })
    }

    fn open(network: &mut Network) -> LinkId {
        let link = network.connect(Duration::ZERO, 0, NODE);
        assert!(matches!(network.poll(T), Some((_, Side::Broker, Event::Opened))));
        assert!(matches!(network.poll(T), Some((_, Side::Client, Event::Opened))));
        link
    }

    fn received(network: &mut Network, side: Side) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((_, at, event)) = network.poll(LATE) {
            if let (true, Event::Received(bytes)) = (at == side, event) {
                all.extend_from_slice(&bytes);
            }
        }
        all
    }
}
