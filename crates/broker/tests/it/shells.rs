//! The cluster on sockets and on pipes.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use milena_broker::{Broker, on};
use milena_types::{ApiKey, CorrelationId, NodeId};
use milena_wire::messages::metadata_request::MetadataRequest;
use milena_wire::{FrameReader, Request, Response, decode_response, encode_request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::world::{NOON, batch, fetch, produce};

fn frame(request: impl Into<Request>, version: i16) -> Bytes {
    let id = CorrelationId::from_wire(5);
    encode_request(&request.into(), version, id, None).expect("encodes").into_bytes()
}

async fn metadata(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<usize> {
    let request = MetadataRequest { topics: None, ..Default::default() };
    stream.write_all(&frame(request, 9)).await?;
    let mut received = BytesMut::new();
    let frame: Bytes = loop {
        if let Some(frame) = FrameReader::default().read(&mut received).expect("a frame") {
            break frame;
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let (_, response) = decode_response(ApiKey::METADATA, 9, frame).expect("readable");
    let Response::Metadata(response) = response else { panic!("{response:?}") };
    Ok(response.topics.len())
}

fn node_1_port(broker: &Broker) -> u16 {
    broker
        .with(|cluster, _| cluster.node_address(NodeId::new(1)).map(|(_, port)| port))
        .expect("node 1")
}

#[tokio::test]
async fn a_client_reaches_the_cluster_over_a_socket_of_the_loopback() {
    let broker = Broker::builder().nodes(3).topic("t", 2).start().await.expect("starts");
    let servers = broker.bootstrap_servers();
    assert_eq!(servers.split(',').count(), 3);
    for address in servers.split(',') {
        assert!(address.starts_with("127.0.0.1:"));
        let mut stream = TcpStream::connect(address).await.expect("connects");
        assert_eq!(metadata(&mut stream).await.expect("answers"), 1);
    }
    assert_eq!(broker.requests(ApiKey::METADATA).len(), 3);
}

#[tokio::test]
async fn a_killed_node_refuses_connections_until_it_is_restarted() {
    let broker = Broker::builder().nodes(2).topic("t", 1).start().await.expect("starts");
    let node = NodeId::new(1);
    let address = format!("127.0.0.1:{}", node_1_port(&broker));
    let mut stream = TcpStream::connect(&address).await.expect("connects");
    broker.crash_node(node);
    assert!(metadata(&mut stream).await.is_err(), "its connections are gone");
    broker.restart_node(node).await.expect("the port is still free");
    let mut stream = TcpStream::connect(&address).await.expect("connects");
    assert_eq!(metadata(&mut stream).await.expect("answers"), 1);
}

/// The acceptor that holds the port ends only when its task runs again.
#[tokio::test]
async fn a_node_can_be_restarted_at_once() {
    let broker = Broker::builder().start().await.expect("starts");
    broker.crash_node(NodeId::new(1));
    broker.restart_node(NodeId::new(1)).await.expect("the port is free");
    let mut stream = TcpStream::connect(broker.bootstrap_servers()).await.expect("connects");
    assert_eq!(metadata(&mut stream).await.expect("answers"), 0);
}

#[tokio::test(start_paused = true)]
async fn pipes_within_the_process_keep_to_a_paused_clock() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().await.expect("starts");
    let dial = broker.dialer();
    let mut stream = dial("localhost", node_1_port(&broker)).expect("connects");
    broker.add_fault(on(ApiKey::METADATA).delay_answer(Duration::from_secs(3600)));
    let asked = tokio::time::Instant::now();
    assert_eq!(metadata(&mut stream).await.expect("answers"), 1);
    assert_eq!(asked.elapsed().as_secs(), 3600);
    assert!(dial("localhost", 1).is_err(), "no node is there");
}

#[tokio::test]
async fn a_dropped_handle_closes_every_connection() {
    let broker = Broker::builder().topic("t", 1).start().await.expect("starts");
    let mut stream = TcpStream::connect(broker.bootstrap_servers()).await.expect("connects");
    assert_eq!(metadata(&mut stream).await.expect("answers"), 1);
    drop(broker);
    assert!(metadata(&mut stream).await.is_err());
}

#[tokio::test]
async fn a_length_above_the_limit_closes_the_socket() {
    let broker = Broker::builder().start().await.expect("starts");
    let mut stream = TcpStream::connect(broker.bootstrap_servers()).await.expect("connects");
    stream.write_all(&i32::MAX.to_be_bytes()).await.expect("written");
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

/// No answer tells the pump that requests were read, so that it could wait for one for ever.
#[tokio::test(start_paused = true)]
async fn requests_without_answers_do_not_wedge_a_connection() {
    let broker = Broker::builder().topic("t", 1).wall_clock(NOON);
    let broker = broker.start_in_memory().await.expect("starts");
    broker.add_fault(on(ApiKey::PRODUCE).nth(1).delay_request(Duration::from_secs(1)));
    let mut stream = broker.dialer()("localhost", node_1_port(&broker)).expect("connects");
    for _ in 0..100 {
        let produce = produce(0, batch(&["a"], None));
        stream.write_all(&frame(produce, 9)).await.expect("written");
    }
    let asked = timeout(Duration::from_secs(60), metadata(&mut stream));
    assert_eq!(asked.await.expect("goes on").expect("answers"), 1);
    assert_eq!(broker.records("t", 0).len(), 100);
}

/// The pump is then in the middle of a write that never ends.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_keeps_no_dead_nodes_connection() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().await.expect("starts");
    let mut stream = broker.dialer()("localhost", node_1_port(&broker)).expect("connects");
    let large = "x".repeat(500_000);
    stream.write_all(&frame(produce(0, batch(&[&large], None)), 9)).await.expect("written");
    stream.write_all(&frame(fetch(0, 1, 0), 11)).await.expect("written");
    sleep(Duration::from_secs(1)).await;
    broker.crash_node(NodeId::new(1));
    sleep(Duration::from_secs(2)).await;
    assert!(stream.write_all(b"x").await.is_err());
}

/// The backlog of a hung connection is never read, and must not keep its end from being noticed.
#[tokio::test(start_paused = true)]
async fn a_hung_connection_ends_when_its_client_goes_away() {
    let broker = Broker::builder()
        .topic("t", 1)
        .configure(|settings| settings.connections_max = 1)
        .start_in_memory()
        .await
        .expect("starts");
    broker.add_fault(on(ApiKey::PRODUCE).nth(1).hang());
    let dial = broker.dialer();
    let mut stream = dial("localhost", node_1_port(&broker)).expect("connects");
    for _ in 0..100 {
        let produce = produce(0, batch(&["a"], None));
        stream.write_all(&frame(produce, 9)).await.expect("written");
    }
    drop(stream);
    sleep(Duration::from_secs(1)).await;
    dial("localhost", node_1_port(&broker)).expect("room for another");
}
