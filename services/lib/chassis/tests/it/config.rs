//! Layers and their order, secrets, and what an error says.

use std::{io::Write as _, time::Duration};

use tempfile::NamedTempFile;
use tmtp_chassis::config::{Error, LogFormat, Setting, load, reference, sample, sections};

use super::Settings;

/// A file with this content, gone when dropped.
fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(content.as_bytes()).expect("written");
    file
}

/// Loads from a file with this content and these variables.
fn layered(content: &str, variables: &[(&str, &str)]) -> Result<Settings, Error> {
    let file = file(content);
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(Some(file.path()), variables)
}

/// The problems of a configuration that must be refused.
fn problems(content: &str, variables: &[(&str, &str)]) -> Vec<String> {
    layered(content, variables).expect_err("must be refused").problems
}

/// Goal: defaults, file and environment override each other in this order. Method: one setting per depth.
#[test]
fn later_layers_win() {
    let content = "[listen]\nlinks_max = 7\nsilence_max = '5m'\n[log]\nformat = 'json'\n";
    let variables = [("TMTP_LISTEN__LINKS_MAX", "9"), ("TMTP_RUNTIME__THREADS", "3"), ("HOME", "/")];
    let settings = layered(content, &variables).unwrap();
    assert_eq!(settings.listen.links_max, 9, "from the environment");
    assert_eq!(settings.runtime.threads, Some(3), "from the environment, absent by default");
    assert_eq!(settings.listen.silence_max, Duration::from_mins(5), "from the file");
    assert_eq!(settings.log.format, LogFormat::Json, "from the file");
    assert_eq!(settings.listen.address.port(), 4443, "from the defaults");
}

/// Goal: a variable is read as the kind that its setting has. Method: texts that look like something else.
#[test]
fn variables_keep_their_kind() {
    let variables = [
        ("TMTP_LISTEN__ADDRESS", "[::]:9000"),
        ("TMTP_POSTGRES__URL", "12345"),
        ("TMTP_LISTEN__NAMES", "[a.example, b.example]"),
        ("TMTP_TRACING__SAMPLE_RATIO", "1"),
        ("TMTP_TRACING__OTLP_ENDPOINT", "http://collector:4318"),
    ];
    let settings = layered("", &variables).unwrap();
    assert_eq!(settings.listen.address.to_string(), "[::]:9000");
    assert_eq!(settings.postgres.url.expose(), "12345");
    assert_eq!(settings.listen.names, ["a.example", "b.example"]);
    assert!(settings.tracing.sample_ratio > 0.99);
    assert_eq!(settings.tracing.otlp_endpoint.as_deref(), Some("http://collector:4318"));
}

