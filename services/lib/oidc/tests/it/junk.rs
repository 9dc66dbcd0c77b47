//! Whatever comes, it is refused and nothing breaks.

use proptest::prelude::*;
use serde_json::json;
use tmtp_oidc::{Error, KeySet, check};

use crate::provider::{NOW, Pair, claims, document, provider};

fn none() -> KeySet {
    KeySet::parse(br#"{"keys":[]}"#).unwrap()
}

/// Goal: what is no token is refused by name; method: texts that lack something.
#[test]
fn no_tokens() {
    let refused = |token: &str| check(token, &[provider()], &none(), NOW).unwrap_err();
    for text in ["", ".", "..", "a.b", "e30.e30", "e30.e30.!", "bm8.e30.AA", "e30=.e30.AA", "e30.e30.e30.e30"]
    {
        assert_eq!(refused(text), Error::Malformed, "{text:?}");
    }
    let huge = Pair::ed().token("k", &json!({ "x": "y".repeat(20_000) }));
    assert_eq!(refused(&huge), Error::TooLarge);
    assert_eq!(refused(&"a".repeat(10_000_000)), Error::TooLarge);
    let deep = format!("{}{}", "[".repeat(1_500), "]".repeat(1_500));
    let deep = data_encoding::BASE64URL_NOPAD.encode(deep.as_bytes());
    assert_eq!(refused(&format!("{deep}.{deep}.AA")), Error::Malformed);
}

/// Goal: keys that cannot be used do not spoil the others; method: a set with one of each kind.
#[test]
fn odd_keys() {
    let pair = Pair::ed();
    let keys = [
        json!(1),
        json!({}),
        json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256" }),
        json!({ "kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "p521" }),
        {
            let mut encrypting = Pair::p256().jwk("enc");
            encrypting["use"] = "enc".into();
            encrypting
        },
        {
            let mut nameless = Pair::p256().jwk("x");
            nameless.as_object_mut().unwrap().remove("kid");
            nameless
        },
        pair.jwk("good"),
    ];
    let set = KeySet::parse(document(&keys).as_bytes()).unwrap();
    assert_eq!(set.len(), 1);
    assert!(check(&pair.token("good", &claims()), &[provider()], &set, NOW).is_ok());
    for junk in ["", "{}", "[]", r#"{"keys":{}}"#, "<html>"] {
        assert!(KeySet::parse(junk.as_bytes()).is_none(), "{junk:?}");
    }
}

proptest! {
    /// Goal: nothing breaks, and nothing passes; method: a good token with octets changed, cut or put in, or any text.
    #[test]
    fn damage(at: prop::sample::Index, octet: char, cut: bool, text: String) {
        let pair = Pair::ed();
        let keys = KeySet::parse(document(&[pair.jwk("k")]).as_bytes()).unwrap();
        let good = pair.token("k", &claims());
        let mut damaged: Vec<char> = good.chars().collect();
        let place = at.index(damaged.len());
        if cut { damaged.truncate(place) } else { damaged[place] = octet }
        let damaged: String = damaged.into_iter().collect();
        if damaged != good {
            prop_assert!(check(&damaged, &[provider()], &keys, NOW).is_err());
        }
        prop_assert!(check(&text, &[provider()], &keys, NOW).is_err());
        let _ = KeySet::parse(text.as_bytes());
    }

    /// Goal: claims of any kind do not break it; method: random JSON values under a good signature.
    #[test]
    fn odd_claims(name in "iss|aud|exp|iat|nbf|sub|azp|nonce|email|hd", number: f64, text: String, kind in 0..6) {
        let pair = Pair::ed();
        let keys = KeySet::parse(document(&[pair.jwk("k")]).as_bytes()).unwrap();
        let value = match kind {
            0 => json!(number),
            1 => json!(text),
            2 => json!([text, number]),
            3 => json!({ "x": text }),
            4 => json!(null),
            _ => json!(true),
        };
        let mut claims = claims();
        claims[name] = value;
        let _ = check(&pair.token("k", &claims), &[provider()], &keys, NOW);
    }
}
