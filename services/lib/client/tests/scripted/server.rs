//! A TLS server that plays one link from a script: what it wants to read, what it says. It must never do anything that
//! the script does not say, and it fails, with what it saw, when the client departs from it.

use std::{future::Future, net::Ipv4Addr, sync::Arc, time::Duration};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tmtp_client::{Connect, Trust};
use tmtp_wire::{Decoder, Item, Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Nothing here takes long; what does is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server's side of the one link.
pub struct Peer {
    stream: TlsStream<TcpStream>,
    decoder: Decoder<Request>,
    input: Vec<u8>,
}

/// A server that has been started, and what a client needs to know of it.
pub struct Server {
    /// By bare address, trusting anybody.
    pub connect: Connect,
    /// By name, trusting only this server's certificate.
    pub connect_by_name: Connect,
    script: JoinHandle<()>,
}

impl Server {
    /// Starts a server for one link, which `script` plays.
    pub async fn start<F>(script: impl FnOnce(Peer) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["site.example".to_owned()]).expect("certificate");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let acceptor = acceptor(cert.der().clone(), signing_key.serialize_der());
        let script = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.expect("accept");
            // A client that does not trust us leaves here, which is for the client's test to judge.
            if let Ok(stream) = acceptor.accept(tcp).await {
                script(Peer { stream, decoder: Decoder::new(), input: Vec::new() }).await;
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("root");
        let connect_by_name =
            Connect { address, server_name: Some("site.example".to_owned()), trust: Trust::Roots(roots) };
        Self { connect: Connect::local(address), connect_by_name, script }
    }

    /// Waits until the script has been played to its end.
    pub async fn done(self) {
        timeout(PATIENCE, self.script).await.expect("script in time").expect("script");
    }
}

fn acceptor(cert: CertificateDer<'static>, key: Vec<u8>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], PrivatePkcs8KeyDer::from(key).into())
        .expect("certificate and key");
    TlsAcceptor::from(Arc::new(config))
}

impl Peer {
    /// The host name that the client asked for.
    pub fn sni(&self) -> Option<String> {
        self.stream.get_ref().1.server_name().map(str::to_owned)
    }

    /// Reads one request with its data.
    pub async fn request(&mut self) -> (Request, Vec<u8>) {
        let (mut request, mut data) = (None, Vec::new());
        loop {
            let mut input = &self.input[..];
            let mut complete = false;
            while let Some(item) = self.decoder.next(&mut input).expect("TMTP") {
                match item {
                    Item::Header { header, .. } => request = Some(header),
                    Item::Data(piece) => data.extend_from_slice(piece),
                    Item::End => {
                        complete = true;
                        break;
                    }
                }
            }
            let decoded = self.input.len() - input.len();
            self.input.drain(..decoded);
            if complete {
                return (request.expect("a header comes first"), data);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
            assert_ne!(read.expect("request in time").expect("read"), 0, "the client has left");
        }
    }

    /// Reads the rest of what the client sends, until it closes the link.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.input);
        timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("end in time").expect("clean end");
        rest
    }

    /// Sends one frame.
    pub async fn say(&mut self, response: Response<'_>, data: &[u8]) {
        let mut octets = Vec::new();
        response.encode(&mut octets).expect("fits");
        octets.extend_from_slice(data);
        self.say_raw(&octets).await;
    }

    /// Sends octets as they are.
    pub async fn say_raw(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.expect("write");
        self.stream.flush().await.expect("flush");
    }

    /// Answers TmtpRev.
    pub async fn greet(&mut self) {
        assert_eq!(self.request().await.0, Request::TmtpRev { id: "1".to_owned() });
        self.say(Response::TmtpRev { name: "Test".into(), auth: None, auth_by: None }, &[]).await;
    }

    /// Says why, and closes properly.
    pub async fn quit(mut self, error: &str) {
        self.say(Response::Quit { error: error.into() }, &[]).await;
        self.stream.shutdown().await.expect("close");
        // Waits for the client to leave first, so that no reset can destroy what was said.
        let mut rest = Vec::new();
        drop(timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("end in time"));
    }

    /// Closes properly, without a word.
    pub async fn close(mut self) {
        self.stream.shutdown().await.expect("close");
    }

    /// Closes the socket behind TLS's back.
    pub async fn cut(mut self) {
        self.stream.get_mut().0.shutdown().await.expect("shutdown");
    }
}
