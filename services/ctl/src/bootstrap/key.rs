//! `tmtpctl bootstrap key`: the first API key of a deployment, made directly in the database; others are made with it
//! over HTTP.
//! It must never write a key into a file that others can read, nor overwrite one.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tmtp_domain::{KeyMode, KeySecret, Role};
use tmtp_store::{NewApiKey, NewAudit, Store};
use uuid::Uuid;

use crate::credentials::SaveFile;
use crate::database::Database;

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    #[command(flatten)]
    database: Database,
    /// For people
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// Succeed, and make nothing, when there is a valid operator key with this name
    #[arg(long)]
    if_missing: bool,
    /// Write the key into a new file that only you can read, instead of printing it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

impl Key {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let store = self.database.open().await?;
        let exists = store.has_key(Role::Operator, &self.name).await.context("look for the key")?;
        if self.if_missing && exists {
            eprintln!("a key with the name {:?} is there already", self.name);
            return Ok(());
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).context("make a random key")?;
        let secret = KeySecret::new(KeyMode::Live, &random);
        // The file first: a key that is in the database but in nobody's hands is of no use.
        let file = self.save.clone().map(SaveFile::create).transpose()?;
        if let Err(error) = self.make(&store, &secret).await {
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

    async fn make(&self, store: &Store, secret: &KeySecret) -> anyhow::Result<()> {
        let mut tx = store.admin().await.context("make the key")?;
        let key = NewApiKey {
            id: Uuid::new_v4(),
            hash: secret.hash(),
            name: self.name.clone(),
            role: Role::Operator,
            scopes: None,
            sites: None,
            created_by: None,
            expires_at: None,
        };
        tx.create_key(&key).await.context("make the key")?;
        let after = serde_json::json!({ "name": self.name, "role": Role::Operator.as_str() });
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
        Ok(())
    }
}

fn parse_name(text: &str) -> anyhow::Result<String> {
    let name = text.trim();
    ensure!(!name.is_empty() && name.chars().count() <= 255, "a name has 1 to 255 characters");
    ensure!(!name.contains(char::is_control), "a name has no control characters");
    Ok(name.to_owned())
}
