//! Traces: export as OTLP over HTTP, and the W3C `traceparent` text that carries a trace across a bus.
//!
//! Everything here costs next to nothing and does nothing until an exporter is installed. A `traceparent`
//! that came from outside must never cause an error: one that cannot be read is ignored.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{
    Context,
    trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
    },
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer as _, filter::Targets};

use crate::{config::Tracing, logs::BoxedLayer};

/// How long the exit waits for the last spans to reach the collector.
const FLUSH_WAIT: Duration = Duration::from_secs(3);

/// Spans of our crates only: those of the exporter's own HTTP client would beget themselves without end.
const TARGET: &str = "tmtp";

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Whether an exporter is installed in this process.
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// The current span as a W3C `traceparent`, to travel with a command or an event. `None` without an exporter
/// or outside of a traced span.
pub fn current_traceparent() -> Option<String> {
    if !enabled() {
        return None;
    }
    let context = Span::current().context();
    let span = context.span();
    let here = span.span_context();
    here.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", here.trace_id(), here.span_id(), here.trace_flags().to_u8()))
}

/// Links `span` to the span that sent `traceparent`: for work that serves several senders at once.
pub fn link_from(span: &Span, traceparent: &str) {
    if enabled()
        && let Some(sender) = parse(traceparent)
    {
        span.add_link(sender);
    }
}

/// Makes `span` a child of the span that sent `traceparent`. Call it before the span is first entered.
pub fn set_parent(span: &Span, traceparent: &str) {
    if enabled()
        && let Some(sender) = parse(traceparent)
    {
        // Fails only if the span is filtered out or has begun: then the trace is cut, which harms nobody.
        let _ = span.set_parent(Context::new().with_remote_span_context(sender));
    }
}

/// Reads `version-trace-span-flags`. Later versions may append fields, which are ignored.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut fields = traceparent.split('-');
    let version = hex(fields.next()?, 2)?;
    let trace = TraceId::from_hex(hex(fields.next()?, 32)?).ok()?;
    let span = SpanId::from_hex(hex(fields.next()?, 16)?).ok()?;
    let flags = u8::from_str_radix(hex(fields.next()?, 2)?, 16).ok()?;
    let too_long = version == "00" && fields.next().is_some();
    let sender = SpanContext::new(trace, span, TraceFlags::new(flags), true, TraceState::default());
    (version != "ff" && !too_long && sender.is_valid()).then_some(sender)
}

/// The field itself, if it is exactly `digits` lower-case hex digits.
fn hex(field: &str, digits: usize) -> Option<&str> {
    let right = field.len() == digits && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    right.then_some(field)
}

/// The running exporter. [`Exporter::flush`] must be called before the process exits.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Starts the exporter, if an endpoint is configured. Must not be called inside of an async runtime: its
    /// HTTP client blocks, on a thread of its own.
    pub(crate) fn start(service: &'static str, tracing: &Tracing) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &tracing.otlp_endpoint else { return Ok(None) };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(tracing.sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_service_name(service).build())
            .build();
        ENABLED.store(true, Ordering::Relaxed);
        Ok(Some(Self { provider }))
    }

    /// The layer that turns spans of this workspace into OTLP spans.
    pub(crate) fn layer(&self) -> BoxedLayer {
        let ours = Targets::new().with_target(TARGET, LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer(TARGET)).with_filter(ours).boxed()
    }

    /// Sends what is left, within a few seconds. A collector that is down costs spans, never the exit code.
    pub(crate) fn flush(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_WAIT) {
            tracing::warn!(%error, "last spans were not exported");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Takes one export request on a free port and hands back its bytes.
    fn collector() -> (String, thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let request = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
            while !is_whole(&seen) {
                let count = stream.read(&mut chunk).unwrap();
                assert_ne!(count, 0, "closed too early: {}", String::from_utf8_lossy(&seen));
                seen.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            seen
        });
        (endpoint, request)
    }

    /// Whether an HTTP request has come in up to the length that its head states.
    fn is_whole(request: &[u8]) -> bool {
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        request.len() >= end + 4 + length.parse::<usize>().unwrap()
    }

    /// Goal: a trace travels: parent in, child out, spans to the collector at exit. Method: export to a
    /// socket of the test's own and compare the texts.
    #[test]
    fn carries_a_trace() {
        let sender = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(Exporter::start("tmtp-test", &Tracing::default()).unwrap().map(drop), None);
        let (endpoint, request) = collector();
        let config = Tracing { otlp_endpoint: Some(endpoint), sample_ratio: 0.0 };
        let exporter = Exporter::start("tmtp-test", &config).unwrap().unwrap();
        assert!(enabled());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(exporter.layer()), || {
            assert_eq!(current_traceparent(), None, "outside of a span");
            let span = tracing::info_span!("test.serve");
            set_parent(&span, "junk");
            set_parent(&span, sender);
            link_from(&span, "00-11111111111111111111111111111111-2222222222222222-01");
            let child = span.in_scope(current_traceparent).unwrap();
            let (child, sender) = (parse(&child).unwrap(), parse(sender).unwrap());
            assert_eq!(child.trace_id(), sender.trace_id());
            assert_ne!(child.span_id(), sender.span_id());
            assert!(child.is_sampled(), "the sender's decision counts, not the ratio");
        });
        exporter.flush();
        let request = request.join().unwrap();
        let contains = |bytes: &[u8]| request.windows(bytes.len()).any(|window| window == bytes);
        assert!(contains(b"POST /v1/traces "), "{}", String::from_utf8_lossy(&request));
        assert!(contains(b"tmtp-test") && contains(&[0x11; 16]), "{}", String::from_utf8_lossy(&request));
    }

    /// Goal: only well-formed text becomes a context. Method: a table of texts and verdicts.
    #[test]
    fn parses_strictly() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parsed = parse(good).unwrap();
        assert_eq!(parsed.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(parsed.is_sampled() && parsed.is_remote());
        assert!(parse(&format!("01{}-more", &good[2..])).is_some(), "a later version may be longer");
        for bad in [
            "",
            "00",
            "junk-junk-junk-junk",
            &good.to_uppercase(),
            &format!("{good}-more"),
            &format!("ff{}", &good[2..]),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
