//! A collector of traces: takes OTLP over HTTP as our programs send it (protobuf) and keeps which service has reported
//! spans of which trace. It must never understand more of it than that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Field numbers of the OTLP messages on the way from a request to its traces.
mod field {
    /// ExportTraceServiceRequest.resource_spans
    pub const RESOURCE_SPANS: u64 = 1;
    /// ResourceSpans.resource
    pub const RESOURCE: u64 = 1;
    /// ResourceSpans.scope_spans
    pub const SCOPE_SPANS: u64 = 2;
    /// ScopeSpans.spans
    pub const SPANS: u64 = 2;
    /// Span.trace_id
    pub const TRACE_ID: u64 = 1;
    /// Span.name
    pub const NAME: u64 = 5;
    /// Resource.attributes
    pub const ATTRIBUTES: u64 = 1;
    /// KeyValue.key
    pub const KEY: u64 = 1;
    /// KeyValue.value
    pub const VALUE: u64 = 2;
    /// AnyValue.string_value
    pub const STRING: u64 = 1;
}

/// A span as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Of which trace.
    pub trace: Vec<u8>,
    /// By which program.
    pub service: String,
    /// Its name.
    pub name: String,
}

/// The running collector.
#[derive(Clone)]
pub struct Collector {
    seen: Arc<Mutex<BTreeSet<Seen>>>,
    endpoint: String,
}

impl Collector {
    /// Listens on a free port, as long as the runtime lives.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("open the collector's port")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let collector = Self { seen: Arc::default(), endpoint };
        let this = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                // A connection that breaks off has nothing more to tell.
                tokio::spawn(async move { this.serve(stream).await });
            }
        });
        Ok(collector)
    }

    /// For `tracing.otlp_endpoint`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What has been reported so far.
    pub fn seen(&self) -> BTreeSet<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes requests until the client closes.
    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut input = Vec::new();
        loop {
            let Some((head, body)) = whole_request(&input) else {
                if stream.read_buf(&mut input).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let spans = spans(&input[head..head + body]);
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
            input.drain(..head + body);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
    }
}

/// Lengths of head and body, when all of a request is there.
fn whole_request(input: &[u8]) -> Option<(usize, usize)> {
    let head = input.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&input[..head]).to_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())?;
    (input.len() >= head + body).then_some((head, body))
}

/// All spans of an export request.
fn spans(request: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for resource_spans in parts(request, field::RESOURCE_SPANS) {
        let service = parts(resource_spans, field::RESOURCE).find_map(service_name).unwrap_or_default();
        for scope in parts(resource_spans, field::SCOPE_SPANS) {
            seen.extend(parts(scope, field::SPANS).map(|span| Seen {
                trace: parts(span, field::TRACE_ID).next().unwrap_or_default().to_vec(),
                service: service.clone(),
                name: text(parts(span, field::NAME).next()),
            }));
        }
    }
    seen
}

fn service_name(resource: &[u8]) -> Option<String> {
    let mut attributes = parts(resource, field::ATTRIBUTES);
    let attribute =
        attributes.find(|attribute| parts(attribute, field::KEY).next() == Some(b"service.name"))?;
    let value = parts(attribute, field::VALUE).next()?;
    Some(text(parts(value, field::STRING).next()))
}

fn text(octets: Option<&[u8]>) -> String {
    String::from_utf8_lossy(octets.unwrap_or_default()).into_owned()
}

/// The length-delimited fields of this number in a protobuf message. Ends early in what is none.
fn parts(mut message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while !message.is_empty() {
            let key = varint(&mut message)?;
            let len = match key & 7 {
                0 => {
                    varint(&mut message)?;
                    0
                }
                1 => 8,
                2 => usize::try_from(varint(&mut message)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let part = message.split_off(..len)?;
            if key == number << 3 | 2 {
                return Some(part);
            }
        }
        None
    })
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let octet = *message.split_off_first()?;
        value |= u64::from(octet & 0x7f) << shift;
        if octet < 0x80 {
            return Some(value);
        }
    }
    None
}
