//! One connection, one request at a time.

use std::time::Duration;

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId, ErrorCode};
use milena_wire::messages::{FindCoordinatorRequest, HeartbeatRequest};
use milena_wire::{Request, Response, decode_response, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::Result;

/// A connection to one broker. Frames are written and read whole.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    correlation_id: CorrelationId,
}

/// Where a group's coordinator listens, once it is there and has loaded its groups.
///
/// A real broker makes the topic behind it at the first question, so a healthy cluster answers 15
/// to the question, then 16 and 14 to what is asked of the coordinator. A heartbeat is answered 0
/// while it loads, whoever beats.
pub(crate) async fn coordinator(any: &str, group: &str) -> Result<String> {
    let mut any = Connection::open(any).await?;
    loop {
        let ask = message!(FindCoordinatorRequest { key: group.into() });
        let Response::FindCoordinator(told) = any.call(ask, 2).await? else {
            return Err("another answer than FindCoordinator's".into());
        };
        let mut code = told.error_code;
        if code == ErrorCode::NONE {
            let address = format!("{}:{}", told.host, told.port);
            let ask =
                message!(HeartbeatRequest { group_id: group.into(), member_id: "nobody".into() });
            let mut there = Connection::open(&address).await?;
            let Response::Heartbeat(told) = there.call(ask, 2).await? else {
                return Err("another answer than Heartbeat's".into());
            };
            code = told.error_code;
            if code == ErrorCode::UNKNOWN_MEMBER_ID {
                return Ok(address);
            }
        }
        match code {
            ErrorCode::NONE
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::NOT_COORDINATOR => sleep(Duration::from_millis(20)).await,
            code => return Err(format!("the coordinator: {code}").into()),
        }
    }
}

/// No request of the suite makes a broker wait longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer that the suite asks for is far below it.
const FRAME_BYTES_MAX: usize = 64 << 20;

impl Connection {
    /// Connects to `host:port`.
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation_id: CorrelationId::FIRST })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(
        &mut self,
        request: impl Into<Request>,
        version: i16,
    ) -> Result<Response> {
        let request = request.into();
        let key = request.api_key();
        self.send(&request, version).await?;
        self.receive(key, version).await
    }

    /// Sends a request; what it is answered, if at all, is left to [`Self::receive`].
    pub(crate) async fn send(&mut self, request: &Request, version: i16) -> Result {
        self.correlation_id = self.correlation_id.next();
        let id = self.correlation_id;
        let frame = encode_request(request, version, id, Some("protocol-tests"))?;
        for part in frame.parts() {
            self.stream.write_all(part).await?;
        }
        Ok(())
    }

    /// Sends bytes as they are, under a length of their own.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> Result {
        self.stream.write_u32(u32::try_from(bytes.len())?).await?;
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Waits for the answer to the request sent last.
    pub(crate) async fn receive(&mut self, key: ApiKey, version: i16) -> Result<Response> {
        let frame = self.receive_bytes().await?;
        let (correlation_id, response) = decode_response(key, version, frame)?;
        assert_eq!(correlation_id, self.correlation_id, "answers come in the order of requests");
        Ok(response)
    }

    /// Waits for one frame, and returns it without its length.
    pub(crate) async fn receive_bytes(&mut self) -> Result<Bytes> {
        timeout(PATIENCE, async {
            let length = usize::try_from(self.stream.read_u32().await?)?;
            assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
            let mut frame = vec![0; length];
            self.stream.read_exact(&mut frame).await?;
            Ok(Bytes::from(frame))
        })
        .await?
    }

    /// Whether the broker closed the connection without another word.
    pub(crate) async fn is_closed_by_broker(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_u8()).await;
        matches!(read, Ok(Err(_)))
    }
}
