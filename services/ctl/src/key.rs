//! `tmtpctl key`: the first API key of a deployment, made directly in the database; others are made with it over HTTP.
//! It must never write a key into a file that others can read, nor overwrite one.

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use tmtp_domain::{KeyMode, KeySecret, Role};
use tmtp_store::{NewApiKey, NewAudit, Store};
use uuid::Uuid;

use crate::database::Database;

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make an API key for all sites, and print it: it cannot be shown again
    Create(Create),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    database: Database,
    /// What it is for; keys for single sites are made with the API
    #[arg(long, value_name = "operator", value_parser = parse_role)]
    role: Role,
    /// For people
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// Succeed, and make nothing, when there is a valid key with this role and name
    #[arg(long)]
    if_missing: bool,
    /// Write the key into a new file that only you can read, instead of printing it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

impl Key {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let store = self.database.open().await?;
        let exists = store.has_key(self.role, &self.name).await.context("look for the key")?;
        if self.if_missing && exists {
            eprintln!("a key with the name {:?} is there already", self.name);
            return Ok(());
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).context("make a random key")?;
        let secret = KeySecret::new(KeyMode::Live, &random);
        // The file first: a key that is in the database but in nobody's hands is of no use.
        let file = self.save.as_ref().map(|path| {
            let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            open.with_context(|| format!("make the file {}", path.display()))
        });
        let file = file.transpose()?;
        if let Err(error) = self.make(&store, &secret).await {
            if let Some(path) = &self.save {
                // It is ours and empty; what went wrong is more important than whether it goes.
                let _ = std::fs::remove_file(path);
            }
            return Err(error);
        }
        match file {
            Some(mut file) => writeln!(file, "{}", secret.reveal()).context("write the key into the file")?,
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
            role: self.role,
            scopes: None,
            sites: None,
            created_by: None,
            expires_at: None,
        };
        tx.create_key(&key).await.context("make the key")?;
        let after = serde_json::json!({ "name": self.name, "role": self.role.as_str() });
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

fn parse_role(text: &str) -> Result<Role, String> {
    match text.parse()? {
        Role::Operator => Ok(Role::Operator),
        _ => Err("only operator: with that key, make the others over HTTP".into()),
    }
}

fn parse_name(text: &str) -> anyhow::Result<String> {
    let name = text.trim();
    ensure!(!name.is_empty() && name.chars().count() <= 255, "a name has 1 to 255 characters");
    ensure!(!name.contains(char::is_control), "a name has no control characters");
    Ok(name.to_owned())
}
