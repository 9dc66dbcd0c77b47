//! `tmtpctl bootstrap key`: the first API key of a deployment, made directly in the database; others are made with it
//! over HTTP. The key is a new one, or one that a deployment tool has made and keeps in a file.
//! It must never write a key into a file that others can read, nor overwrite one, nor show one that it was given.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tmtp_domain::{KeyMode, KeySecret, Role};
use tmtp_store::{ApiKey, NewApiKey, NewAudit, Store};
use uuid::Uuid;

use crate::credentials::SaveFile;
use crate::database::Database;

/// Of 43 random characters at least so many are different, but for one key in some 10^17.
const DIFFERENT_MIN: u8 = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    #[command(flatten)]
    database: Database,
    /// For people
    #[arg(long, value_parser = parse_name, required_unless_present = "given", default_value_if("given", clap::builder::ArgPredicate::IsPresent, "bootstrap"))]
    name: Option<String>,
    /// Succeed, and make nothing, when there is a valid operator key with this name
    #[arg(long, visible_alias = "if-absent", conflicts_with = "given")]
    if_missing: bool,
    /// Write the key into a new file that only you can read, instead of printing it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Register the key in this file instead of making one: tmk_live_ and 43 random letters and digits. Changes nothing
    /// when it is registered already, even if it was revoked since
    #[arg(long = "key-file", value_name = "FILE", conflicts_with = "save")]
    given: Option<PathBuf>,
}

impl Key {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let name = self.name.clone().context("a key needs a name")?;
        match &self.given {
            Some(path) => self.register(&name, &read_key(path)?).await,
            None => self.create(&name).await,
        }
    }

    /// Makes a new key and gives it to whoever has asked for it.
    async fn create(&self, name: &str) -> anyhow::Result<()> {
        let store = self.database.open().await?;
        let exists = store.has_key(Role::Operator, name).await.context("look for the key")?;
        if self.if_missing && exists {
            eprintln!("a key with the name {name:?} is there already");
            return Ok(());
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).context("make a random key")?;
        let secret = KeySecret::new(KeyMode::Live, &random);
        // The file first: a key that is in the database but in nobody's hands is of no use.
        let file = self.save.clone().map(SaveFile::create).transpose()?;
        if let Err(error) = enter(&store, name, &secret).await {
            file.into_iter().for_each(SaveFile::discard);
            return Err(error);
        }
        match file {
            Some(file) => {
                file.write_line(secret.reveal())?;
            }
            None => println!("{}", secret.reveal()),
        }
        Ok(())
    }

    /// Enters a key that somebody has already, unless it is there.
    async fn register(&self, name: &str, secret: &KeySecret) -> anyhow::Result<()> {
        let store = self.database.open().await?;
        let known = async || store.key_by_hash(&secret.hash()).await.context("look for the key");
        if let Some(key) = known().await? {
            return say_known(&key);
        }
        let entered = enter(&store, name, secret).await;
        match (entered, known().await?) {
            (Ok(id), _) => println!("the key is registered as key_{}", id.simple()),
            // Somebody else was faster.
            (Err(_), Some(key)) => return say_known(&key),
            (Err(error), None) => return Err(error),
        }
        Ok(())
    }
}

/// Says that a key is there. One that was revoked stays so: who did that meant it, and upgrades must still work.
fn say_known(key: &ApiKey) -> anyhow::Result<()> {
    ensure!(
        key.role == Role::Operator,
        "the key in the file belongs to a {}: make another",
        key.role.as_str()
    );
    let id = key.id.simple();
    match key.revoked_at {
        Some(_) => println!("the key is registered already as key_{id}, and was revoked; it stays so"),
        None => println!("the key is registered already as key_{id}; nothing is changed"),
    }
    Ok(())
}

async fn enter(store: &Store, name: &str, secret: &KeySecret) -> anyhow::Result<Uuid> {
    let mut tx = store.admin().await.context("make the key")?;
    let key = NewApiKey {
        id: Uuid::new_v4(),
        hash: secret.hash(),
        name: name.to_owned(),
        role: Role::Operator,
        scopes: None,
        sites: None,
        created_by: None,
        expires_at: None,
    };
    tx.create_key(&key).await.context("make the key")?;
    let after = serde_json::json!({ "name": name, "role": Role::Operator.as_str() });
    let audit = NewAudit {
        site: None,
        key: None,
        action: "key.create",
        target: &format!("key_{}", key.id.simple()),
        from: "tmtpctl",
        request: Uuid::new_v4(),
        before: None,
        after: Some(after.to_string()),
    };
    tx.note(&audit).await.context("note it in the audit log")?;
    tx.commit().await.context("make the key")?;
    Ok(key.id)
}

/// Reads the key in a file. Nothing of what is in there is shown: it may be a secret all the same.
fn read_key(path: &Path) -> anyhow::Result<KeySecret> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the key in {shown}"))?;
    let text = text.trim();
    let Some(secret) = KeySecret::parse(text).filter(|_| text.starts_with("tmk_live_")) else {
        bail!(
            "{shown} does not hold a key: it has to be tmk_live_ and 43 random letters and digits, for instance from \
             `echo tmk_live_$(LC_ALL=C tr -dc A-Za-z0-9 </dev/urandom | head -c 43)`"
        );
    };
    let different: BTreeSet<char> = text.chars().skip("tmk_live_".len()).collect();
    ensure!(
        different.len() >= usize::from(DIFFERENT_MIN),
        "the key in {shown} is not random: it has only {} different characters; make one with a generator",
        different.len()
    );
    Ok(secret)
}

fn parse_name(text: &str) -> anyhow::Result<String> {
    let name = text.trim();
    ensure!(!name.is_empty() && name.chars().count() <= 255, "a name has 1 to 255 characters");
    ensure!(!name.contains(char::is_control), "a name has no control characters");
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is said of random characters is true of ours, which have 32 kinds; method: the bound of the chance that
    /// `length` of `kinds` have fewer than the least number that is asked for.
    #[test]
    fn random_keys_are_taken_for_random() {
        for (kinds, length) in [(62.0_f64, 43), (32.0, 52)] {
            let fewer = DIFFERENT_MIN - 1;
            // At most: the ways to choose the few, times the chance that all fall among them.
            let ways: f64 =
                (0..fewer).map(f64::from).map(|chosen| (kinds - chosen) / (chosen + 1.0)).product();
            let chance = ways * (f64::from(fewer) / kinds).powi(length);
            assert!(chance < 1e-8, "{chance}");
        }
    }
}
