//! The references and sample files of all programs: as the programs print them, which is as their structs are.

use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tmtp_chassis::Config;
use tmtp_chassis::config::{Section, load, reference, sample, sections};

use super::fences::{path, read};

/// Where they are.
const FOLDER: &str = "deploy/config";
/// Set to renew them.
const RENEW: &str = "POSTERN_RENEW";

/// Calls something with the settings of each program that has any.
macro_rules! of_each_program {
    ($what:ident) => {{
        $what::<tmtp_gateway::Config>("tmtp-gateway")?;
        $what::<tmtp_worker::Config>("tmtp-worker")?;
        $what::<tmtp_admin::Config>("tmtp-admin")
    }};
}

/// Goal: what is written of settings is what the programs have. Method: compare the files with what the structs give, and
/// with what the programs print; `POSTERN_RENEW=1` writes them anew.
#[test]
fn references_and_samples_are_current() -> Result<()> {
    fn check<C: Config>(program: &str) -> Result<()> {
        let files = [
            (format!("{program}.md"), "reference-config", reference::<C>(program)?),
            (format!("{program}.toml"), "sample-config", sample::<C>()?),
        ];
        for (name, command, text) in files {
            let name = format!("{FOLDER}/{name}");
            if env::var_os(RENEW).is_some() {
                fs::write(path(&name), &text).with_context(|| format!("write {name}"))?;
            }
            ensure!(read(&name)? == text, "{name} is out of date: run this test with {RENEW}=1");
            let printed = Command::new(tmtp_e2e::binary(program)?).arg(command).env_clear().output()?;
            ensure!(printed.stdout == text.as_bytes(), "`{program} {command}` prints something else");
        }
        Ok(())
    }
    of_each_program!(check)
}

/// Goal: every setting of a reference can be set under the name of its variable, and every text from a file where it says
/// so. Method: set each to its default, or to something of its kind, and look what is refused.
#[test]
fn variables_set_what_they_say() -> Result<()> {
    fn check<C: Config>(program: &str) -> Result<()> {
        let problems = |variables: Vec<(String, String)>| {
            load::<C>(None, variables).err().map(|error| error.problems).unwrap_or_default()
        };
        let missing = problems(Vec::new());
        let mut seen = 0;
        let file = tempfile::NamedTempFile::new()?;
        for setting in sections::<C>()?.into_iter().flat_map(|section| section.settings) {
            let default = setting.default.clone().unwrap_or_default();
            // As TOML has it, lists and numbers are as they are in variables; texts have quotes more.
            let value = default.trim_matches('"').to_owned();
            if !value.is_empty() {
                let found = problems(vec![(setting.variable(), value.clone())]);
                ensure!(found == missing, "{program}: {}={value}: {found:?}", setting.variable());
            }
            let wrong = problems(vec![(format!("{}_X", setting.variable()), value.clone())]);
            ensure!(wrong.iter().any(|text| text.contains("unknown setting")), "{wrong:?}");
            if setting.from_file {
                fs::write(file.path(), &value)?;
                let named =
                    (format!("{}_FILE", setting.variable()), file.path().to_string_lossy().into_owned());
                let found = problems(vec![named]);
                ensure!(found == missing, "{program}: {}_FILE: {found:?}", setting.variable());
            }
            seen += 1;
        }
        ensure!(seen > 15, "{program} has only {seen} settings");
        Ok(())
    }
    of_each_program!(check)
}

/// Goal: the sample files can be used: they lack what nobody can guess and nothing else. Method: `check-config` of every
/// program with its file complains as without, and takes it with the required settings.
#[test]
fn samples_can_be_used() -> Result<()> {
    fn check<C: Config>(program: &str) -> Result<()> {
        let sample = path(&format!("{FOLDER}/{program}.toml"));
        let run = |variables: &[(&str, &str)]| {
            let binary = tmtp_e2e::binary(program)?;
            let mut command = Command::new(binary);
            command.arg("check-config").arg("--config").arg(&sample).env_clear();
            command.envs(variables.iter().copied()).output().context("start it")
        };
        let refused = run(&[])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let missing = load::<C>(None, []).err().map(|error| error.problems).unwrap_or_default();
        ensure!(refused.status.code() == Some(64), "{program}: {said}");
        ensure!(said.lines().count() == missing.len(), "{program}: {said} instead of {missing:?}");
        // What a program does not have is left away.
        let wanted = [
            ("TMTP_REDIS__URL", "redis://localhost/"),
            ("TMTP_POSTGRES__URL", "postgres://localhost/postern"),
            ("TMTP_BODIES__POSTGRES__URL", "postgres://localhost/postern"),
            ("TMTP_TLS__CERTIFICATES", "/etc/postern/certificates"),
        ];
        let known: Vec<Section> = sections::<C>()?;
        let settings = || known.iter().flat_map(|section| &section.settings);
        let given: Vec<_> = wanted
            .into_iter()
            .filter(|(name, _)| settings().any(|setting| setting.variable() == *name))
            .collect();
        let taken = run(&given)?;
        ensure!(taken.status.success(), "{program}: {}", String::from_utf8_lossy(&taken.stderr));
        Ok(())
    }
    of_each_program!(check)
}

/// Goal: the page that leads to them leads to all, and says what `tmtpctl` has instead. Method: look for the names.
#[test]
fn the_page_leads_to_all() -> Result<()> {
    let page = read(&format!("{FOLDER}/README.md"))?;
    for program in ["tmtp-gateway", "tmtp-worker", "tmtp-admin"] {
        for end in ["md", "toml"] {
            ensure!(page.contains(&format!("({program}.{end})")), "no link to {program}.{end}");
        }
    }
    for variable in ["DATABASE_URL", "ADMIN_URL", "ADMIN_TOKEN"] {
        ensure!(page.contains(variable), "{variable} is not explained");
    }
    Ok(())
}
