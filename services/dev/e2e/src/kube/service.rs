//! A Service: connections to its address go to pods that are ready, in turn. One that is there stays where it is, also when
//! its pod is asked to end. That nobody takes one is an incident: members would feel it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tmtp_chart::{Manifest, text};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Node;

/// One that forwards until it is dropped.
pub(super) struct Service(#[expect(dead_code, reason = "holding the tasks is the point")] JoinSet<()>);

impl Service {
    pub(super) async fn start(node: &Arc<Node>, manifest: &Manifest) -> Result<Self> {
        let address = node.names.get(manifest.name()).context("a Service without address")?;
        let mut tasks = JoinSet::new();
        for port in manifest.0["spec"]["ports"].as_array().into_iter().flatten() {
            let at = SocketAddr::from((*address, number(&port["port"])?));
            let listener =
                TcpListener::bind(at).await.with_context(|| format!("{} at {at}", manifest.title()))?;
            let target = text(port, "/targetPort").to_owned();
            let selector = manifest.0["spec"]["selector"].clone();
            tasks.spawn(forward(Arc::clone(node), manifest.title(), selector, target, listener));
        }
        Ok(Self(tasks))
    }
}

/// A port as manifests have it.
pub(super) fn number(port: &Value) -> Result<u16> {
    let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
    port.context("a port that is no number")
}

async fn forward(node: Arc<Node>, name: String, selector: Value, target: String, listener: TcpListener) {
    let turn = AtomicUsize::new(0);
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            // Too many open files, for a moment.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let endpoints: Vec<SocketAddr> =
            node.pods().iter().filter_map(|pod| pod.endpoint(&selector, &target)).collect();
        if endpoints.is_empty() {
            node.incident(format!("nobody is ready for a connection to {name}"));
            continue;
        }
        let to = endpoints[turn.fetch_add(1, Ordering::Relaxed) % endpoints.len()];
        let (node, name) = (Arc::clone(&node), name.clone());
        connections.spawn(async move {
            match TcpStream::connect(to).await {
                // Either side may go at any time.
                Ok(mut server) => drop(copy_bidirectional(&mut client, &mut server).await),
                Err(error) => {
                    node.incident(format!("a connection to {name} gets to nobody at {to}: {error}"));
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
