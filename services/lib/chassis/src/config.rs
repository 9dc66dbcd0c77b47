//! Configuration: one documented struct tree per program, read once before anything else happens.
//!
//! Order, later wins: the program's defaults, the TOML file, the environment. `TMTP_LISTEN__LINKS_MAX` is
//! `links_max` in `[listen]`. Any text setting `x` may be given as `x_file`, the path of a file that holds it.
//! Nothing here may ever print a secret, and no setting may be ignored in silence: an unknown key is an error.

mod load;
mod reference;
mod sample;
mod secret;
mod sections;

pub use load::{Error, load};
pub use reference::{Section, Setting, reference, sections};
pub use sample::sample;
use schemars::JsonSchema;
pub use secret::Secret;
pub use sections::{Log, LogFormat, Monitor, Postgres, Redis, Runtime, Secrets, Tracing, unverified};
use serde::{Serialize, de::DeserializeOwned};

/// A program's configuration. `Default` must be complete: it is the first layer and the sample file.
///
/// Every struct of the tree carries `#[serde(default, deny_unknown_fields)]` and derives `JsonSchema`, whose
/// descriptions (the doc comments) become the comments of the sample file. Never use `flatten`: serde does
/// not support it together with `deny_unknown_fields`. A secret's default must be unset.
pub trait Config: Default + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The sections that the chassis itself needs.
    fn process(&self) -> Process<'_>;

    /// Checks what types cannot: relations, ranges, required settings. One sentence per problem, each naming
    /// its key. The sections in [`Process`] are checked already.
    fn validate(&self) -> Result<(), Vec<String>>;
}

/// The sections every program has, borrowed from its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// `[log]`
    pub log: &'a Log,
    /// `[monitor]`
    pub monitor: &'a Monitor,
    /// `[tracing]`
    pub tracing: &'a Tracing,
    /// `[runtime]`
    pub runtime: &'a Runtime,
}

impl Process<'_> {
    /// What is wrong with these sections, one sentence per problem.
    fn problems(&self) -> Vec<String> {
        [self.log.problems(), self.tracing.problems(), self.runtime.problems()].concat()
    }
}

/// For `#[serde(with = "Humantime")]` on a `Duration`: text such as `1m 30s`, in files and in the schema.
///
/// The same text form as the crate `humantime_serde`, but a type, because `schemars` needs one.
#[derive(Debug)]
pub enum Humantime {}

impl Humantime {
    /// Writes a duration as text.
    pub fn serialize<S: serde::Serializer>(duration: &std::time::Duration, to: S) -> Result<S::Ok, S::Error> {
        humantime_serde::serialize(duration, to)
    }

    /// Reads a duration from text; refuses a number without a unit.
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<std::time::Duration, D::Error> {
        humantime_serde::deserialize(from)
    }
}

impl JsonSchema for Humantime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["1m 30s"] })
    }
}
