//! OpenID Connect providers of a site: plain data that travels with the site, its rules, and how clients are told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::SiteId;

/// Most providers that a site may have of its own; the invitation is one more.
pub const PROVIDERS_MAX: usize = 25;
/// Octets of the longest address, parameter, or value of a provider.
const TEXT_MAX: usize = 2_048;
/// Most parameters, audiences, domains or required claims.
const LIST_MAX: usize = 20;
/// Octets of what clients are told of one provider, escapes included. All of a site's have to fit into one header of
/// 65,535 octets, with the names of the fields and of the site.
const ANNOUNCED_MAX: usize = 2_300;
/// The id of the built-in provider.
const INVITATION: &str = "invitation";

/// Somebody whose sign-in tokens a site takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Unique in its site: lower-case letters, digits, hyphens.
    pub id: String,
    /// What users see.
    pub label: String,
    /// Whose it is.
    #[serde(default)]
    pub kind: ProviderKind,
    /// The `iss` of its tokens, compared octet by octet.
    pub issuer: String,
    /// Where clients send their users.
    pub authorize: Endpoint,
    /// Where clients get the token.
    pub token: Endpoint,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Whom its tokens must be for: one of these client ids.
    pub audiences: Vec<String>,
    /// What its claims are taken for.
    #[serde(default)]
    pub claims: ClaimRules,
    /// The `nonce` that a token must repeat, if one is among the parameters of `authorize`. It is the same for all
    /// clients of the site, because all are told the same parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Keys that were fetched before this (seconds since 1970) are fetched again before they are used.
    #[serde(default)]
    pub keys_since: i64,
}

/// Whose a provider is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Somebody else's. Whatever its tokens say, they are no invitation.
    #[default]
    Foreign,
    /// Our own issuer, whose tokens stand for invites.
    Invitation,
}

/// An address that clients call, with what they have to add to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Without a query.
    pub url: String,
    /// Each `name=value`, encoded as in a query.
    #[serde(default)]
    pub params: Vec<String>,
}

/// What a provider's claims are taken for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimRules {
    /// The claim that is the member's alias; it must be there then.
    pub alias: Option<String>,
    /// If any are given: `hd`, or the domain of a verified `email`, must be one of them. Lower case.
    pub domains: Vec<String>,
    /// Claims that must have exactly this text.
    pub required: BTreeMap<String, String>,
}

/// How clients are told of a provider: an entry of `authby`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// What users see.
    pub label: String,
    /// Where to sign in: address and parameters.
    pub login: [String; 2],
    /// Where to get the token: address and parameters.
    pub token: [String; 2],
}

/// Why a provider, or a list of them, cannot be used. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {advice}")]
pub struct ProviderError {
    /// The field, as it is called in JSON.
    pub field: &'static str,
    /// What to do about it.
    pub advice: String,
}

impl Provider {
    /// The built-in provider of a site, with which people redeem invites. `public_url` is where the issuer is reached.
    pub fn invitation(site: SiteId, site_name: &str, public_url: &str) -> Self {
        let issuer = format!("{}/{site}", public_url.trim_end_matches('/'));
        let client = format!("client_id={site}");
        Self {
            id: INVITATION.to_owned(),
            label: format!("{site_name} invitation"),
            kind: ProviderKind::Invitation,
            authorize: Endpoint {
                url: format!("{issuer}/authorize"),
                params: ["response_type=code", "scope=openid", "code_challenge_method=S256"]
                    .into_iter()
                    .map(str::to_owned)
                    .chain([client.clone()])
                    .collect(),
            },
            token: Endpoint {
                url: format!("{issuer}/token"),
                params: vec!["grant_type=authorization_code".to_owned(), client],
            },
            jwks_uri: format!("{}/jwks", public_url.trim_end_matches('/')),
            issuer,
            audiences: vec![site.to_string()],
            claims: ClaimRules::default(),
            nonce: None,
            keys_since: 0,
        }
    }

    /// Whether it can be used at all; the first thing that is wrong with it.
    pub fn validate(&self) -> Result<(), ProviderError> {
        check_id(&self.id, self.kind)?;
        check_text("label", &self.label)?;
        check_url("issuer", &self.issuer)?;
        for (field, endpoint) in [("authorize", &self.authorize), ("token", &self.token)] {
            check_url(field, &endpoint.url)?;
            check_length(field, endpoint.params.len())?;
            endpoint.params.iter().try_for_each(|param| check_param(field, param))?;
        }
        check_url("jwks_uri", &self.jwks_uri)?;
        if self.audiences.is_empty() {
            return Err(error("audiences", "name at least one: the client id that the provider gave you"));
        }
        check_texts("audiences", &self.audiences)?;
        self.claims.validate()?;
        self.check_nonce()?;
        if self.sign_in().octets() > ANNOUNCED_MAX {
            let advice =
                format!("make label, addresses and parameters shorter: {ANNOUNCED_MAX} octets together");
            return Err(error("authorize", advice));
        }
        Ok(())
    }

