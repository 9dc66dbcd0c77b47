//! Reads the layers, lays them over each other, and turns every problem into a sentence.
//!
//! The environment comes in as an argument: only the command line may look at the real one. An error names
//! the key and its source and must never quote a value, which may be a secret.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    error::Kind,
    util::nest,
    value::{Dict, Map, Value},
};

use super::Config;

/// Every variable of ours begins so.
const PREFIX: &str = "TMTP_";

/// The one variable under the prefix that is no setting: where the file is.
const NOT_SETTING: &str = "TMTP_CONFIG";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct Error {
    /// One sentence per problem, each naming its key and where known its source. Never empty.
    pub problems: Vec<String>,
}

impl Error {
    fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Reads and checks a configuration: defaults, then `file`, then those of `environment` that begin with `TMTP_`.
///
/// Fails with every problem that can be told apart, so that one attempt shows as many of them as possible.
pub fn load<C: Config>(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<C, Error> {
    let known = defaults::<C>()?;
    let mut figment = Figment::from(Layer::new(Metadata::named("the defaults"), known.clone()));
    if let Some(path) = file {
        figment = figment.merge(file_layer(path, &known)?);
    }
    let mut problems = Vec::new();
    for layer in environment_layers(environment, &known, &mut problems) {
        figment = figment.merge(layer);
    }
    if !problems.is_empty() {
        return Err(Error { problems });
    }
    let config: C = figment.extract().map_err(|errors| refused(&errors))?;
    problems.extend(config.process().problems());
    problems.extend(config.validate().err().unwrap_or_default());
    if problems.is_empty() { Ok(config) } else { Err(Error { problems }) }
}

/// One source of settings, already parsed.
struct Layer {
    metadata: Metadata,
    settings: Dict,
}

impl Layer {
    fn new(metadata: Metadata, settings: Dict) -> Self {
        Self { metadata, settings }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

/// The defaults as a tree. Besides being the first layer it tells which settings exist and which are text.
fn defaults<C: Config>() -> Result<Dict, Error> {
    let tree = Value::serialize(C::default()).map_err(|errors| refused(&errors))?;
    tree.into_dict().ok_or_else(|| Error::one("a configuration must be a struct".to_owned()))
}

fn file_layer(path: &Path, known: &Dict) -> Result<Layer, Error> {
    let name = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| Error::one(format!("cannot read {name}: {error}")))?;
    let mut settings: Dict = toml::from_str(&text).map_err(|error| {
        // Without the line itself, which the error's whole text quotes: there may be a secret in it.
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count()).unwrap_or_default();
        Error::one(format!("line {line}: {} in {name}", error.message()))
    })?;
    let mut problems = Vec::new();
    read_named_files(&mut settings, known, "", &mut problems);
    if problems.is_empty() {
        Ok(Layer::new(Metadata::from("configuration file", path), settings))
    } else {
        Err(Error { problems: problems.into_iter().map(|problem| format!("{problem} in {name}")).collect() })
    }
}

/// One layer per variable, so that an error can name the variable.
fn environment_layers(
    environment: impl IntoIterator<Item = (String, String)>,
    known: &Dict,
    problems: &mut Vec<String>,
) -> Vec<Layer> {
    let ours: BTreeMap<_, _> = environment.into_iter().filter(|(name, _)| is_setting(name)).collect();
    let mut layers = Vec::new();
    for (name, text) in &ours {
        let path = name[PREFIX.len()..].to_lowercase().replace("__", ".");
        let Some(mut settings) = nest(&path, environment_value(&path, text, known)).into_dict() else {
            problems.push(format!("environment variable {name} names no setting"));
            continue;
        };
        let mut found = Vec::new();
        if name.strip_suffix("_FILE").is_some_and(|bare| ours.contains_key(bare)) && !is_known(&path, known) {
            found.push(format!("{path} is given together with the setting it stands for"));
        } else {
            read_named_files(&mut settings, known, "", &mut found);
        }
        problems.extend(found.into_iter().map(|problem| format!("{problem} in environment variable {name}")));
        layers.push(Layer::new(Metadata::named(format!("environment variable {name}")), settings));
    }
    layers
}

/// Whether a variable is meant as a setting. Kubernetes adds variables for every service in the namespace
/// (`TMTP_GATEWAY_SERVICE_HOST`, `TMTP_GATEWAY_PORT_443_TCP`…), which are not; ours are below a section.
fn is_setting(name: &str) -> bool {
    let Some(key) = name.strip_prefix(PREFIX) else { return false };
    let of_a_service = key.contains("_SERVICE_HOST")
        || key.contains("_SERVICE_PORT")
        || key.contains("_PORT_")
        || key.ends_with("_PORT");
    let excepted = name == NOT_SETTING;
    !excepted && (key.contains("__") || !of_a_service)
}

/// A variable's text as the kind of value that its setting has. Text stays text, however much it looks like
/// a number or a list: a password may be `12345`, an address `[::]:9000`.
fn environment_value(path: &str, text: &str, known: &Dict) -> Value {
    match find(path, known) {
        Some(Value::String(..)) => Value::from(text),
        // Parsing never fails: what is nothing else is text.
        _ => text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {}),
    }
}

/// Replaces each `x_file` by `x` with the file's content, where `x` is a text setting and `x_file` is none.
fn read_named_files(settings: &mut Dict, known: &Dict, above: &str, problems: &mut Vec<String>) {
    let names: Vec<String> = settings.keys().cloned().collect();
    for name in names {
        let key = format!("{above}{name}");
        if let (Some(Value::Dict(_, inner)), Some(Value::Dict(_, known))) =
            (settings.get_mut(&name), known.get(&name))
        {
            read_named_files(inner, known, &format!("{key}."), problems);
            continue;
        }
        let Some(bare) = name.strip_suffix("_file") else { continue };
        if known.contains_key(&name) || !matches!(known.get(bare), Some(Value::String(..))) {
            continue;
        }
        let path = settings.remove(&name).and_then(Value::into_string).map(PathBuf::from);
        if settings.contains_key(bare) {
            problems.push(format!("{key} is given together with the setting it stands for"));
            continue;
        }
        let content = path.ok_or_else(|| "it is not a path".to_owned());
        match content.and_then(|path| fs::read_to_string(path).map_err(|error| error.to_string())) {
            // An editor ends a file with a newline; no setting of ours does.
            Ok(content) => drop(settings.insert(bare.to_owned(), Value::from(content.trim_end()))),
            Err(error) => problems.push(format!("cannot read the file of {key}: {error}")),
        }
    }
}

fn is_known(path: &str, known: &Dict) -> bool {
    find(path, known).is_some()
}

fn find<'a>(path: &str, known: &'a Dict) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = known.get(first)?;
    if rest.is_empty() { Some(value) } else { find(rest, value.as_dict()?) }
}

