//! A load balancer in front of the gateway, over real connections.

use std::net::SocketAddr;

use tmtp_client::{Client, Connect};
use tmtp_domain::{NodeSecret, Uid};
use tmtp_wire::Request;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{Rig, soon};

/// Puts these octets in front of every connection, and gives the address where it takes them.
async fn balance(to: SocketAddr, header: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut gateway = TcpStream::connect(to).await?;
                gateway.write_all(header).await?;
                copy_bidirectional(&mut client, &mut gateway).await
            });
        }
    });
    address
}

/// Goal: the setting reaches the port: clients log in through a load balancer and in no other way; method: one behind
/// each version, one behind none.
#[tokio::test]
async fn a_load_balancer_in_front() {
    let mut rig = Rig::start(|config| config.proxy_protocol.trusted = vec!["127.0.0.0/8".to_owned()]).await;
    let direct = rig.connect.address;
    let headers: [&[u8]; 2] = [
        b"PROXY TCP4 203.0.113.7 198.51.100.1 43981 8443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xCB\0\x71\x07\xC6\x33\x64\x01\xAB\xCD\x20\xFB",
    ];
    for (n, header) in (1..).zip(headers) {
        rig.connect.address = balance(direct, header).await;
        let (mut client, _) = rig.login(n).await;
        client.send(&Request::Quit, b"").await.expect("a quit");
        rig.home.command().await;
    }
    let connect = Connect { address: direct, ..rig.connect.clone() };
    let (uid, secret) = (Uid([3; 20]).to_string(), NodeSecret([3; 25]).reveal());
    let refused = soon("a refusal", Client::login(&connect, &uid, &secret)).await;
    assert!(refused.is_err());
    rig.abort().await;
}
