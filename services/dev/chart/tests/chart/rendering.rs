//! All values files: lint, snapshots, the schemas of Kubernetes, and the rules.

use std::path::Path;
use std::process::Command;

use tmtp_chart::rules;

use crate::{chart, compare, render, stem, values};

/// The variable that says where kubernetes-validate is; `deploy/local/test` sets it.
const VALIDATOR: &str = "POSTERN_TEST_KUBERNETES_VALIDATE";
/// The oldest Kubernetes that the chart is for, as Chart.yaml says, and the newest that the validator knows.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// Goal: Helm finds no fault; method: its own lint, strictly, with every values file.
#[test]
fn helm_finds_no_fault() {
    let chart = chart();
    for file in chart.value_files().unwrap() {
        chart.lint(&file).unwrap_or_else(|error| panic!("{}: {error:#}", stem(&file)));
    }
}

/// Goal: every change of what is installed is seen by whoever reviews it; method: snapshots of all values files, with
/// generated secrets left out.
#[test]
fn snapshots() {
    let chart = chart();
    for file in chart.value_files().unwrap() {
        let mut text = chart.template(Some(&file), &[]).unwrap();
        let release = chart.render(&file, &[]).unwrap();
        for secret in release.all("Secret") {
            // What was rendered twice differs where it is random: mask by place, not by content.
            text = mask(&text, secret.name());
        }
        let kept =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(stem(&file)).with_extension("yaml");
        compare(&kept, &text);
    }
}

/// Replaces the data of a Secret.
fn mask(text: &str, name: &str) -> String {
    let documents: Vec<String> = text
        .split("---\n")
        .map(|document| {
            let is_it =
                document.contains("kind: Secret\n") && document.contains(&format!("\n  name: {name}\n"));
            let Some((head, data)) = document.split_once("\ndata:\n").filter(|_| is_it) else {
                return document.to_owned();
            };
            let lines = data.lines().map(|line| match line.split_once(": ") {
                Some((key, _)) if line.starts_with("  ") => format!("{key}: GENERATED\n"),
                _ => format!("{line}\n"),
            });
            format!("{head}\ndata:\n{}", lines.collect::<String>())
        })
        .collect();
    documents.join("---\n")
}

/// Goal: Kubernetes would take every manifest; method: its published schemas, strictly, by the oldest and the newest
/// version. What is not Kubernetes' own (cert-manager, KEDA, Prometheus, Gateway API) has no schema there.
#[test]
fn kubernetes_takes_it() {
    let chart = chart();
    let folder = tempfile::tempdir().unwrap();
    for file in chart.value_files().unwrap() {
        let path = folder.path().join(stem(&file)).with_extension("yaml");
        std::fs::write(&path, chart.template(Some(&file), &[]).unwrap()).unwrap();
        for version in VERSIONS {
            let (passed, said) = validate(&path, version);
            assert!(passed, "{}, {version}: {said}", stem(&file));
        }
    }
    let broken = chart.template(Some(&values("external")), &[]).unwrap();
    let path = folder.path().join("broken.yaml");
    std::fs::write(&path, broken.replace("maxUnavailable: 1\n", "maxUnavaible: 1\n")).unwrap();
    let (passed, said) = validate(&path, VERSIONS[0]);
    assert!(!passed && said.contains("maxUnavaible"), "the validator would not see a mistake: {said}");
}

fn validate(path: &Path, version: &str) -> (bool, String) {
    let program = std::env::var_os(VALIDATOR).unwrap_or_else(|| {
        panic!(
            "{VALIDATOR} is not set: run the tests with ./deploy/local/test, or set it to the path of \
                kubernetes-validate (pip install kubernetes-validate)"
        )
    });
    let output = Command::new(program)
        .args(["--strict", "--quiet", "--no-warn", "--kubernetes-version", version])
        .arg(path)
        .output()
        .expect("the validator starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Goal: the rules hold for all manifests of all values files; method: all of them. That they would find something is
/// shown in `breaking`.
#[test]
fn rules_hold() {
    for file in chart().value_files().unwrap() {
        let problems = rules::check(&render(&stem(&file), &[]));
        assert!(problems.is_empty(), "{}:\n  {}", stem(&file), problems.join("\n  "));
    }
}

/// Goal: the rules hold for single values, too, not only for the files; method: switch one thing at a time.
#[test]
fn rules_hold_for_variants() {
    for (file, change) in [
        ("external", "networkPolicy.enabled=false"),
        ("external", "bootstrap.enabled=false"),
        ("external", r#"gateway.service.type="ClusterIP""#),
        ("external", r#"gateway.service.type="NodePort""#),
        ("external", "gateway.drainSeconds=0"),
        ("external", "gateway.drainSeconds=3600"),
        ("external", "priorityClass.create=true"),
        ("trial", r#"bootstrap.site={"name":"","domains":[]}"#),
        ("trial", r#"admin.public.url="https://join.example""#),
        ("full", r#"admin.api.host="""#),
        ("gateway-api", r#"admin.public.url="""#),
        ("gateway-api", r#"admin.api.host="""#),
    ] {
        let problems = rules::check(&render(file, &[change]));
        assert!(problems.is_empty(), "{file} with {change}:\n  {}", problems.join("\n  "));
    }
}

/// Goal: a person reads what to type into a client and how to get at the API; method: the notes of every values file,
/// rendered as a template of a copy of the chart, since Helm itself prints them only after an install.
#[test]
fn notes() {
    let chart = chart();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("tmtp");
    copy_folder(chart.folder(), &copy);
    let template =
        "notes: {{ include \"postern.notes\" . | toJson }}\nkind: Notes\nmetadata: {name: notes}\n";
    std::fs::write(copy.join("templates/notes-shown.yaml"), template).unwrap();
    let mut all = String::new();
    for file in chart.value_files().unwrap() {
        let release = chart.at(&copy).render(&file, &[]).unwrap();
        let shown = release.all("Notes").next().expect("the notes").0["notes"].as_str().unwrap().to_owned();
        for line in shown.lines() {
            assert!(!line.contains("%!") && !line.contains("<no value>"), "{}: {line}", stem(&file));
        }
        all.extend(["=== ", &stem(&file), "\n", shown.trim_end(), "\n"]);
    }
    let wanted =
        ["trial.example:443", "UNFIT FOR PRODUCTION", "helm -n messaging test postern", "self-signed"];
    for words in wanted {
        assert!(all.contains(words), "no notes with {words:?}");
    }
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/notes.txt"), &all);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("a folder").path();
        let target = to.join(path.file_name().expect("a folder"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a folder");
        }
    }
}