    /// What clients are told.
    pub fn sign_in(&self) -> SignIn {
        SignIn {
            label: self.label.clone(),
            login: [self.authorize.url.clone(), self.authorize.params.join("&")],
            token: [self.token.url.clone(), self.token.params.join("&")],
        }
    }

    fn check_nonce(&self) -> Result<(), ProviderError> {
        let sent = self.authorize.params.iter().find_map(|param| param.strip_prefix("nonce="));
        match (&self.nonce, sent) {
            (None, None) => Ok(()),
            (Some(nonce), Some(sent))
                if nonce == sent && nonce.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                Ok(())
            }
            _ => Err(error(
                "nonce",
                "use letters and digits, the same here and as nonce=… in authorize.params",
            )),
        }
    }
}

impl SignIn {
    /// As JSON for TMTP writes it, where some characters take six octets.
    fn octets(&self) -> usize {
        let texts = [&self.label].into_iter().chain(&self.login).chain(&self.token);
        let octets = |c: char| match c {
            '&' | '<' | '>' | '\u{2028}' | '\u{2029}' => 6,
            '"' | '\\' => 2,
            other => other.len_utf8(),
        };
        texts.flat_map(|text| text.chars()).map(octets).sum()
    }
}

impl ClaimRules {
    fn validate(&self) -> Result<(), ProviderError> {
        if let Some(alias) = &self.alias {
            check_text("claims.alias", alias)?;
        }
        check_texts("claims.domains", &self.domains)?;
        let odd = |domain: &String| {
            domain.contains(['@', '/', '*']) || !domain.contains('.') || domain.to_lowercase() != *domain
        };
        if let Some(domain) = self.domains.iter().find(|domain| odd(domain)) {
            let advice = format!("{domain:?} is no domain such as example.com, in lower case");
            return Err(error("claims.domains", advice));
        }
        check_length("claims.required", self.required.len())?;
        let mut texts = self.required.iter().flat_map(|(name, value)| [name, value]);
        texts.try_for_each(|text| check_text("claims.required", text))
    }
}

/// Whether these may be the providers of one site.
pub fn validate_providers(providers: &[Provider]) -> Result<(), ProviderError> {
    if providers.len() > PROVIDERS_MAX {
        return Err(error("id", format!("a site may have {PROVIDERS_MAX} providers; delete one first")));
    }
    providers.iter().try_for_each(Provider::validate)?;
    let mut ids = BTreeSet::new();
    match providers.iter().find(|provider| !ids.insert(&provider.id)) {
        Some(twice) => {
            Err(error("id", format!("there is a provider {} already: choose another id", twice.id)))
        }
        None => Ok(()),
    }
}

/// The entries of `authby` for a site's providers, in their order.
pub fn sign_ins(providers: &[Provider]) -> Vec<SignIn> {
    providers.iter().map(Provider::sign_in).collect()
}

fn check_id(id: &str, kind: ProviderKind) -> Result<(), ProviderError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if id.is_empty() || id.len() > 40 || !id.bytes().all(good) {
        return Err(error("id", "use up to 40 lower-case letters, digits and hyphens"));
    }
    if (id == INVITATION) != (kind == ProviderKind::Invitation) {
        return Err(error("id", "choose another id: the built-in provider is called invitation"));
    }
    Ok(())
}

fn check_text(field: &'static str, text: &str) -> Result<(), ProviderError> {
    if text.trim().is_empty() {
        return Err(error(field, "must not be empty"));
    }
    if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        return Err(error(field, format!("use at most {TEXT_MAX} octets and no control characters")));
    }
    Ok(())
}

fn check_length(field: &'static str, length: usize) -> Result<(), ProviderError> {
    if length > LIST_MAX { Err(error(field, format!("give at most {LIST_MAX}"))) } else { Ok(()) }
}

fn check_texts(field: &'static str, texts: &[String]) -> Result<(), ProviderError> {
    check_length(field, texts.len())?;
    texts.iter().try_for_each(|text| check_text(field, text))
}

fn check_param(field: &'static str, param: &str) -> Result<(), ProviderError> {
    check_text(field, param)?;
    let plain = param.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'&' | b'#' | b'"' | b'<' | b'>'));
    match param.split_once('=') {
        Some((name, _)) if plain && !name.is_empty() => Ok(()),
        _ => Err(error(
            field,
            format!("{param:?} is no parameter such as scope=openid%20email, encoded for a query"),
        )),
    }
}

