//! Calling the admin API. The key comes from a file or the environment, because others can read command lines; it must
//! never be printed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::{Context as _, anyhow, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::table::{self, Column};
use crate::text::printable;

/// A request that takes longer has failed; the API gives up before that.
const ANSWER_WAIT: Duration = Duration::from_mins(1);
/// A job that takes longer is not waited for.
const JOB_WAIT: Duration = Duration::from_mins(10);
/// How often is looked whether a job has ended.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Entries of a page.
const PAGE: &str = "200";

/// Where the API is, and the key to it.
#[derive(clap::Args)]
pub(crate) struct Access {
    /// Where the admin API is, as in http://127.0.0.1:7700
    #[arg(long, env = "ADMIN_URL", value_name = "URL")]
    api: Option<String>,
    /// A file with the API key; without it the key is taken from the environment
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[arg(long, env = "ADMIN_TOKEN", hide = true, hide_env_values = true)]
    token: Option<String>,
    /// A file of NAME=VALUE lines that has ADMIN_URL and OPERATOR_TOKEN, such as .local/cluster.env
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Print the API's answer as it is
    #[arg(long)]
    pub(crate) json: bool,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(…)")
    }
}

/// The API, as one key sees it.
pub(crate) struct Api {
    client: Client,
    base: String,
    token: String,
}

impl Access {
    /// Finds out where the API is and what the key is; does not connect.
    pub(crate) fn open(&self) -> anyhow::Result<Api> {
        let file = self.env_file.as_ref().map(read_env).transpose()?.unwrap_or_default();
        let base = self.api.clone().or_else(|| file.get("ADMIN_URL").cloned());
        let base = base.context("say where the admin API is: --api URL, ADMIN_URL, or --env-file")?;
        let token = match &self.token_file {
            Some(path) => Some(
                fs::read_to_string(path)
                    .with_context(|| format!("read the key from {}", path.display()))?
                    .trim()
                    .to_owned(),
            ),
            None => file.get("OPERATOR_TOKEN").cloned().or_else(|| self.token.clone()),
        };
        let token = token.context("give an API key: --token-file FILE, ADMIN_TOKEN, or --env-file")?;
        let client = Client::builder().timeout(ANSWER_WAIT).build().context("prepare for HTTP")?;
        Ok(Api { client, base: base.trim_end_matches('/').to_owned(), token })
    }
}

impl Access {
    /// Prints entries: a table, or as they are.
    pub(crate) fn show_all(&self, columns: &[Column], entries: Vec<Value>) {
        if self.json {
            println!("{}", Value::Array(entries));
        } else {
            table::print(columns, &entries);
        }
    }

    /// Prints one thing: a line for each field, or as it is.
    pub(crate) fn show_one(&self, answer: &Value) {
        if self.json {
            println!("{answer}");
        } else {
            table::print_one(answer);
        }
    }
}

/// All but what RFC 3986 calls unreserved: it may have a meaning in a path.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as a part of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The lines `NAME=VALUE` of a file.
fn read_env(path: &PathBuf) -> anyhow::Result<HashMap<String, String>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}

impl Api {
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.send(Method::GET, path, query, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Posts a text of another kind than JSON, or one that is JSON already.
    pub(crate) async fn post_text(
        &self,
        path: &str,
        kind: &'static str,
        text: Vec<u8>,
    ) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path).header("Content-Type", kind).body(text);
        self.finish(request).await
    }

    /// Waits for a job to end, and gives its result.
    pub(crate) async fn wait(&self, job: &Value) -> anyhow::Result<Value> {
        let id = job["id"].as_str().context("the API showed no job")?;
        let give_up_at = Instant::now() + JOB_WAIT;
        loop {
            let mut job = self.get(&format!("/v1/jobs/{id}"), &[]).await?;
            match job["state"].as_str() {
                Some("done") => return Ok(job["result"].take()),
                Some("queued" | "running") if Instant::now() < give_up_at => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Some("queued" | "running") => bail!("the job {id} is not done yet; look at it later"),
                _ => bail!(
                    "the job {id} has failed: {}",
                    job["error"].as_str().map_or_else(String::new, printable)
                ),
            }
        }
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, &[], Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// The entries of a list, over all its pages, up to `most`.
    pub(crate) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        most: usize,
    ) -> anyhow::Result<Vec<Value>> {
        let mut entries = Vec::new();
        let mut query: Vec<(&str, String)> = query.to_vec();
        query.push(("limit", PAGE.to_owned()));
        loop {
            let mut page = self.get(path, &query).await?;
            let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) else {
                bail!("the API did not answer with a list")
            };
            entries.extend(data);
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            if entries.len() >= most {
                break;
            }
            query = vec![("cursor", cursor.to_owned()), ("limit", PAGE.to_owned())];
        }
        entries.truncate(most);
        Ok(entries)
    }

    /// Sends a request. A POST carries a key by which it is known when it comes twice.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.request(method, path).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.finish(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let is_post = method == Method::POST;
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if is_post { request.header("Idempotency-Key", Uuid::new_v4().to_string()) } else { request }
    }

    async fn finish(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = request
            .send()
            .await
            .with_context(|| format!("cannot reach the admin API at {}; does it run?", self.base))?;
        let status = answer.status();
        let text = answer.text().await.context("read the API's answer")?;
        if status.is_success() {
            if text.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_str(&text).context("read the API's answer");
        }
        Err(problem(status, &text))
    }
}

/// What the API says is wrong, in one line.
fn problem(status: StatusCode, text: &str) -> anyhow::Error {
    let body: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({}));
    let part = |name: &str| body[name].as_str().map(printable);
    let mut line = part("title").unwrap_or_else(|| format!("the API answered {status}"));
    if let Some(detail) = part("detail") {
        line = format!("{line} {detail}");
    }
    if let Some(param) = part("param") {
        line = format!("{param}: {line}");
    }
    let code = part("code").unwrap_or_else(|| status.as_u16().to_string());
    let request = part("request_id").map(|id| format!(", request {id}")).unwrap_or_default();
    anyhow!("{line} ({code}{request})")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a person reads what is wrong and where, and can name the request; method: a full problem, and an answer
    /// that is none, as a proxy gives it.
    #[test]
    fn problems_in_words() {
        let text = r#"{"type":"about:blank","status":422,"code":"invalid","title":"Not valid.",
            "detail":"give a name","param":"name","request_id":"req_1"}"#;
        let line = problem(StatusCode::UNPROCESSABLE_ENTITY, text).to_string();
        assert_eq!(line, "name: Not valid. give a name (invalid, request req_1)");
        let line = problem(StatusCode::BAD_GATEWAY, "<html>").to_string();
        assert_eq!(line, "the API answered 502 Bad Gateway (502)");
    }
}
