//! A broker that does what a test says.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId};
use milena_wire::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use milena_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use milena_wire::messages::{HeartbeatResponse, ProduceResponse};
use milena_wire::{Request, Response, decode_request, encode_response};
use tokio::io::{AsyncWriteExt, duplex};
use tokio::net::TcpListener;

use crate::net::Memory;
use crate::net::frame::Frames;
use crate::net::transport::Stream;

/// What a peer does about one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers it.
    Respond(Response),
    /// Says nothing and reads on.
    Ignore,
    /// Writes these bytes, and nothing more of its own.
    Write(Bytes),
    /// Ends the connection.
    Close,
}

/// Brokers behind an in-memory transport; what they do is in one closure.
#[derive(Clone)]
pub(crate) struct Peer(Arc<Inner>);

type Script = dyn Fn(usize, &Request) -> Act + Send + Sync;

struct Inner {
    act: Box<Script>,
    dials: AtomicUsize,
    closed: AtomicUsize,
    /// Hosts that refuse.
    refusing: Mutex<Vec<String>>,
    /// Of each request: connection, host, API.
    seen: Mutex<Vec<(usize, String, ApiKey)>>,
    pipe_bytes: usize,
}

impl Peer {
    /// Brokers that answer ApiVersions, and do what `act` says about every other request of the n-th connection.
    pub(crate) fn new(act: impl Fn(usize, &Request) -> Act + Send + Sync + 'static) -> Self {
        Self::with_pipe(64 * 1024, act)
    }

    /// The same, over pipes that hold `pipe_bytes`.
    pub(crate) fn with_pipe(
        pipe_bytes: usize,
        act: impl Fn(usize, &Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            act: Box::new(act),
            dials: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            refusing: Mutex::default(),
            seen: Mutex::default(),
            pipe_bytes,
        }))
    }

    /// Brokers that answer everything they know.
    pub(crate) fn well() -> Self {
        Self::new(|_, request| answer(request))
    }

    pub(crate) fn transport(&self) -> Arc<Memory> {
        let peer = self.clone();
        Arc::new(Memory::new(move |host, _port| {
            let connection = peer.0.dials.fetch_add(1, Ordering::SeqCst);
            if peer.0.refusing.lock().unwrap().iter().any(|refusing| refusing == host) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = duplex(peer.0.pipe_bytes);
            tokio::spawn(peer.clone().serve(connection, host.to_owned(), theirs));
            Ok(ours)
        }))
    }

    pub(crate) fn refuse(&self, host: &str) {
        self.0.refusing.lock().unwrap().push(host.to_owned());
    }

    pub(crate) fn dials(&self) -> usize {
        self.0.dials.load(Ordering::SeqCst)
    }

    /// Connections that have ended.
    pub(crate) fn closed(&self) -> usize {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Requests seen, without the handshakes: connection, host, API.
    pub(crate) fn seen(&self) -> Vec<(usize, String, ApiKey)> {
        self.0.seen.lock().unwrap().clone()
    }

    /// Listens on a free port of the loopback address; says which.
    pub(crate) async fn listen(&self) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = peer.0.dials.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(peer.clone().serve(connection, "tcp".to_owned(), stream));
            }
        });
        port
    }

    async fn serve(self, connection: usize, host: String, mut stream: impl Stream) {
        let mut frames = Frames::new(usize::MAX >> 1);
        while let Ok(frame) = frames.read(&mut stream).await {
            let (header, request) = decode_request(frame).expect("the client is well");
            let act = if let Request::ApiVersions(_) = &request {
                (self.0.act)(connection, &request).or_versions()
            } else {
                self.0.seen.lock().unwrap().push((connection, host.clone(), header.api_key));
                (self.0.act)(connection, &request)
            };
            let written = match act {
                Act::Respond(response) => {
                    let frame =
                        encode_response(&response, header.api_version, header.correlation_id);
                    stream.write_all(&frame.expect("well formed").into_bytes()).await
                }
                Act::Write(bytes) => stream.write_all(&bytes).await,
                Act::Ignore => Ok(()),
                Act::Close => break,
            };
            if written.is_err() {
                break;
            }
        }
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Act {
    /// The handshake goes well unless the test says otherwise.
    fn or_versions(self) -> Self {
        match self {
            Self::Respond(_) => Self::Respond(versions().into()),
            Self::Ignore | Self::Write(_) | Self::Close => self,
        }
    }
}

/// What a healthy broker answers, as far as these tests ask.
pub(crate) fn answer(request: &Request) -> Act {
    Act::Respond(match request {
        Request::Metadata(request) => {
            let topics = request.topics.iter().flatten().filter_map(|topic| topic.name.as_ref());
            metadata(&["one", "two"], topics.map(|name| (&**name, 0))).into()
        }
        Request::Produce(_) => ProduceResponse::default().into(),
        _ => HeartbeatResponse::default().into(),
    })
}

/// Brokers 1, 2, … at these hosts, and topics with a code and one partition each, led by broker 1.
pub(crate) fn metadata<'a>(
    hosts: &[&str],
    topics: impl IntoIterator<Item = (&'a str, i16)>,
) -> MetadataResponse {
    let broker = |(node_id, host): (i32, &&str)| MetadataResponseBroker {
        node_id,
        host: (*host).into(),
        port: 9092,
        ..MetadataResponseBroker::default()
    };
    let topic = |(name, code): (&str, i16)| MetadataResponseTopic {
        name: Some(name.into()),
        error_code: milena_types::ErrorCode::from_wire(code),
        partitions: if code == 0 {
            vec![MetadataResponsePartition { leader_id: 1, ..MetadataResponsePartition::default() }]
        } else {
            Vec::new()
        },
        ..MetadataResponseTopic::default()
    };
    MetadataResponse {
        brokers: (1..).zip(hosts).map(broker).collect(),
        topics: topics.into_iter().map(topic).collect(),
        ..MetadataResponse::default()
    }
}

fn versions() -> ApiVersionsResponse {
    let range = |(api, versions): &(ApiKey, std::ops::RangeInclusive<i16>)| ApiVersion {
        api_key: api.get(),
        min_version: *versions.start(),
        max_version: *versions.end(),
    };
    ApiVersionsResponse {
        api_keys: Request::APIS.iter().map(range).collect(),
        ..ApiVersionsResponse::default()
    }
}

/// A response with a correlation id that nobody asked for.
pub(crate) fn stray(response: HeartbeatResponse) -> Bytes {
    let frame = encode_response(&response.into(), 4, CorrelationId::from_wire(4711));
    frame.expect("well formed").into_bytes()
}