/// `https://host…`, or `http://` to this very machine; no user, query or fragment.
fn check_url(field: &'static str, url: &str) -> Result<(), ProviderError> {
    check_text(field, url)?;
    let secure = url.strip_prefix("https://");
    let Some(rest) = secure.or_else(|| url.strip_prefix("http://")) else {
        return Err(error(field, "begin the address with https://"));
    };
    if !url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\')) {
        return Err(error(field, "an address has no blanks, quotes or letters outside ASCII"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || rest.contains(['?', '#']) {
        return Err(error(field, "an address here is https://host/path: no user, no ? and no #"));
    }
    if secure.is_none() && !is_loopback(authority) {
        return Err(error(field, "use https:// (http:// is for this very machine only)"));
    }
    Ok(())
}

/// Whether `host[:port]` is this very machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

fn error(field: &'static str, advice: impl Into<String>) -> ProviderError {
    ProviderError { field, advice: advice.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        Provider {
            id: "corp".into(),
            label: "Corp & Co".into(),
            kind: ProviderKind::Foreign,
            issuer: "https://id.example".into(),
            authorize: Endpoint {
                url: "https://id.example/login".into(),
                params: vec!["client_id=1".into(), "scope=openid%20email".into()],
            },
            token: Endpoint { url: "https://id.example/token".into(), params: vec!["client_id=1".into()] },
            jwks_uri: "https://id.example/keys".into(),
            audiences: vec!["1".into()],
            claims: ClaimRules::default(),
            nonce: None,
            keys_since: 0,
        }
    }

    /// Goal: what clients are told has always two texts; method: a foreign provider, one without parameters, our own.
    #[test]
    fn announced() {
        let mut plain = provider();
        plain.token.params.clear();
        let [foreign, plain] = [provider().sign_in(), plain.sign_in()];
        assert_eq!(foreign.login, ["https://id.example/login", "client_id=1&scope=openid%20email"]);
        assert_eq!(plain.token, ["https://id.example/token", ""]);
        let site = SiteId(uuid::Uuid::from_u128(1));
        let own = Provider::invitation(site, "Acme", "https://join.example/");
        assert_eq!(own.validate(), Ok(()));
        assert_eq!(own.sign_in().label, "Acme invitation");
        assert_eq!(own.sign_in().login[0], format!("https://join.example/{site}/authorize"));
    }

    /// Goal: what cannot be used is refused, and the text names the field; method: one mistake each.
    #[test]
    fn mistakes() {
        type Spoil = fn(&mut Provider);
        let cases: [(&str, Spoil); 15] = [
            ("id", |p| p.id = "Corp".into()),
            ("id", |p| p.id = "invitation".into()),
            ("label", |p| p.label = " ".into()),
            ("issuer", |p| p.issuer = "http://id.example".into()),
            ("issuer", |p| p.issuer = "http://localhost.example:80".into()),
            ("authorize", |p| p.authorize.url = "ftp://x".into()),
            ("authorize", |p| p.authorize.url = "https://u@x".into()),
            ("authorize", |p| p.authorize.params.push("a=b&c".into())),
            ("token", |p| p.token.url = "https://x/?a=b".into()),
            ("jwks_uri", |p| p.jwks_uri = String::new()),
            ("audiences", |p| p.audiences.clear()),
            ("claims.domains", |p| p.claims.domains.push("Example.com".into())),
            ("claims.required", |p| _ = p.claims.required.insert(String::new(), "x".into())),
            ("nonce", |p| p.nonce = Some("n".into())),
            ("authorize", |p| p.authorize.params = vec![format!("a={}", "b".repeat(1_200)); 2]),
        ];
        assert_eq!(provider().validate(), Ok(()));
        for (number, (field, spoil)) in cases.into_iter().enumerate() {
            let mut spoilt = provider();
            spoil(&mut spoilt);
            assert_eq!(spoilt.validate().map_err(|e| e.field), Err(field), "case {number}");
        }
        let mut local = provider();
        local.jwks_uri = "http://127.0.0.1:8123/keys".into();
        assert_eq!(local.validate(), Ok(()));
    }

    /// Goal: a site has no more providers than may be, and none twice; method: one too many, and two alike.
    #[test]
    fn lists() {
        let many: Vec<Provider> =
            (0..=PROVIDERS_MAX).map(|n| Provider { id: format!("p{n}"), ..provider() }).collect();
        assert_eq!(validate_providers(&many[1..]), Ok(()));
        assert!(validate_providers(&many).is_err());
        assert!(validate_providers(&[provider(), provider()]).is_err());
    }
}
