//! A token as it comes: three parts. What it says is not to be believed before its signature has been checked.

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;

/// Octets of the largest token. Those of real providers have one to four thousand.
const OCTETS_MAX: usize = 16 * 1024;

/// A token, taken apart.
pub(crate) struct Token<'a> {
    /// How it says it is signed.
    pub algorithm: Algorithm,
    /// With which key.
    pub key_id: String,
    /// What it says. Not to be believed yet.
    pub claims: Map<String, Value>,
    /// What is signed: header and claims as they came.
    pub signed: &'a str,
    /// The signature, in base64url.
    pub signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Error> {
        if text.len() > OCTETS_MAX {
            return Err(Error::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Error::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Error::Malformed)?;
        BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| Error::Malformed)?;
        let header: Header = decode(header)?;
        if header.crit.is_some() {
            return Err(Error::Critical);
        }
        Ok(Self {
            algorithm: algorithm(&header.alg).ok_or(Error::Algorithm)?,
            key_id: header.kid.filter(|kid| !kid.is_empty()).ok_or(Error::NoKeyId)?,
            claims: decode(claims)?,
            signed,
            signature,
        })
    }

    /// Of what is signed. The signature is not part of it: an elliptic curve signature can be written in two ways, and
    /// the same token must not pass twice.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let hash = digest::digest(&digest::SHA256, self.signed.as_bytes());
        let mut octets = [0; 32];
        octets.copy_from_slice(hash.as_ref());
        octets
    }

    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }
}

/// Those with a public key that are not outdated. Never one with a shared secret: the public key would be the secret.
fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "PS256" => Some(Algorithm::PS256),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "EdDSA" | "Ed25519" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Error> {
    let json = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Error::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Error::Malformed)
}
