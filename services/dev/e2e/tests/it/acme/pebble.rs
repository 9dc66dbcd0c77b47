//! Pebble as a process of the test, and a name server that tells it where domains lead.

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tmtp_e2e::WAIT;
use tmtp_testkit::{eventually, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// The variable that says where the program is; `deploy/local/test` sets it.
const VARIABLE: &str = "POSTERN_TEST_PEBBLE";

/// An authority that is not there yet, but whose address is known.
pub struct Prepared {
    program: String,
    folder: TempDir,
    port: u16,
    management_port: u16,
}

/// A running authority. Ended with the value.
pub struct Pebble {
    process: Child,
    prepared: Prepared,
    names: Names,
    passed: bool,
}

/// The names that lead to the gateways.
type Names = Arc<Mutex<HashSet<String>>>;

impl Pebble {
    /// Chooses ports, and makes the certificate that the authority itself shows.
    pub fn prepare() -> Result<Prepared> {
        let program = std::env::var(VARIABLE).with_context(|| {
            format!(
                "{VARIABLE} is not set: run the tests with ./deploy/local/test, or set it to the path of Pebble \
                 (go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1)"
            )
        })?;
        let folder = tempfile::Builder::new().prefix("postern-pebble-").tempdir()?;
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()])?;
        fs::write(folder.path().join("cert.pem"), cert.pem())?;
        fs::write(folder.path().join("key.pem"), signing_key.serialize_pem())?;
        Ok(Prepared { program, folder, port: free_port(), management_port: free_port() })
    }

    /// Has this name lead to the gateways, too.
    pub fn lead_to_gateways(&self, name: &str) {
        self.names.lock().expect("nobody panics with it").insert(name.to_owned());
    }

    /// Ends a test that went well: otherwise the log is shown.
    pub fn passed(mut self) {
        self.passed = true;
    }

    /// What its certificates lead to.
    pub async fn roots(&self) -> Result<RootCertStore> {
        let answer = eventually(WAIT, "Pebble's root", async || self.get("/roots/0").await.ok()).await?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(answer.as_bytes()).context("Pebble's root")?)?;
        Ok(roots)
    }

    /// Asks its management port, which has the same certificate.
    async fn get(&self, path: &str) -> Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.prepared.folder.path().join("cert.pem"))?)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.prepared.management_port)).await?;
        let name = ServerName::try_from("localhost")?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer.contains(" 200 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        Ok(body.to_owned())
    }
}

impl Prepared {
    /// Its ACME directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The certificate to check it against.
    pub fn root_path(&self) -> Result<String> {
        let path = self.folder.path().join("cert.pem");
        path.to_str().map(ToOwned::to_owned).context("the folder's name is not UTF-8")
    }

    /// Starts it: it will look at this port of the machine, for these names.
    pub async fn start(self, gateway_port: u16, names: &[&str]) -> Result<Pebble> {
        let names: Names = Arc::new(Mutex::new(names.iter().map(|&name| name.to_owned()).collect()));
        let resolver = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let resolver_address = resolver.local_addr()?;
        tokio::spawn(answer_names(resolver, Arc::clone(&names)));
        let folder = self.folder.path();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management_port),
            "certificate": folder.join("cert.pem"),
            "privateKey": folder.join("key.pem"),
            "httpPort": 1,
            "tlsPort": gateway_port,
            "keyAlgorithm": "ecdsa",
            "retryAfter": { "authz": 1, "order": 1 },
            "profiles": { "default": { "description": "Three months", "validityPeriod": 7_776_000 } },
        }});
        fs::write(folder.join("config.json"), config.to_string())?;
        let process = Command::new(&self.program)
            .arg("-config")
            .arg(folder.join("config.json"))
            .arg("-dnsserver")
            .arg(resolver_address.to_string())
            // Else it waits up to 15 seconds before it looks, to be like the real one.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.join("log"))?)
            .stderr(fs::File::create(folder.join("errors"))?)
            .spawn()
            .with_context(|| format!("run {}", self.program))?;
        Ok(Pebble { process, prepared: self, names, passed: false })
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !self.passed {
            let log = fs::read_to_string(self.prepared.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- Pebble\n{log}");
        }
    }
}

/// Answers that each of the names is this machine, and that others are not there. Pebble asks over TCP, where the length
/// stands before each message.
async fn answer_names(listener: TcpListener, names: Names) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let names = Arc::clone(&names);
        tokio::spawn(async move {
            while let Ok(len) = stream.read_u16().await {
                let mut query = vec![0; usize::from(len)];
                if stream.read_exact(&mut query).await.is_err() {
                    return;
                }
                let Some(answer) = answer(&query, &names) else { return };
                let len = u16::try_from(answer.len()).unwrap_or_default();
                let framed = [&len.to_be_bytes()[..], &answer].concat();
                if stream.write_all(&framed).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The answer to a question (RFC 1035, section 4): twelve octets of header, then labels, type and class.
fn answer(query: &[u8], names: &Names) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + len)?).to_ascii_lowercase());
        at += len;
    }
    let question = query.get(12..at + 4)?;
    let is_known = names.lock().expect("nobody panics with it").contains(&labels.join("."));
    let is_address = query.get(at..at + 2)? == [0, 1];
    let found = u8::from(is_known && is_address);
    // An answer, recursion asked for and available; no such name, or no error.
    let mut answer =
        vec![query[0], query[1], 0x81, if is_known { 0x80 } else { 0x83 }, 0, 1, 0, found, 0, 0, 0, 0];
    answer.extend(question);
    if found == 1 {
        // The name of the question, type A, class IN, a second, four octets.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(Ipv4Addr::LOCALHOST.octets());
    }
    Some(answer)
}
