//! Serves a cluster on fixed ports until it is interrupted: `cargo run -p milena-broker --example serve -- 9092 3`.

use std::io;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (port, nodes) = (number(9092), number(1));
    let cluster = milena_broker::Broker::builder().nodes(nodes.into()).port(port).start().await?;
    println!("bootstrap.servers={}", cluster.bootstrap_servers());
    std::future::pending().await
}
