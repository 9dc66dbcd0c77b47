//! The commands that do not serve.

use std::{io::Write as _, process::Output};

use tempfile::NamedTempFile;

use super::process::admin;

/// A usable configuration.
const GOOD: &[(&str, &str)] =
    &[("TMTP_POSTGRES__URL", "postgres://me:hunter2@db/tmtp"), ("TMTP_REDIS__URL", "redis://r:6379/")];

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = admin(variables).args(arguments).output().expect("started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// Goal: a bad configuration exits 64 with a line per problem, and nothing is served. Method: run with two
/// problems, by the default command and by `check-config`.
#[test]
fn bad_configuration_exits_64() {
    let variables = [("TMTP_REDIS__URL", "http://x"), ("TMTP_RUNTIME__THREADS", "0")];
    for arguments in [&[][..], &["run"], &["check-config"]] {
        let (code, stdout, stderr) = run(arguments, &variables);
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
        let lines: Vec<_> = stderr.lines().collect();
        assert_eq!(lines.len(), 3, "{stderr}");
        assert!(lines[0].starts_with("configuration: runtime.threads must be"), "{stderr}");
        assert!(lines[1].starts_with("configuration: postgres.url is required"), "{stderr}");
        assert!(lines[2].starts_with("configuration: redis.url must start with redis://"), "{stderr}");
    }
}

/// Goal: the file is named by option or variable, and an unknown key in it exits 64 by name. Method: one file.
#[test]
fn the_file_is_read() {
    let mut file = NamedTempFile::new().expect("a file");
    writeln!(file, "[listen]\nadress = '[::]:1'").expect("written");
    let path = file.path().to_str().expect("text");
    for (arguments, extra) in
        [(vec!["check-config", "--config", path], None), (vec!["check-config"], Some(("TMTP_CONFIG", path)))]
    {
        let variables: Vec<_> = GOOD.iter().copied().chain(extra).collect();
        let (code, _, stderr) = run(&arguments, &variables);
        assert_eq!(code, Some(64));
        let expected = format!(
            "configuration: listen.adress: unknown setting, expected one of address, \
             proxies, in configuration file {path}\n"
        );
        assert_eq!(stderr, expected);
    }
}

/// Goal: the configuration in effect is shown without its secrets. Method: set one and print.
#[test]
fn print_config_is_redacted() {
    assert_eq!(run(&["check-config"], GOOD).0, Some(0));
    let (code, stdout, stderr) = run(&["print-config"], GOOD);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("[postgres]\nurl = \"[redacted]\"\nconnections_max = "), "{stdout}");
    assert!(!stdout.contains("hunter2"), "{stdout}");
}

/// Goal: the sample file works as it is, given what is required. Method: print it and load it.
#[test]
fn the_sample_file_loads() {
    let (code, sample, _) = run(&["sample-config"], &[]);
    assert_eq!(code, Some(0));
    assert!(sample.contains("# Where the API is.\n[listen]\n"), "{sample}");
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(sample.as_bytes()).expect("written");
    let (code, _, stderr) = run(&["check-config", "--config", file.path().to_str().expect("text")], GOOD);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

/// Goal: the program knows its name, and a wrong command line is told apart from a wrong configuration.
/// Method: ask for the version; give an unknown option.
#[test]
fn name_and_usage() {
    let (code, stdout, _) = run(&["--version"], &[]);
    assert_eq!((code, stdout.starts_with("tmtp-admin ")), (Some(0), true), "{stdout}");
    assert_eq!(run(&["--frobnicate"], &[]).0, Some(2));
}
