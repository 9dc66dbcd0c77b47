//! The container image without a container: its programs, laid out as it has them.

use std::fs;
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use tmtp_e2e::{Image, PROGRAMS, Setup};

/// Runs a program of the image to its end, with this in its environment.
fn run(image: &Image, program: &str, words: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let environment = environment.iter().copied();
    Ok(image.command(program).args(words).envs(environment).stdin(Stdio::null()).output()?)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Goal: what is laid out here is what the image has. Method: read the file that the image is made from.
#[test]
fn the_image_has_these_programs() -> Result<()> {
    let made_from = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../deploy/Dockerfile"))?;
    let mut installed =
        made_from.lines().filter_map(|line| line.split_once("--target-directory /image/usr/local/bin "));
    let (_, names) = installed.next().context("it installs no programs")?;
    assert_eq!(names.trim_end_matches('\\').split_whitespace().collect::<Vec<_>>(), PROGRAMS);
    let (_, image) = made_from.rsplit_once("\nFROM ").context("it has no stages")?;
    for part in ["scratch\n", "\nUSER 65532:65532\n", "\nCOPY --from=build /image/ /\n"] {
        ensure!(image.contains(part), "no {part:?} in its last stage");
    }
    ensure!(made_from.contains(" -o 65532 -g 65532 /image/var/lib/postern "), "its volumes are elsewhere");
    Ok(())
}

/// Goal: the image needs nothing that it does not have: every program runs from it as an account that owns nothing and may
/// write nowhere, serves, and ends in order when it is asked to. Method: a cluster of them; each process is looked at while
/// a message with an attachment goes from one gateway to the other, and ended with SIGTERM.
#[tokio::test]
async fn every_program_runs_from_the_image() -> Result<()> {
    let cluster = Setup::new().workers(1).with_admin().from_image().start().await?;
    let image = cluster.image()?;
    if !image.has_other_account() {
        eprintln!("not root: the programs run as who runs the tests, from folders that nobody may write to");
    }
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let attachment = "x".repeat(100_000);
    ann.post("first", &[ben.uid()], &attachment).await?;
    ensure!(ben.delivery().await?.data == attachment.as_bytes(), "something else arrived");
    for program in cluster.programs() {
        program.check_as_image()?;
    }
    drop((ann, ben));
    for program in cluster.programs() {
        let status = program.terminate().await?;
        ensure!(status.success(), "{} ended with {status}", program.name());
    }
    let litter = image.litter();
    ensure!(litter.is_empty(), "left behind: {litter:?}");
    cluster.passed()
}

/// Goal: what Jobs and people run from the image works, too. Method: the version of every program; the commands of the
/// deployment's Jobs, with a key that only the image's account may read; and that one for another account is refused.
#[tokio::test]
async fn jobs_run_from_the_image() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).from_image().start().await?;
    let image = cluster.image()?;
    for program in PROGRAMS {
        let output = run(image, program, &["--version"], &[])?;
        ensure!(output.status.success(), "{program}: {}", text(&output.stderr));
        let said = text(&output.stdout);
        ensure!(said.starts_with(program) && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
    for program in PROGRAMS.iter().filter(|program| **program != "tmtpctl") {
        let output = run(image, program, &["check-config"], &[])?;
        ensure!(output.status.code() == Some(64), "{program} took no settings for enough");
        let complaint = text(&output.stderr);
        ensure!(complaint.contains("redis.url is required"), "{program}: {complaint}");
    }

    let url = cluster.database_url();
    let database = [("DATABASE_URL", url.as_str())];
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let key = folder.path().join("key");
    fs::write(&key, "tmk_live_aZ09bY18cX27dW36eV45fU54gT63hS72iR81jQ90kPw")?;
    image.give(&key)?;
    let key = key.to_string_lossy().into_owned();
    let site = "bootstrap site --name Other --domain other.test --registration open --if-unclaimed";
    for (words, said) in [
        ("migrate", "the schema is up to date"),
        (&format!("bootstrap key --key-file {key}"), "the key is registered as"),
        (&format!("bootstrap key --key-file {key}"), "nothing is changed"),
        (site, "is made"),
        (site, "nothing is changed"),
    ] {
        let output = run(image, "tmtpctl", &words.split(' ').collect::<Vec<_>>(), &database)?;
        let printed = text(&output.stdout);
        ensure!(
            output.status.success() && printed.contains(said),
            "{words}: {printed}{}",
            text(&output.stderr)
        );
    }
    let out = image.volumes().join("tls").to_string_lossy().into_owned();
    let words = ["certificate", "--out", &out, "--name", "default", "--domain", "localhost"];
    let output = run(image, "tmtpctl", &words, &[])?;
    ensure!(output.status.success(), "{}", text(&output.stderr));
    ensure!(fs::read_to_string(image.volumes().join("tls/default.crt"))?.contains("BEGIN CERTIFICATE"));
    let output =
        run(image, "tmtpctl", &["certificate", "--out", "tls", "--name", "a", "--domain", "b"], &[])?;
    ensure!(!output.status.success(), "it writes into the image");

    if image.has_other_account() {
        let other = folder.path().join("other");
        fs::write(&other, "tmk_live_Z0a9bY18cX27dW36eV45fU54gT63hS72iR81jQ90kPw")?;
        fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o400))?;
        let words = ["bootstrap", "key", "--key-file", &other.to_string_lossy()];
        let output = run(image, "tmtpctl", &words, &database)?;
        ensure!(!output.status.success(), "it reads what is not for it");
    }
    cluster.passed()
}
