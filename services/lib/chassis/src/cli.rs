//! The command line that every program has, and the way from `main` to `serve` and back to an exit code.
//!
//! Exit codes: 0 after a clean stop, 1 after a failure, 2 for a wrong command line, 64 for a configuration
//! that cannot be used. This is the only place that reads the environment, and it must do so, and check the
//! whole configuration, before a port opens.

use std::{env, future::Future, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Config, Context, Life, config, logs, logs::LogFilter, monitor, run, trace};

/// Exit code for a configuration that cannot be used (`EX_USAGE` of sysexits).
pub const EXIT_CONFIG: u8 = 64;

/// Blocking calls that have not returned by now are left behind at exit.
const RUNTIME_STOP_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
struct Cli {
    /// Configuration file (TOML). The environment (`TMTP_SECTION__KEY`) overrides it.
    #[arg(long, global = true, env = "TMTP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT (the default).
    Run,
    /// Check the configuration and exit; 64 if it cannot be used.
    CheckConfig,
    /// Print the configuration in effect as TOML, without its secrets.
    PrintConfig,
    /// Print a commented configuration file that holds the defaults.
    SampleConfig,
    /// Print a reference of all settings, with their environment variables, as Markdown.
    ReferenceConfig,
}

/// The whole of a program's `main`: reads the command line and the configuration, starts logs, traces and the
/// runtime, and runs `serve` until it is asked to stop.
pub fn main<C, S, F>(name: &'static str, serve: S) -> ExitCode
where
    C: Config,
    S: FnOnce(Context<C>) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let command = Cli::command().name(name).version(env!("CARGO_PKG_VERSION")).about(None::<&str>);
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    let command = cli.command.unwrap_or(Command::Run);
    match command {
        Command::SampleConfig => return print(config::sample::<C>()),
        Command::ReferenceConfig => return print(config::reference::<C>(name)),
        Command::Run | Command::CheckConfig | Command::PrintConfig => {}
    }
    let config = match config::load::<C>(cli.config.as_deref(), variables()) {
        Ok(config) => config,
        Err(refused) => return explain(&refused),
    };
    match command {
        Command::PrintConfig => print(toml::to_string(&config)),
        Command::CheckConfig | Command::SampleConfig | Command::ReferenceConfig => ExitCode::SUCCESS,
        Command::Run => match start(name, config, serve) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
    }
}

/// The environment as text. A variable that is not text cannot be one of ours that is right; what is lost of
/// it shows up as a wrong value.
fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Prints to standard output, for a pipe or a file.
#[expect(clippy::print_stdout, reason = "this is what the command was asked for")]
fn print(text: Result<String, toml::ser::Error>) -> ExitCode {
    match text {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => explain(&config::Error { problems: vec![error.to_string()] }),
    }
}

/// Prints every problem to standard error: logs do not run yet, their settings may be what is wrong.
#[expect(clippy::print_stderr, reason = "logs do not run yet")]
fn explain(refused: &config::Error) -> ExitCode {
    for problem in &refused.problems {
        eprintln!("configuration: {problem}");
    }
    ExitCode::from(EXIT_CONFIG)
}

/// Starts everything around `serve` and takes it down again. The failure it returns is logged already.
#[expect(clippy::print_stderr, reason = "a failure to start the logs cannot be logged")]
fn start<C, S, F>(name: &'static str, config: C, serve: S) -> anyhow::Result<()>
where
    C: Config,
    S: FnOnce(Context<C>) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let process = config.process();
    // Both before the runtime: the exporter's blocking HTTP client must not be made inside of one.
    let exporter = trace::Exporter::start(name, process.tracing);
    let (exporter, filter) = exporter
        .and_then(|exporter| Ok((logs::install(process.log, exporter.as_ref())?, exporter)))
        .map(|(filter, exporter)| (exporter, filter))
        .inspect_err(|error| eprintln!("{name}: cannot start logs and traces: {error:#}"))?;
    let outcome = in_runtime(name, config, filter, serve);
    if let Some(exporter) = exporter {
        exporter.flush();
    }
    outcome
}

fn in_runtime<C, S, F>(name: &'static str, config: C, filter: LogFilter, serve: S) -> anyhow::Result<()>
where
    C: Config,
    S: FnOnce(Context<C>) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.process().runtime.threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().thread_name(name).build().context("start the runtime");
    let runtime = runtime.inspect_err(|error| tracing::error!("{error:#}"))?;
    let outcome = runtime.block_on(async {
        let cx = Context::new(config);
        surround(&cx, filter).await.inspect_err(|error| tracing::error!("{error:#}"))?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "{name} starts");
        run(cx, serve).await
    });
    tracing::info!(clean = outcome.is_ok(), "{name} ends");
    runtime.shutdown_timeout(RUNTIME_STOP_WAIT);
    outcome
}

/// Opens the monitor port and listens for signals.
async fn surround<C: Config>(cx: &Context<C>, filter: LogFilter) -> anyhow::Result<()> {
    obey_signals(cx.life.clone())?;
    let shown =
        monitor::Shown { registry: cx.registry.clone(), health: cx.health.clone(), log_filter: Some(filter) };
    monitor::start(cx.config.process().monitor, shown).await.map(drop)
}

/// The first SIGTERM or SIGINT asks to stop, the second tells.
fn obey_signals(life: Life) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::spawn(async move {
        for order in [Life::start_drain, Life::start_abort] {
            tokio::select! {
                _ = terminate.recv() => order(&life, "SIGTERM"),
                _ = interrupt.recv() => order(&life, "SIGINT"),
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};
    use tokio::time::timeout;

    use super::*;

    /// Goal: the first signal drains, the second aborts. Method: send this process one of each; while the
    /// test listens they kill nobody.
    #[tokio::test]
    async fn two_signals() {
        let life = Life::new();
        obey_signals(life.clone()).unwrap();
        let patience = Duration::from_secs(20);
        raise(Signal::SIGTERM).unwrap();
        timeout(patience, life.drain().cancelled()).await.unwrap();
        assert!(!life.abort().is_cancelled());
        raise(Signal::SIGINT).unwrap();
        timeout(patience, life.abort().cancelled()).await.unwrap();
    }
}