fn refused(errors: &figment::Error) -> Error {
    Error { problems: errors.clone().into_iter().map(|error| sentence(&error)).collect() }
}

/// An error as `key: what is wrong, in source`, without the value at fault.
fn sentence(error: &figment::Error) -> String {
    let mut key = error.path.join(".");
    let what = match &error.kind {
        Kind::UnknownField(field, expected) => {
            if key.rsplit('.').next() != Some(field.as_str()) {
                key = if key.is_empty() { field.clone() } else { format!("{key}.{field}") };
            }
            format!("unknown setting, expected one of {}", expected.join(", "))
        }
        Kind::InvalidType(_, expected) => format!("wrong type, expected {expected}"),
        Kind::InvalidValue(_, expected) | Kind::InvalidLength(_, expected) => {
            format!("wrong value, expected {expected}")
        }
        Kind::UnknownVariant(_, expected) => format!("wrong value, expected one of {}", expected.join(", ")),
        other => other.to_string(),
    };
    let source = error.metadata.as_ref().map(|metadata| match &metadata.source {
        Some(source) => format!(", in {} {source}", metadata.name),
        None => format!(", in {}", metadata.name),
    });
    let key = if key.is_empty() { "configuration" } else { &key };
    format!("{key}: {what}{}", source.unwrap_or_default())
}
