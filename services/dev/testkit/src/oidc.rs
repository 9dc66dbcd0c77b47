//! OpenID Connect providers for tests: keys of each kind, tokens signed with them, and a server that shows documents.

mod provider;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD as B64;
use parking_lot::Mutex;
use serde_json::{Value, json};

pub use self::provider::Provider;

/// A key pair.
pub enum Pair {
    /// For RS256.
    Rsa(RsaKeyPair),
    /// For ES256.
    P256(EcdsaKeyPair),
    /// For ES384.
    P384(EcdsaKeyPair),
    /// For EdDSA.
    Ed(Ed25519KeyPair),
}

impl Pair {
    /// A new one: RSA, 2048 bits.
    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a test's own keys and server"))
    }

    /// A new one: P-256.
    pub fn p256() -> Self {
        Self::P256(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a test's own keys and server"),
        )
    }

    /// A new one: P-384.
    pub fn p384() -> Self {
        Self::P384(
            EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a test's own keys and server"),
        )
    }

    /// A new one: Ed25519.
    pub fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a test's own keys and server"))
    }

    /// The public key in a JWKS.
    pub fn jwk(&self, kid: &str) -> Value {
        let point = |name: &str, pair: &EcdsaKeyPair| {
            let octets = &pair.public_key().as_ref()[1..];
            let (x, y) = octets.split_at(octets.len() / 2);
            json!({ "kty": "EC", "crv": name, "x": B64.encode(x), "y": B64.encode(y), "kid": kid, "use": "sig" })
        };
        match self {
            // A DER sequence of two numbers: of 2048 bits the first stands at octet 9.
            Self::Rsa(pair) => {
                let n = &pair.public_key().as_ref()[9..265];
                json!({ "kty": "RSA", "alg": "RS256", "n": B64.encode(n), "e": "AQAB", "kid": kid, "use": "sig" })
            }
            Self::P256(pair) => point("P-256", pair),
            Self::P384(pair) => point("P-384", pair),
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": B64.encode(pair.public_key().as_ref()), "kid": kid })
            }
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed(_) => "EdDSA",
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut octets = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, text, &mut octets)
                    .expect("a test's own keys and server");
                octets
            }
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, text).expect("a test's own keys and server").as_ref().to_vec()
            }
            Self::Ed(pair) => pair.sign(text).as_ref().to_vec(),
        }
    }

    /// A token with these claims.
    pub fn token(&self, kid: &str, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm(), "kid": kid, "typ": "JWT" }), claims)
    }

    /// A token with this header, whatever it says.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = B64.encode(&self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// Header and claims.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", B64.encode(header.to_string().as_bytes()), B64.encode(claims.to_string().as_bytes()))
}

/// A server of one document, which may change, and which counts how often it is asked for.
#[derive(Clone)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// Serves the document at every path, until the test ends.
    pub async fn start(document: String) -> Self {
        let listener =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a test's own keys and server");
        let server = Self {
            address: listener.local_addr().expect("a test's own keys and server"),
            answer: Arc::new(Mutex::new((StatusCode::OK, document))),
            asked: Arc::default(),
        };
        let show = async |State(server): State<Self>| {
            server.asked.fetch_add(1, Ordering::SeqCst);
            server.answer.lock().clone()
        };
        let router = Router::new().fallback(get(show)).with_state(server.clone());
        tokio::spawn(
            async move { axum::serve(listener, router).await.expect("a test's own keys and server") },
        );
        server
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// From now on it answers this.
    pub fn answer(&self, status: u16, document: String) {
        *self.answer.lock() = (StatusCode::from_u16(status).expect("a test's own keys and server"), document);
    }
}

/// A JWKS document.
pub fn document(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
