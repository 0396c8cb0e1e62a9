//! Input: steps, a byte each and what it takes: calls of a connection's user, frames of its broker, and time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use milena_engine::connection::pipeline::Settings;
use milena_engine::connection::{Output, Pipeline, Versions};
use milena_engine::request::{Failure, Lane, Outbound, RequestId, RequestIds, Target};
use milena_types::CorrelationId;
use milena_wire::Request;
use milena_wire::messages as m;

use crate::memory;

/// Whatever comes when, each request is answered once, and as not sent only if no byte of it was written.
pub(crate) fn run(data: &[u8]) {
    // A request takes a byte of a script or more and a few hundred here; an answer, what `milena-wire` says.
    let bytes_max = 512 * data.len() + (2 << 20);
    memory::within(bytes_max, || {
        let mut script = Script { rest: data };
        let mut connection = Connection::new();
        while let Some(step) = script.byte() {
            connection.step(step, &mut script);
            connection.settle();
        }
        connection.end();
    });
}

struct Script<'a> {
    rest: &'a [u8],
}

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0))
    }

    /// So many bytes, or what there is.
    fn take(&mut self, len: usize) -> &[u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}

/// How far a request got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reached {
    Submitted,
    Begun,
    Answered,
}

struct Connection {
    pipeline: Pipeline,
    now: Instant,
    ids: RequestIds,
    requests: BTreeMap<RequestId, Reached>,
    /// Submitted and not handed out to be written, in order.
    waiting: Vec<RequestId>,
    /// Handed out and not written whole.
    unwritten: Vec<RequestId>,
    is_closed: bool,
    correlation: i32,
}

impl Connection {
    fn new() -> Self {
        let now = start();
        let versions = Versions::new(
            Request::APIS.iter().map(|(key, versions)| (*key, *versions.start(), *versions.end())),
        );
        let settings = Settings::default();
        let pipeline = Pipeline::new(now, settings, None, versions, CorrelationId::FIRST);
        Self {
            pipeline,
            now,
            ids: RequestIds::default(),
            requests: BTreeMap::new(),
            waiting: Vec::new(),
            unwritten: Vec::new(),
            is_closed: false,
            correlation: 0,
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 9 {
            0 | 1 => self.submit(script),
            2 => self.transmit(),
            3 => {
                let (frames, is_begun) = (script.number() % 4, script.number() % 2 == 1);
                self.transmitted(frames, is_begun);
            }
            // The answer that is due, or what passes for it.
            4 => {
                let len = script.number() << 8 | script.number();
                let mut frame = BytesMut::new();
                frame.put_i32(self.correlation);
                frame.put_slice(script.take(len));
                self.correlation = self.correlation.wrapping_add(1);
                self.pipeline.handle_frame(self.now, frame.freeze());
            }
            5 => {
                let len = script.number();
                let frame = Bytes::copy_from_slice(script.take(len));
                self.pipeline.handle_frame(self.now, frame);
            }
            6 => {
                self.now += Duration::from_millis(1 << (script.number() % 18));
                self.pipeline.handle_timeout(self.now);
            }
            7 => match script.number() % 3 {
                0 => self.pipeline.handle_unreadable(self.now, "no frame"),
                1 => self.pipeline.handle_lost(self.now),
                _ => self.pipeline.drain(self.now),
            },
            _ => {
                self.transmit();
                self.transmitted(4, false);
            }
        }
    }

    fn submit(&mut self, script: &mut Script<'_>) {
        let (kind, how, version) = (script.number(), script.number(), script.number());
        let body: Request = match kind % 5 {
            0 => m::HeartbeatRequest::default().into(),
            1 => m::MetadataRequest::default().into(),
            2 => m::ProduceRequest::default().into(),
            3 => m::FetchRequest::default().into(),
            _ => m::FindCoordinatorRequest::default().into(),
        };
        let id = self.ids.deal();
        let timeout = Duration::from_millis(1 << (how % 16));
        let mut request = Outbound::new(id, Target::Any, Lane::Control, timeout, body);
        request.answered = how & 0x10 == 0;
        request.version_max = i16::try_from(version % VERSIONS).unwrap_or(0);
        self.requests.insert(id, Reached::Submitted);
        self.waiting.push(id);
        self.pipeline.submit(self.now, request);
    }

    fn transmit(&mut self) {
        while let Some(frame) = self.pipeline.poll_transmit(self.now) {
            assert!(!self.is_closed, "a frame for a connection that is closed");
            assert!(!frame.parts().is_empty());
            self.settle();
            // What cannot be written in any version was answered just now.
            assert!(!self.waiting.is_empty(), "a frame of no request");
            self.unwritten.push(self.waiting.remove(0));
        }
    }

    fn transmitted(&mut self, frames: usize, is_begun: bool) {
        let frames = frames.min(self.unwritten.len());
        let begun = frames + usize::from(is_begun && frames < self.unwritten.len());
        for id in self.unwritten.iter().take(begun) {
            if let Some(reached @ Reached::Submitted) = self.requests.get_mut(id) {
                *reached = Reached::Begun;
            }
        }
        self.unwritten.drain(..frames);
        self.pipeline.handle_transmitted(self.now, frames, is_begun);
    }

    /// Takes what it says.
    fn settle(&mut self) {
        while let Some(output) = self.pipeline.poll_output() {
            match output {
                Output::Answer(answer) => {
                    let Some(reached) = self.requests.get_mut(&answer.id) else {
                        panic!("nobody asked for {:?}", answer.id)
                    };
                    assert_ne!(*reached, Reached::Answered, "{:?} is answered twice", answer.id);
                    if matches!(answer.result, Err(Failure::NotSent)) {
                        assert_eq!(*reached, Reached::Submitted, "bytes of it were written");
                    }
                    *reached = Reached::Answered;
                    self.waiting.retain(|id| *id != answer.id);
                    self.unwritten.retain(|id| *id != answer.id);
                }
                Output::Close(_) => {
                    assert!(!self.is_closed, "closed twice");
                    self.is_closed = true;
                }
            }
        }
        if self.is_closed {
            assert_eq!(self.pipeline.load(), 0, "requests on a connection that is closed");
            assert_eq!(self.pipeline.poll_timeout(), None);
        }
    }

    fn end(&mut self) {
        self.pipeline.handle_lost(self.now);
        self.settle();
        assert!(self.is_closed, "it was lost");
        for (id, reached) in &self.requests {
            assert_eq!(*reached, Reached::Answered, "{id:?} has no answer");
        }
    }
}

/// More than any API asked for here has.
const VERSIONS: usize = 20;

#[expect(clippy::disallowed_methods, reason = "where time begins does not matter")]
fn start() -> Instant {
    Instant::now()
}
