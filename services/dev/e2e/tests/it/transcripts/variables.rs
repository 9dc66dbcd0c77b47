//! The variables of a transcript: `$name` in what is sent and expected. One that is not known yet gets the value that comes
//! where it is expected.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What is known so far.
#[derive(Default)]
pub struct Variables {
    known: HashMap<String, String>,
}

impl Variables {
    /// From now on the variable stands for this.
    pub fn set(&mut self, name: &str, text: String) {
        self.known.insert(name.to_owned(), text);
    }

    /// From now on the variable is not known.
    pub fn remove(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// What a variable stands for.
    pub fn get(&self, name: &str) -> Result<String> {
        self.known.get(name).cloned().with_context(|| format!("${name} is not known yet"))
    }

    /// JSON with its variables filled in.
    pub fn filled(&self, text: &str) -> Result<String> {
        self.fill(text, |value| {
            let quoted = Value::from(value).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        })
    }

    /// Any other text with its variables filled in.
    pub fn filled_text(&self, text: &str) -> Result<String> {
        self.fill(text, str::to_owned)
    }

    fn fill(&self, text: &str, spell: impl Fn(&str) -> String) -> Result<String> {
        let mut filled = String::new();
        let mut pieces = text.split('$');
        filled.extend(pieces.next());
        for piece in pieces {
            let end = piece.find(|char| !is_name_char(char)).unwrap_or(piece.len());
            let (name, rest) = piece.split_at(end);
            filled += &spell(&self.get(name)?);
            filled += rest;
        }
        Ok(filled)
    }

    /// Puts variables in. Those that are new get the value that came.
    pub fn bind(&mut self, expected: &mut Value, got: &Value) -> Result<()> {
        match expected {
            Value::String(text) => {
                if let (Some(name), Value::String(got)) = (text.strip_prefix('$'), got)
                    && is_name(name)
                    && !self.known.contains_key(name)
                {
                    self.known.insert(name.to_owned(), got.clone());
                }
                *text = self.filled_text(text)?;
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.bind(value, &got[name.as_str()])?;
                }
            }
            Value::Array(items) => {
                for (place, item) in items.iter_mut().enumerate() {
                    self.bind(item, &got[place])?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_name_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '.'
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_name_char)
}
