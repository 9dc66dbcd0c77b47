//! A real browser without a window, driven over WebDriver as a person would use it.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;
use tmtp_e2e::WAIT;
use tmtp_testkit::{eventually, free_port};

/// The variable that says where ChromeDriver is; `deploy/local/test` sets it.
const VARIABLE: &str = "POSTERN_TEST_CHROMEDRIVER";

/// A browser with one window. Ended with the value, with all of its processes.
pub struct Browser {
    client: Client,
    driver: Child,
    profile: TempDir,
}

impl Browser {
    /// Starts it, with a profile of its own.
    pub async fn start() -> Result<Self> {
        let program = std::env::var(VARIABLE).with_context(|| {
            format!(
                "{VARIABLE} is not set: run the tests with ./deploy/local/test, or set it to the path of ChromeDriver \
                 (apt-get install chromium-driver)"
            )
        })?;
        let profile = tempfile::Builder::new().prefix("postern-browser-").tempdir()?;
        let port = free_port();
        // A group of its own, so that whatever it starts can be ended with it.
        let driver = Command::new(&program)
            .arg(format!("--port={port}"))
            .current_dir(profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let options = json!({
            "args": [
                "--headless=new",
                // Its sandbox does not work for root, who runs tests in containers.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                format!("--user-data-dir={}", profile.path().join("profile").display()),
            ],
        });
        let capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let address = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let connect = async || builder.connect(&address).await.ok();
        let client = eventually(WAIT, "the browser", connect).await?;
        Ok(Self { client, driver, profile })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// What is there is gone with the browser.
    pub(super) fn folder(&self) -> &Path {
        self.profile.path()
    }

    /// Opens an address, as a link does.
    pub async fn open(&self, address: &str) -> Result<()> {
        self.client.goto(address).await.with_context(|| format!("open {address}"))
    }

    /// What a person sees.
    pub async fn text(&self) -> Result<String> {
        Ok(self.client.find(Locator::Css("body")).await?.text().await?)
    }

    /// What stands in the field for the code.
    pub async fn code(&self) -> Result<String> {
        let field = self.client.find(Locator::Css("input[name=invite_code]")).await?;
        Ok(field.prop("value").await?.unwrap_or_default())
    }

    /// Types a code instead of what stands there, and presses the button.
    pub async fn submit(&self, code: &str) -> Result<()> {
        let field = self.client.find(Locator::Css("input[name=invite_code]")).await?;
        field.clear().await?;
        field.send_keys(code).await?;
        self.press().await
    }

    /// Presses the button.
    pub async fn press(&self) -> Result<()> {
        self.client.find(Locator::Css("button[type=submit]")).await?.click().await.context("press the button")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.driver.id()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        let _ = self.driver.wait();
    }
}
