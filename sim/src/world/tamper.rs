//! What is changed on the way between clients and brokers, beyond what the network does to bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use fastrand::Rng;
use milena_records::RecordSet;
use milena_types::{ApiKey, ErrorCode, NodeId, Uuid};
use milena_wire::{
    Request, RequestHeader, Response, decode_request, decode_response, encode_response,
};

use crate::fault::Garbling;
use crate::network::Side;

/// A request that a broker has not answered.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) api: ApiKey,
    version: i16,
    /// The topics that a Metadata request names.
    topics: Vec<String>,
}

/// What is to be changed, and what it is changed to.
#[derive(Debug)]
pub(super) struct Tamper {
    rng: Rng,
    /// How many frames with records still get a bit flipped in them, by node and by who sends them.
    damaged: BTreeMap<(NodeId, Side), u32>,
    /// How many answers to an API are still broken, and how.
    spoilt: BTreeMap<ApiKey, (Garbling, u32)>,
    /// The last answer's body to each API.
    bodies: BTreeMap<ApiKey, Bytes>,
    /// The last metadata that was told, by what was asked for.
    told: Told,
    /// What a node tells in place of the metadata that is.
    stale: BTreeMap<NodeId, Told>,
    /// The highest version of an API that a node admits to.
    withdrawn: BTreeMap<(NodeId, ApiKey), i16>,
    /// How many requests of an API are still held up, and for how long.
    held_up: BTreeMap<ApiKey, (Duration, u32)>,
    /// How many answers are still to come without the topics that they were to tell of.
    left_out: u32,
    /// Aborted transactions are named in another order than the log's.
    shuffles_aborted: bool,
}

type Told = BTreeMap<Vec<String>, Bytes>;

impl Asked {
    pub(super) fn of(header: &RequestHeader, request: &Request) -> Self {
        let mut topics = Vec::new();
        if let Request::Metadata(metadata) = request {
            let named = metadata.topics.iter().flatten();
            topics.extend(named.filter_map(|topic| Some(topic.name.as_ref()?.to_string())));
        }
        Self { api: header.api_key, version: header.api_version, topics }
    }

    /// What the answer says, for a trace.
    pub(super) fn read(&self, frame: &Bytes) -> String {
        let body = frame.slice(LENGTH_BYTES.min(frame.len())..);
        match decode_response(self.api, self.version, body) {
            Ok((_, response)) => format!("{response:?}"),
            Err(error) => format!("{}, unreadable: {error}", self.api),
        }
    }
}

impl Tamper {
    pub(super) fn new(rng: Rng, shuffles_aborted: bool) -> Self {
        Self {
            rng,
            damaged: BTreeMap::new(),
            spoilt: BTreeMap::new(),
            bodies: BTreeMap::new(),
            told: Told::new(),
            stale: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            held_up: BTreeMap::new(),
            left_out: 0,
            shuffles_aborted,
        }
    }

    /// The next answers know nothing of the topics that they are asked for.
    pub(super) fn leave_out_next(&mut self, count: u32) {
        self.left_out = count;
    }

    pub(super) fn hold_up_next(&mut self, api: ApiKey, by: Duration, count: u32) {
        self.held_up.insert(api, (by, count));
    }

    pub(super) fn hold_up_no_more(&mut self, api: ApiKey) {
        self.held_up.remove(&api);
    }

    /// For how long the request in `frame` is held up, if it is.
    pub(super) fn holds_up(&mut self, frame: &Bytes) -> Option<Duration> {
        if self.held_up.is_empty() {
            return None;
        }
        let (header, _) = decode_request(frame.clone()).ok()?;
        let (by, left) = self.held_up.get_mut(&header.api_key).filter(|(_, left)| *left > 0)?;
        *left -= 1;
        Some(*by)
    }

    pub(super) fn damage_next(&mut self, node: NodeId, side: Side, count: u32) {
        self.damaged.insert((node, side), count);
    }

    pub(super) fn spoil_next(&mut self, api: ApiKey, how: Garbling, count: u32) {
        self.spoilt.insert(api, (how, count));
    }

    pub(super) fn spoil_no_more(&mut self, api: ApiKey) {
        self.spoilt.remove(&api);
    }

    /// From here on `node` tells the metadata of this moment.
    pub(super) fn hold_back(&mut self, node: NodeId) {
        self.stale.insert(node, self.told.clone());
    }

    pub(super) fn let_go(&mut self, node: NodeId) {
        self.stale.remove(&node);
    }

