//! Logs: human or JSON lines on standard error, with a filter that can change while the process runs.
//!
//! Nothing here may fail after start-up: a bad new filter is refused and the old one stays.

use std::{io, panic};

use tracing_subscriber::{
    Layer, Registry, filter, filter::Targets, fmt, fmt::MakeWriter, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{Log, LogFormat},
    trace,
};

/// A layer on top of the plain registry, of whatever kind.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Why a log filter was refused.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The text is not a list of directives.
    #[error("not a log filter: {0}")]
    Parse(#[from] filter::ParseError),
    /// The process is ending and its logs are gone already.
    #[error("logs are not running")]
    Gone,
}

/// Changes what is logged while the process runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogFilter {
    handle: reload::Handle<Targets, Registry>,
}

impl LogFilter {
    /// Replaces the filter. On failure the old one stays.
    pub fn set(&self, text: &str) -> Result<(), FilterError> {
        let filter = parse_filter(text)?;
        self.handle.reload(filter).map_err(|_| FilterError::Gone)?;
        tracing::info!(filter = text, "log filter changed");
        Ok(())
    }

    /// The filter in use, as text that [`LogFilter::set`] takes.
    pub fn get(&self) -> Result<String, FilterError> {
        self.handle.with_current(ToString::to_string).map_err(|_| FilterError::Gone)
    }
}

/// Parses comma separated directives, each `level`, `target` or `target=level`.
pub fn parse_filter(text: &str) -> Result<Targets, filter::ParseError> {
    text.parse()
}

/// Starts logs, and traces if `exporter` is there, for the whole process. Call once, before any thread runs.
pub(crate) fn install(log: &Log, exporter: Option<&trace::Exporter>) -> anyhow::Result<LogFilter> {
    let (lines, filter) = layer(log, io::stderr)?;
    let mut layers = vec![lines];
    layers.extend(exporter.map(trace::Exporter::layer));
    tracing_subscriber::registry().with(layers).try_init()?;
    log_panics();
    Ok(filter)
}

/// The layer that writes lines, and the handle on its filter.
fn layer<W>(log: &Log, writer: W) -> Result<(BoxedLayer, LogFilter), FilterError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse_filter(&log.filter)?);
    let lines = fmt::layer().with_writer(writer);
    let lines = match log.format {
        LogFormat::Human => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    Ok((lines, LogFilter { handle }))
}

/// What the log line of a panic says, in every format; who looks through a log for bugs looks for this.
pub const PANIC: &str = "panic: a bug";

/// Makes a panic a log line like any other, so that a log reader which expects JSON sees it too.
fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("no message");
        tracing::error!(location, message_text = message, "{PANIC}");
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Goal: the filter changes while running, and a bad one changes nothing. Method: log a debug line under
    /// three filters and look at what was written.
    #[test]
    fn reloads() {
        let lines = Lines::default();
        let log = Log { format: LogFormat::Json, filter: "info".to_owned() };
        let writer = lines.clone();
        let (layer, filter) = layer(&log, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let speak = || tracing::debug!(answer = 42, "detail");
            speak();
            assert_eq!(lines.take(), "");
            filter.set("debug").unwrap();
            lines.take();
            speak();
            let line: serde_json::Value = serde_json::from_str(&lines.take()).unwrap();
            assert_eq!((line["message"].as_str(), line["answer"].as_i64()), (Some("detail"), Some(42)));
            assert!(filter.set("tmtp=loudest").is_err());
            assert_eq!(filter.get().unwrap(), "debug");
            filter.set("warn").unwrap();
            lines.take();
            speak();
            assert_eq!(lines.take(), "");
        });
    }

    /// Goal: a panic is found in the log, whatever its format. Method: panic under the hook, in both formats, and look for
    /// the text that others look for.
    #[test]
    fn panics_are_lines() {
        for format in [LogFormat::Human, LogFormat::Json] {
            let lines = Lines::default();
            let writer = lines.clone();
            let log = Log { format, filter: "info".to_owned() };
            let (layer, _) = layer(&log, move || writer.clone()).unwrap();
            let before = panic::take_hook();
            log_panics();
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
                panic::catch_unwind(|| panic!("the wheel is stuck")).unwrap_err();
            });
            panic::set_hook(before);
            let line = lines.take();
            assert!(line.contains(PANIC) && line.contains("the wheel is stuck"), "{line}");
            assert!(line.contains("logs.rs"), "{line}");
        }
    }

    /// Goal: human lines carry no terminal codes. Method: write one and look for the escape character.
    #[test]
    fn human_lines_are_plain() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (layer, _) = layer(&Log::default(), move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(port = 1, "listening");
        });
        let line = lines.take();
        assert!(line.contains("listening port=1") && !line.contains('\u{1b}'), "{line}");
    }
}
