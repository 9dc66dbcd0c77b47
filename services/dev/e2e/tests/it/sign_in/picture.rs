//! Pictures of pages, as a desktop and a phone show them, for people to look at.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::{ParseError, Url};

use super::browser::Browser;

/// The variable that says where pictures are kept. Without it they go with the test's temporary folder.
const VARIABLE: &str = "POSTERN_TEST_PICTURES";
/// Name, width and height (in the units of style sheets), dots for each, and whether it behaves like a phone.
const SCREENS: [(&str, u32, u32, u32, bool); 2] =
    [("desktop", 1280, 800, 1, false), ("phone", 390, 844, 2, true)];

/// A command of the browser's own protocol, which knows screens that no window can have.
#[derive(Debug)]
struct Own {
    name: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base_url: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(json!({ "cmd": self.name, "params": self.params }).to_string()))
    }
}

impl Browser {
    /// Keeps pictures of the whole page that is open, `NAME-desktop.png` and `NAME-phone.png`. The page has to fit the
    /// screen: nobody should have to move it to the side to read it.
    pub async fn picture(&self, name: &str) -> Result<()> {
        let folder = std::env::var_os(VARIABLE).map_or_else(|| self.folder().to_owned(), PathBuf::from);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        // A page that is longer than the screen has one, which is not part of the picture.
        self.own("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await?;
        for (screen, width, height, dots, is_phone) in SCREENS {
            let metrics =
                json!({ "width": width, "height": height, "deviceScaleFactor": dots, "mobile": is_phone });
            self.own("Emulation.setDeviceMetricsOverride", metrics).await?;
            let needed = "return document.documentElement.scrollWidth";
            let needed = self.client().execute(needed, Vec::new()).await?.as_u64().context("a width")?;
            ensure!(needed <= width.into(), "{name} is {needed} wide on a {screen} of {width}");
            let shot = json!({ "format": "png", "captureBeyondViewport": true });
            let shot = self.own("Page.captureScreenshot", shot).await?;
            let png = BASE64.decode(shot["data"].as_str().context("no picture")?.as_bytes())?;
            // Behind the signature, a length and a word a PNG says how wide it is.
            let wide = png.get(16..20).and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes);
            ensure!(wide == Some(width * dots), "the picture of {name} is {wide:?} wide");
            let path = folder.join(format!("{name}-{screen}.png"));
            fs::write(&path, png).with_context(|| format!("write {}", path.display()))?;
        }
        self.own("Emulation.clearDeviceMetricsOverride", json!({})).await?;
        self.own("Emulation.setScrollbarsHidden", json!({ "hidden": false })).await?;
        Ok(())
    }

    async fn own(&self, name: &'static str, params: Value) -> Result<Value> {
        self.client().issue_cmd(Own { name, params }).await.with_context(|| name.to_owned())
    }
}
