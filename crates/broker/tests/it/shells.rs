//! The cluster on sockets and on pipes.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use milena_broker::{Broker, on};
use milena_types::{ApiKey, CorrelationId, NodeId};
use milena_wire::messages::metadata_request::MetadataRequest;
use milena_wire::{FrameReader, Response, decode_response, encode_request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

async fn metadata(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<usize> {
    let id = CorrelationId::from_wire(5);
    let request = MetadataRequest { topics: None, ..Default::default() };
    let frame = encode_request(&request.into(), 9, id, None).expect("encodes");
    stream.write_all(&frame.into_bytes()).await?;
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
    broker.restart_node(node).expect("the port is still free");
    let mut stream = TcpStream::connect(&address).await.expect("connects");
    assert_eq!(metadata(&mut stream).await.expect("answers"), 1);
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