    /// From here on `node` says that it knows `api` up to `version`.
    pub(super) fn withdraw(&mut self, node: NodeId, api: ApiKey, version: i16) {
        self.withdrawn.insert((node, api), version);
    }

    pub(super) fn renew(&mut self, node: NodeId, api: ApiKey) {
        self.withdrawn.remove(&(node, api));
    }

    /// Flips a bit of a batch in a frame between `node` and a client that `side` sent, if that is due.
    pub(super) fn damage(&mut self, node: NodeId, side: Side, frame: Bytes) -> Bytes {
        let Some(left) = self.damaged.get_mut(&(node, side)).filter(|left| **left > 0) else {
            return frame;
        };
        let Some((start, end)) = find_batch(&frame) else { return frame };
        let from = start + if side == Side::Broker { CHECKSUM_AT } else { RECORDS_FROM };
        *left -= 1;
        let mut spoilt = frame.to_vec();
        if let Some(byte) = spoilt.get_mut(self.rng.usize(from..end)) {
            *byte ^= 1 << self.rng.u8(0..8);
        }
        spoilt.into()
    }

    /// What arrives of the answer of `node` to `asked`: `frame`, with its length in front, or something else.
    pub(super) fn answer(&mut self, node: NodeId, asked: Asked, frame: Bytes) -> Bytes {
        if frame.len() < HEAD_BYTES {
            return frame;
        }
        let (head, body) = (frame.slice(..HEAD_BYTES), frame.slice(HEAD_BYTES..));
        let other = self.bodies.iter().find(|(api, _)| **api != asked.api);
        let other = other.map(|(_, body)| body.clone());
        self.bodies.insert(asked.api, body.clone());
        if let Some((how, left)) = self.spoilt.get_mut(&asked.api).filter(|(_, left)| *left > 0) {
            *left -= 1;
            return match (*how, other) {
                (Garbling::Length(length), _) => {
                    let mut spoilt = BytesMut::new();
                    spoilt.put_i32(length);
                    spoilt.put_slice(frame.get(LENGTH_BYTES..).unwrap_or_default());
                    spoilt.freeze()
                }
                (Garbling::Other, Some(other)) => framed(&head, &other),
                (Garbling::Other | Garbling::CorrelationId | Garbling::Half, _) => frame,
            };
        }
        if asked.api == ApiKey::API_VERSIONS {
            return self.versions(node, &asked, &frame).unwrap_or(frame);
        }
        if asked.api == ApiKey::FETCH && self.shuffles_aborted {
            return self.shuffled(&asked, &frame).unwrap_or(frame);
        }
        if asked.api != ApiKey::METADATA || asked.topics.is_empty() {
            return frame;
        }
        if self.left_out > 0 {
            self.left_out -= 1;
            return unknown(&asked, &frame).unwrap_or(frame);
        }
        match self.stale.get(&node).and_then(|told| told.get(&asked.topics)) {
            Some(old) => framed(&head, old),
            None => {
                self.told.insert(asked.topics, body);
                frame
            }
        }
    }
}

impl Tamper {
    /// The answer of an older node; `None` where there is nothing to change.
    fn versions(&self, node: NodeId, asked: &Asked, frame: &Bytes) -> Option<Bytes> {
        let of_node = self.withdrawn.iter().filter(|((of, _), _)| *of == node);
        let withdrawn: Vec<_> = of_node.map(|((_, api), version)| (*api, *version)).collect();
        if withdrawn.is_empty() {
            return None;
        }
        let body = frame.slice(LENGTH_BYTES..);
        let (correlation, mut response) = decode_response(asked.api, asked.version, body).ok()?;
        let Response::ApiVersions(versions) = &mut response else { return None };
        for range in &mut versions.api_keys {
            let key = ApiKey::from_wire(range.api_key);
            let most = withdrawn.iter().find(|(api, _)| *api == key).map(|(_, version)| *version);
            range.max_version = range.max_version.min(most.unwrap_or(i16::MAX));
        }
        let frame = encode_response(&response, asked.version, correlation).ok()?;
        Some(frame.into_bytes())
    }
}