/// Goal: variables that others put under our prefix do no harm. Method: those of Kubernetes.
#[test]
fn foreign_variables_are_left_alone() {
    let variables = [
        ("TMTP_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("TMTP_GATEWAY_PORT", "tcp://10.0.0.1:443"),
        ("TMTP_GATEWAY_PORT_443_TCP_ADDR", "10.0.0.1"),
        ("TMTP_CONFIG", "x.toml"),
    ];
    layered("", &variables).unwrap();
}

/// Goal: an unknown key is an error that names the key and its source. Method: one in each layer.
#[test]
fn unknown_keys_are_refused() {
    let found = problems("[listen]\nlink_max = 1\n", &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("listen.link_max: unknown setting, expected one of address, "), "{found:?}");
    assert!(found[0].contains(", in configuration file /"), "{found:?}");

    let found = problems("", &[("TMTP_LISTEN__LINK_MAX", "1")]);
    assert!(found[0].starts_with("listen.link_max: unknown setting"), "{found:?}");
    assert!(found[0].ends_with(", in environment variable TMTP_LISTEN__LINK_MAX"), "{found:?}");

    let found = problems("", &[("TMTP_LISTEN_LINKS_MAX", "1")]);
    assert!(found[0].starts_with("listen_links_max: unknown setting"), "{found:?}");
}

/// Goal: a wrong value is an error that names key and source, and does not quote the value. Method: one in
/// the file, one in the environment, one that only a type's own parser refuses.
#[test]
fn bad_values_are_refused() {
    let file = file("[listen]\nlinks_max = 'hunter2'\n");
    let error = load::<Settings>(Some(file.path()), []).unwrap_err().to_string();
    assert!(error.starts_with("listen.links_max: wrong type, expected u32"), "{error}");
    assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    assert!(!error.contains("hunter2"), "{error}");

    let found = problems("", &[("TMTP_LISTEN__LINKS_MAX", "-1")]);
    assert!(found[0].contains("listen.links_max: "), "{found:?}");
    assert!(found[0].ends_with("in environment variable TMTP_LISTEN__LINKS_MAX"), "{found:?}");

    let found = problems("[listen]\nsilence_max = 'soon'\n", &[]);
    assert!(found[0].starts_with("listen.silence_max: "), "{found:?}");
}

/// Goal: what types cannot check is checked too, all at once. Method: break the chassis's sections and the
/// program's own.
#[test]
fn every_problem_is_told() {
    let content = "[tracing]\nsample_ratio = 2.0\notlp_endpoint = 'https://x'\n\
                   [runtime]\nthreads = 0\n[log]\nfilter = 'tmtp=loud'\n[listen]\nlinks_max = 0\n";
    let found = problems(content, &[]);
    for key in
        ["tracing.sample_ratio", "tracing.otlp_endpoint", "runtime.threads", "log.filter", "listen.links_max"]
    {
        assert!(found.iter().any(|problem| problem.starts_with(key)), "{key} in {found:?}");
    }
}

/// Goal: a broken or absent file is a problem, not a panic. Method: bad TOML, and a path to nothing.
#[test]
fn unreadable_files_are_refused() {
    let found = problems("[listen\n", &[]);
    assert!(found[0].contains(" in /"), "names the file: {found:?}");
    let error = load::<Settings>(Some("/nonexistent/x.toml".as_ref()), []).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nonexistent/x.toml: "), "{error}");
}

/// Goal: a secret can come from a file, named in either layer. Method: write one with a final newline.
#[test]
fn secrets_come_from_files() {
    let secret = file("postgres://me:hunter2@db/tmtp\n");
    let path = secret.path().to_str().unwrap();
    let expected = "postgres://me:hunter2@db/tmtp";

    let settings = layered(&format!("[postgres]\nurl_file = '{path}'\n"), &[]).unwrap();
    assert_eq!(settings.postgres.url.expose(), expected);
    let settings =
        layered("[postgres]\nurl = 'postgres://other'\n", &[("TMTP_POSTGRES__URL_FILE", path)]).unwrap();
    assert_eq!(settings.postgres.url.expose(), expected, "the later layer wins");

    // A setting that is itself called `…_file` is no such thing.
    let settings = layered(&format!("[listen]\ncertificate_file = '{path}'\n"), &[]).unwrap();
    assert_eq!(settings.listen.certificate_file, path);
}

/// Goal: contradictions and absent secret files are told by key. Method: both forms in one layer; no file.
#[test]
fn bad_secret_files_are_refused() {
    let found = problems("[postgres]\nurl = 'a'\nurl_file = 'b'\n", &[]);
    assert!(found[0].starts_with("postgres.url_file is given together with"), "{found:?}");
    let found = problems("", &[("TMTP_POSTGRES__URL", "a"), ("TMTP_POSTGRES__URL_FILE", "b")]);
    assert!(found[0].starts_with("postgres.url_file is given together with"), "{found:?}");
    let found = problems("[postgres]\nurl_file = '/nonexistent/x'\n", &[]);
    assert!(found[0].starts_with("cannot read the file of postgres.url_file: "), "{found:?}");
}

/// Goal: no way of printing shows a secret, and what is printed cannot be loaded by mistake. Method: load
/// one, render it, feed it back.
#[test]
fn secrets_do_not_show() {
    let settings = layered("[postgres]\nurl = 'postgres://me:hunter2@db/tmtp'\n", &[]).unwrap();
    let printed = toml::to_string(&settings).unwrap();
    assert!(printed.contains("url = \"[redacted]\""), "{printed}");
    assert!(!printed.contains("hunter2") && !format!("{settings:?}").contains("hunter2"));
    let found = problems(&printed, &[]);
    assert!(found[0].starts_with("postgres.url: "), "{found:?}");
}

/// Goal: a database section checks itself. Method: unset, wrong and right URLs.
#[test]
fn postgres_is_checked() {
    let mut postgres = Settings::default().postgres;
    assert_eq!(postgres.problems(), ["postgres.url is required (or postgres.url_file)"]);
    postgres.url = "mysql://hunter2@x".into();
    assert_eq!(postgres.problems(), ["postgres.url must start with postgres:// or postgresql://"]);
    for good in [
        "postgres://x",
        "postgres://x/y?sslmode=require",
        "postgres://x?a=b&sslrootcert=c&sslmode=verify-full",
    ] {
        postgres.url = good.into();
        assert_eq!(postgres.problems(), Vec::<String>::new());
    }
    for unverified in ["postgres://x?sslrootcert=a", "postgres://x?sslmode=verify-ca&sslrootcert=a"] {
        postgres.url = unverified.into();
        assert_eq!(
            postgres.problems(),
            ["postgres.url names sslrootcert and has to say sslmode=verify-full, or nobody is checked"]
        );
    }
}

/// Goal: the sample is commented and holds exactly the defaults. Method: read it back and compare.
#[test]
fn the_sample_is_the_defaults() {
    let text = sample::<Settings>().unwrap();
    for line in [
        "# Where and how it listens.",
        "[listen]",
        "# A link silent for longer is closed.",
        "silence_max = \"2m\"",
        "# threads =",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    let back = layered(&text, &[]).unwrap();
    assert_eq!(toml::to_string(&back).unwrap(), toml::to_string(&Settings::default()).unwrap());
}

/// Goal: the reference has every setting once, with all that one needs to know to set it. Method: count against the sample,
/// and look at one of each kind.
#[test]
fn the_reference_has_all() {
    let sections = sections::<Settings>().unwrap();
    let all: Vec<&Setting> = sections.iter().flat_map(|section| &section.settings).collect();
    let sampled = sample::<Settings>().unwrap().lines().filter(|line| line.contains(" =")).count();
    assert_eq!(all.len(), sampled);
    let find = |key: &str| *all.iter().find(|setting| setting.key == key).expect(key);
    let shown = |key: &str| {
        let found = find(key);
        (found.kind.as_str(), found.default.as_deref(), found.from_file)
    };
    assert_eq!(shown("listen.address"), ("text", Some("\"0.0.0.0:4443\""), true));
    assert_eq!(shown("listen.links_max"), ("a whole number", Some("1000"), false));
    assert_eq!(shown("listen.silence_max"), ("a time, such as `1m 30s`", Some("\"2m\""), true));
    assert_eq!(shown("listen.names"), ("a list of texts", Some("[]"), false));
    assert_eq!(shown("log.format"), ("one of `human`, `json`", Some("\"human\""), false));
    assert_eq!(shown("postgres.url"), ("a secret", None, true));
    assert_eq!(shown("runtime.threads"), ("a whole number", None, false));
    assert_eq!(shown("tracing.sample_ratio"), ("a number", Some("0.01"), false));
    assert_eq!(find("listen.links_max").variable(), "TMTP_LISTEN__LINKS_MAX");
    assert_eq!(find("listen.links_max").description, "Open links at most.");

    let text = reference::<Settings>("tmtp-door").unwrap();
    for part in [
        "# Settings of `tmtp-door`\n",
        "\n## `[listen]`\n\nWhere and how it listens.\n",
        "\n- **`listen.links_max`**: a whole number; default `1000`\n\n  `TMTP_LISTEN__LINKS_MAX`\n\n  Open links at most.\n",
        "\n- **`postgres.url`**: a secret; default not set\n\n  `TMTP_POSTGRES__URL`, or the path of a file that holds it: `_FILE`\n",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}
