//! The keys with which the issuer signs. They are in Postgres, shared by all servers of the deployment, and change by
//! themselves: a new one is shown for a while before it signs, an old one for a while after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};
use tmtp_store::{IssuerKey, Store};
use tokio::sync::Mutex;

use super::refusal::Refusal;

/// A key signs for this long.
const LIFE: Duration = Duration::from_hours(90 * 24);
/// And is shown for this long afterwards. Tokens live for minutes.
const GRACE: Duration = Duration::from_hours(24);
/// A key is shown for this long before it signs, if there is another one: servers look for new ones once a minute.
const AHEAD: Duration = Duration::from_mins(10);
/// How long what was read from Postgres is good.
const FRESH: Duration = Duration::from_mins(1);

pub(super) struct SigningKeys {
    store: Store,
    read: Mutex<Option<(Instant, Arc<Ring>)>>,
}

/// The keys as they are now.
pub(super) struct Ring {
    id: String,
    signing: EncodingKey,
    /// The public ones.
    pub jwks: Value,
}

impl SigningKeys {
    pub(super) fn new(store: Store) -> Self {
        Self { store, read: Mutex::new(None) }
    }

    /// The keys as they are now, give or take a minute.
    pub(super) async fn ring(&self) -> Result<Arc<Ring>, Refusal> {
        let mut read = self.read.lock().await;
        if let Some((at, ring)) = &*read
            && at.elapsed() < FRESH
        {
            return Ok(ring.clone());
        }
        let mut keys = self.store.issuer_keys().await?;
        if keys.first().is_none_or(|newest| newest.age >= LIFE) {
            let (id, private_key) = generate()?;
            self.store.rotate_issuer_key(&id, &private_key, LIFE, GRACE).await?;
            keys = self.store.issuer_keys().await?;
        }
        let ring = Arc::new(Ring::of(&keys)?);
        *read = Some((Instant::now(), ring.clone()));
        Ok(ring)
    }
}

impl Ring {
    fn of(keys: &[IssuerKey]) -> Result<Self, Refusal> {
        let settled = keys.iter().find(|key| key.age >= AHEAD);
        let signing = settled.or_else(|| keys.first()).ok_or(Refusal::Unavailable)?;
        let public: Result<Vec<Value>, Refusal> = keys.iter().map(public).collect();
        Ok(Self {
            id: signing.id.clone(),
            signing: EncodingKey::from_ec_der(&signing.private_key),
            jwks: json!({ "keys": public? }),
        })
    }

    /// A token with these claims.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, Refusal> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the issuer could not sign a token");
            Refusal::Unavailable
        })
    }
}

/// A new key, and its name: part of the hash of the public key, so that it says nothing and is never taken twice.
fn generate() -> Result<(String, Vec<u8>), Refusal> {
    let failed = |_| {
        tracing::error!("the issuer could not make a key");
        Refusal::Unavailable
    };
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let private_key = document.map_err(failed)?.as_ref().to_vec();
    let pair = pair(&private_key)?;
    let hash = digest::digest(&digest::SHA256, pair.public_key().as_ref());
    Ok((BASE64URL_NOPAD.encode(&hash.as_ref()[..12]), private_key))
}

fn pair(private_key: &[u8]) -> Result<EcdsaKeyPair, Refusal> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private_key).map_err(|_| {
        tracing::error!("a key of the issuer in the database cannot be read");
        Refusal::Unavailable
    })
}

/// A public key as others read it (RFC 7517).
fn public(key: &IssuerKey) -> Result<Value, Refusal> {
    let pair = pair(&key.private_key)?;
    // An octet that says "not compressed", and then the two coordinates.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    Ok(json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id,
        "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
    }))
}