impl Tamper {
    /// The same answer with its lists of aborted transactions the other way round; `None` where there are none.
    fn shuffled(&self, asked: &Asked, frame: &Bytes) -> Option<Bytes> {
        let body = frame.slice(LENGTH_BYTES..);
        let (correlation, mut response) = decode_response(asked.api, asked.version, body).ok()?;
        let Response::Fetch(fetch) = &mut response else { return None };
        let partitions = fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
        let lists = partitions.filter_map(|data| data.aborted_transactions.as_mut());
        let mut lists: Vec<_> = lists.filter(|list| list.len() > 1).collect();
        if lists.is_empty() {
            return None;
        }
        lists.iter_mut().for_each(|list| list.reverse());
        let frame = encode_response(&response, asked.version, correlation).ok()?;
        Some(frame.into_bytes())
    }
}

/// The answer of a node that has not heard of the topics yet; `None` where it names none.
fn unknown(asked: &Asked, frame: &Bytes) -> Option<Bytes> {
    let body = frame.slice(LENGTH_BYTES..);
    let (correlation, mut response) = decode_response(asked.api, asked.version, body).ok()?;
    let Response::Metadata(metadata) = &mut response else { return None };
    for topic in &mut metadata.topics {
        topic.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        topic.topic_id = Uuid::ZERO;
        topic.partitions.clear();
    }
    let frame = encode_response(&response, asked.version, correlation).ok()?;
    Some(frame.into_bytes())
}

/// A frame with the head's correlation id and another body.
fn framed(head: &[u8], body: &[u8]) -> Bytes {
    let correlation = head.get(LENGTH_BYTES..).unwrap_or_default();
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(correlation.len() + body.len()).unwrap_or(i32::MAX));
    frame.put_slice(correlation);
    frame.put_slice(body);
    frame.freeze()
}

/// Where in the frame the first batch is.
fn find_batch(frame: &Bytes) -> Option<(usize, usize)> {
    (0..frame.len()).find_map(|at| {
        // Its format's number, behind base offset, length and leader epoch.
        if frame.get(at + 16) != Some(&2) {
            return None;
        }
        let batch = RecordSet::new(frame.slice(at..)).next()?.ok()?;
        batch.verify().ok()?;
        Some((at, at + batch.size()))
    })
}

const LENGTH_BYTES: usize = 4;

/// The length and the correlation id.
const HEAD_BYTES: usize = 8;

/// In a batch, and behind it what it covers.
const CHECKSUM_AT: usize = 17;

/// Behind a batch's header. Bits of that may flip too on the way to a broker, but it finds the batch inconsistent before
/// it comes to its checksum, and refuses it for good.
const RECORDS_FROM: usize = 61;

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::new(1);

    fn asked(api: ApiKey) -> Asked {
        Asked { api, version: 12, topics: vec!["orders".to_owned()] }
    }

    fn frame(correlation: u8, body: &'static [u8]) -> Bytes {
        framed(&[0, 0, 0, 0, 0, 0, 0, correlation], body)
    }

    /// Else a client would refuse the answer for another reason.
    #[test]
    fn stale_metadata_is_under_the_new_correlation_id() {
        let mut tamper = Tamper::new(Rng::with_seed(1), false);
        tamper.answer(NODE, asked(ApiKey::METADATA), frame(1, b"old"));
        tamper.hold_back(NODE);
        let told = tamper.answer(NODE, asked(ApiKey::METADATA), frame(2, b"fresh"));
        assert_eq!(told, frame(2, b"old"));
        tamper.let_go(NODE);
        let told = tamper.answer(NODE, asked(ApiKey::METADATA), frame(3, b"fresh"));
        assert_eq!(told, frame(3, b"fresh"));
    }

    #[test]
    fn a_broken_answer_is_broken_as_often_as_asked() {
        let mut tamper = Tamper::new(Rng::with_seed(1), false);
        tamper.spoil_next(ApiKey::FETCH, Garbling::Length(-1), 1);
        let broken = tamper.answer(NODE, asked(ApiKey::FETCH), frame(1, b"body"));
        assert_eq!(&broken[..4], [0xff; 4]);
        let whole = tamper.answer(NODE, asked(ApiKey::FETCH), frame(1, b"body"));
        assert_eq!(whole, frame(1, b"body"));
    }

    #[test]
    fn a_frame_without_records_is_not_damaged() {
        let mut tamper = Tamper::new(Rng::with_seed(1), false);
        tamper.damage_next(NODE, Side::Broker, 1);
        let frame = frame(1, &[2; 100]);
        assert_eq!(tamper.damage(NODE, Side::Broker, frame.clone()), frame);
        assert_eq!(tamper.damaged[&(NODE, Side::Broker)], 1);
    }
}
