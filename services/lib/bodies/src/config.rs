//! Where bodies are stored. Plain structs: how they are read is the chassis' business.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// Smaller chunks cost more in rows and requests than they save in memory.
const CHUNK_MIN: u32 = 4 << 10;
/// Each upload and each delivery holds a chunk or two in memory.
const CHUNK_MAX: u32 = 16 << 20;

/// The body store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `postgres` or `s3`: where bodies above the inline limit go. Those stored elsewhere before are not found.
    pub kind: Kind,
    /// Used when `kind` is `postgres`.
    pub postgres: Postgres,
    /// Used when `kind` is `s3`.
    pub s3: S3,
}

/// Which back end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The deployment's database.
    #[default]
    Postgres,
    /// An S3-compatible object store.
    S3,
}

/// Bodies in Postgres.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// Required. `postgres://user:password@host:port/database`; or set `url_file` to a file that holds it. TLS is asked for
    /// in it, by `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
    pub url: Secret,
    /// Connections that this process opens for bodies at most.
    pub connections_max: u32,
    /// Octets per chunk of new bodies. Larger chunks read slower.
    pub chunk_octets: u32,
    /// Whether the server confirms a chunk only once it is on disk. May be `false` only where `url` names the very
    /// server that the workers' `postgres.url` names: there the commit of a message flushes the chunks of its body,
    /// which come before it in the same log. On any other server a crash would lose bodies of messages that were acked.
    pub flush: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: Secret::default(), connections_max: 4, chunk_octets: 64 << 10, flush: true }
    }
}

/// Bodies in an S3-compatible object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// `https://host:port`; empty for AWS itself in `region`. Buckets are addressed by path.
    pub endpoint: String,
    /// The region; most other stores ignore it.
    pub region: String,
    /// Required. It must exist.
    pub bucket: String,
    /// Objects are `<prefix>/<site>/<body>/<chunk>`; nothing else may use the prefix.
    pub prefix: String,
    /// Empty to use the platform's own credentials (environment, web identity, instance metadata).
    pub access_key: String,
    /// Required with `access_key`; or set `secret_key_file` to a file that holds it.
    pub secret_key: Secret,
    /// Allows an endpoint without TLS; for tests and trusted networks only.
    pub allow_http: bool,
    /// Octets per chunk of new bodies; each is an object of its own.
    pub chunk_octets: u32,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            prefix: "bodies".to_owned(),
            access_key: String::new(),
            secret_key: Secret::default(),
            allow_http: false,
            chunk_octets: 1 << 20,
        }
    }
}

impl Config {
    /// What is wrong, one sentence per problem, each naming its key below `section`. Never quotes a secret.
    pub fn problems(&self, section: &str) -> Vec<String> {
        let found = match self.kind {
            Kind::Postgres => self.postgres.problems(),
            Kind::S3 => self.s3.problems(),
        };
        found.into_iter().map(|problem| format!("{section}.{problem}")).collect()
    }
}

impl Postgres {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.url.is_set() {
            problems.push("postgres.url is required (or postgres.url_file)".to_owned());
        } else if !["postgres://", "postgresql://"].iter().any(|scheme| self.url.expose().starts_with(scheme))
        {
            problems.push("postgres.url must start with postgres:// or postgresql://".to_owned());
        }
        if self.connections_max == 0 {
            problems.push("postgres.connections_max must be at least 1".to_owned());
        }
        problems.extend(chunk_problem("postgres", self.chunk_octets));
        problems
    }
}

impl S3 {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.bucket.is_empty() {
            problems.push("s3.bucket is required".to_owned());
        }
        if self.prefix.is_empty()
            || self.prefix.split('/').any(|part| part.is_empty() || part == "." || part == "..")
        {
            problems.push("s3.prefix must be a path without empty parts".to_owned());
        }
        if self.access_key.is_empty() == self.secret_key.is_set() {
            problems.push("s3.access_key and s3.secret_key must be given together or not at all".to_owned());
        }
        if self.endpoint.starts_with("http://") {
            if !self.allow_http {
                problems.push("s3.endpoint is without TLS; set s3.allow_http if that is meant".to_owned());
            }
        } else if !self.endpoint.is_empty() && !self.endpoint.starts_with("https://") {
            problems.push("s3.endpoint must start with https://".to_owned());
        }
        problems.extend(chunk_problem("s3", self.chunk_octets));
        problems
    }
}

fn chunk_problem(section: &str, octets: u32) -> Option<String> {
    (!(CHUNK_MIN..=CHUNK_MAX).contains(&octets))
        .then(|| format!("{section}.chunk_octets must be between {CHUNK_MIN} and {CHUNK_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Config, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    /// Goal: what cannot work is found before anything opens; method: break one setting at a time.
    #[test]
    fn problems_name_their_keys() {
        let good = r#"{"kind": "s3", "s3": {"endpoint": "https://h", "bucket": "b"}}"#;
        assert_eq!(parse(good).unwrap().problems("bodies"), Vec::<String>::new());
        for (json, key) in [
            ("{}", "bodies.postgres.url is required"),
            (r#"{"postgres": {"url": "mysql://h"}}"#, "bodies.postgres.url must"),
            (r#"{"postgres": {"url": "postgres://h", "chunk_octets": 1}}"#, "bodies.postgres.chunk_octets"),
            (
                r#"{"postgres": {"url": "postgres://h", "connections_max": 0}}"#,
                "bodies.postgres.connections_max",
            ),
            (r#"{"kind": "s3"}"#, "bodies.s3.bucket"),
            (r#"{"kind": "s3", "s3": {"bucket": "b", "endpoint": "http://h"}}"#, "bodies.s3.endpoint"),
            (r#"{"kind": "s3", "s3": {"bucket": "b", "endpoint": "h:1"}}"#, "bodies.s3.endpoint"),
            (r#"{"kind": "s3", "s3": {"bucket": "b", "access_key": "a"}}"#, "bodies.s3.access_key"),
            (r#"{"kind": "s3", "s3": {"bucket": "b", "prefix": "a//b"}}"#, "bodies.s3.prefix"),
        ] {
            let problems = parse(json).unwrap().problems("bodies");
            assert!(problems.len() == 1 && problems[0].starts_with(key), "{json}: {problems:?}");
        }
        assert!(parse(r#"{"s4": {}}"#).is_err());
    }

    /// Goal: no rendering shows a secret, and a rendering is not taken for one; method: a config with both secrets.
    #[test]
    fn secrets_stay_secret() {
        let config =
            parse(r#"{"postgres": {"url": "postgres://hunter2"}, "s3": {"secret_key": "hunter2"}}"#).unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert!(!json.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
        assert!(parse(&json).is_err());
        let defaults = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(parse(&defaults).unwrap(), Config::default());
    }
}
